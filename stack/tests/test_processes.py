"""A process is found again by pid and start time, and by nothing less."""

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from stack.errors import StackError
from stack.processes import Daemon

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
WITH_CHILD = [sys.executable, "-c", f"import subprocess; subprocess.run({SLEEP})"]


def test_another_daemon_object_finds_and_stops_the_process(tmp_path: Path) -> None:
    Daemon("part", tmp_path).start(SLEEP)

    found = Daemon("part", tmp_path)
    process = found.process()
    assert process is not None
    assert found.runs(SLEEP, None)
    assert not found.runs(SLEEP, {"REGULARS_CLOCK": "-PT1H"})

    found.stop()
    assert found.process() is None
    assert not found.pid_file.exists()


def test_a_stale_pid_that_belongs_to_somebody_else_is_not_killed(tmp_path: Path) -> None:
    daemon = Daemon("part", tmp_path)
    daemon.pid_file.parent.mkdir()
    started = psutil.Process().create_time() - 3_600
    daemon.pid_file.write_text(json.dumps({"pid": os.getpid(), "started": started}))

    assert daemon.process() is None
    daemon.kill()  # would end this test run

    assert not daemon.pid_file.exists()


@pytest.mark.parametrize("text", ["", "12", "{}", '{"pid": "x", "started": 1}', "[1]"])
def test_half_a_pid_file_counts_as_none(tmp_path: Path, text: str) -> None:
    daemon = Daemon("part", tmp_path)
    daemon.pid_file.parent.mkdir()
    daemon.pid_file.write_text(text)

    assert daemon.process() is None


def test_a_kill_takes_the_children_along_even_when_paused(tmp_path: Path) -> None:
    daemon = Daemon("part", tmp_path)
    daemon.start(WITH_CHILD)
    process = daemon.process()
    assert process is not None
    daemon.wait(lambda: bool(process.children()), 5)
    [child] = process.children()
    process.send_signal(signal.SIGSTOP)

    daemon.kill()

    assert daemon.process() is None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_ends_while_starting_is_reported_with_its_log(tmp_path: Path) -> None:
    daemon = Daemon("part", tmp_path)
    daemon.start([sys.executable, "-c", "raise SystemExit('the port is taken')"])

    with pytest.raises(StackError, match="the port is taken"):
        daemon.wait(lambda: False, 5)
    daemon.reap()
