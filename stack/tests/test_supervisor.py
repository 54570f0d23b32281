"""`up` makes it so, however it was before; `down` leaves nothing behind."""

import json
import os
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


def test_up_twice_up_after_a_kill_and_down(home: Path) -> None:
    supervisor = Supervisor(home)
    supervisor.up(print, services=())
    first = pids(supervisor)
    assert set(first) == set(GROUND)
    assert (home / "env").stat().st_mode & 0o077 == 0

    supervisor.up(print, services=())
    assert pids(supervisor) == first

    psutil.Process(first["postgres"]).kill()  # the postmaster alone, its children left
    psutil.Process(first["mail"]).kill()
    (home / "pids" / "sms").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    psutil.Process(first["sms"]).kill()
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
