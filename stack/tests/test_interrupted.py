"""Ctrl-C, at any moment and twice, leaves no process behind."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack.layout import State
from stack.mapping import NAMES
from stack.ports import DEFAULTS, scratch
from stack.settings import inherited_environment
from stack.supervisor import Supervisor
from stack.tests.left import left_behind

TIMEOUT_S = 180
INVOICES = 400

Reached = Callable[[Path, str], bool]


def starts(home: Path, _said: str) -> bool:
    """The first processes are there, and not all of them are ready."""
    return any((home / "pids").glob("[!.]*"))


def prepares(_home: Path, said: str) -> bool:
    """Migrations run, as children of the command: a terminal interrupts them as well."""
    return "databases, schemas, topics" in said


def launches(home: Path, _said: str) -> bool:
    """Some of the services are there."""
    return any((home / "pids").glob("*-api"))


def publishes(home: Path, _said: str) -> bool:
    """Events are in Kafka, with more to come."""
    logs = (home / "kafka" / "data").glob("shop.orders.v1-*/*.log")
    return any(log.stat().st_size for log in logs)


def stops(_home: Path, said: str) -> bool:
    return "stopping" in said


SMALL = [("demo", starts), ("replay", starts), ("up", starts)]
FULL = [
    *(("up", moment) for moment in (prepares, launches)),
    *((name, moment) for name in ("demo", "replay") for moment in (prepares, launches, publishes)),
]
MOMENTS = [*SMALL, *(pytest.param(*case, marks=pytest.mark.long) for case in FULL)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """What REGULARS_STACK_DIR names."""
    yield tmp_path
    for home in (tmp_path, tmp_path / "demo", tmp_path / "replay"):
        Supervisor(home).erase()


@pytest.mark.parametrize(("name", "moment"), MOMENTS)
def test_interrupted_twice_it_leaves_no_process_behind(
    folder: Path, name: str, moment: Reached
) -> None:
    home = folder if name == "up" else folder / name
    State(ports=scratch(*DEFAULTS)).write(home)
    output = folder / "output"
    with output.open("wb") as out:
        process = start([name, *arguments(name, folder)], folder, out.fileno())
    try:
        wait(process, lambda: moment(home, output.read_text()))
        assert left_behind(folder), "it was really in the middle"

        os.killpg(process.pid, signal.SIGINT)
        wait(process, lambda: stops(home, output.read_text()))
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()

    assert code == 130, output.read_text()
    assert left_behind(folder) == []


def arguments(name: str, folder: Path) -> list[str]:
    """A small run, and slow enough to be caught in the middle."""
    if name == "replay":
        return [str(shop(folder / "shop.csv")), "--per-second=50"]
    return ["--customers=80", "--days=6"] if name == "demo" else []


def shop(path: Path) -> Path:
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(usual[0] for usual in NAMES.values())
        for number in range(INVOICES):
            row = (500_000 + number, "22000", "MUG", 1, f"2010-12-08 {9 + number // 60:02}:00")
            lines.writerow((*row, "8.50", f"{12_000 + number}.0", "France"))
    return path


def start(arguments: list[str], folder: Path, out: int) -> "subprocess.Popen[bytes]":
    """In a process group of its own, which a Ctrl-C at the terminal reaches as a whole."""
    told = {"REGULARS_STACK_DIR": str(folder), "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    # A runner in the background may ignore the signal, and its children would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "stack", *arguments],
            env=inherited_environment() | told,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def wait(process: "subprocess.Popen[bytes]", until: Callable[[], bool]) -> None:
    """Until it is so, or the process has ended."""
    deadline = time.monotonic() + TIMEOUT_S
    while not until() and process.poll() is None:
        assert time.monotonic() < deadline, f"not within {TIMEOUT_S} s"
        time.sleep(0.01)
