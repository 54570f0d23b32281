"""`up` makes it so, however it was before; `down` leaves nothing behind."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stack.layout import State
from stack.ports import DEFAULTS, scratch
from stack.supervisor import GROUND, Supervisor


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A stack's folder, whose ports are out of the way of a running stack."""
    State(ports=scratch(*DEFAULTS)).write(tmp_path)
    yield tmp_path
    Supervisor(tmp_path).erase()


def pids(supervisor: Supervisor) -> dict[str, int | None]:
    return {row.name: row.pid for row in supervisor.status() if row.state == "running"}


def kill(pid: int | None) -> None:
    """And wait until it is dead: a signal takes its time on a busy machine."""
    assert pid
    process = psutil.Process(pid)
    process.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


def test_up_twice_up_after_a_kill_and_down(home: Path) -> None:
    supervisor = Supervisor(home)
    supervisor.up(print, services=())
    first = pids(supervisor)
    assert set(first) == set(GROUND)
    assert (home / "env").stat().st_mode & 0o077 == 0

    supervisor.up(print, services=())
    assert pids(supervisor) == first

    kill(first["postgres"])  # the postmaster alone, its children left
    kill(first["mail"])
    (home / "pids" / "sms").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    kill(first["sms"])
    Supervisor(home).up(print, services=())
    second = pids(supervisor)
    assert set(second) == set(GROUND)
    assert [name for name in GROUND if second[name] == first[name]] == ["kafka"]

    assert sorted(Supervisor(home).down()) == sorted(GROUND)
    assert pids(supervisor) == {}
    assert not any(psutil.pid_exists(pid) and _lives(pid) for pid in second.values() if pid)
    assert Supervisor(home).down() == []


def _lives(pid: int) -> bool:
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
