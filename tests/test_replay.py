"""A replay that is cut off by kill -9 and run again ends as one that was not, row for row."""

import asyncio
import csv
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from stack import fingerprint
from stack.caught_up import watch
from stack.door import read_env
from stack.errors import StackError
from stack.layout import State
from stack.mapping import NAMES, Mapping
from stack.ports import DEFAULTS, scratch
from stack.processes import Daemon
from stack.replay import Plan, run
from stack.settings import inherited_environment
from stack.supervisor import Supervisor

INVOICES = 220
KILLED = ("profile-worker", "loyalty-worker", "notify-worker")
PER_SECOND = 120  # slow enough to be caught in the middle
START_TIMEOUT_S = 180


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop's file with all oddities of the large one."""
    rng = random.Random(11)
    path = tmp_path_factory.mktemp("shop") / "shop.csv"
    bought: list[tuple[str, int, str, str]] = []
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(usual[0] for usual in NAMES.values())
        for number in range(INVOICES):
            at = datetime(2011, 1, 3, 9) + timedelta(minutes=97 * number)  # noqa: DTZ001 -- as in the file
            customer = "" if rng.random() < 0.1 else f"{12000 + rng.randrange(35)}.0"
            tail = (str(at), customer, "France")
            if bought and rng.random() < 0.2:
                code, quantity, price, owner = bought.pop(rng.randrange(len(bought)))
                row = (f"C{500000 + number}", code, code, -rng.randint(1, quantity))
                writer.writerow((*row, str(at), price, owner, "France"))
                continue
            for _ in range(rng.randint(1, 9)):
                code, price = f"{22000 + rng.randrange(60)}", rng.choice(("0.85", "2.55", "0.00"))
                code = "POST" if rng.random() < 0.05 else code
                row = (str(500000 + number), code, f"THING {code}", rng.randint(1, 12))
                writer.writerow((*row, tail[0], price, *tail[1:]))
                if customer and price != "0.00":
                    bought.append((code, row[3], price, customer))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The stack's folder, whose ports are out of the way of a running stack."""
    folder = tmp_path / "replay"
    State(ports=scratch(*DEFAULTS)).write(folder)
    yield folder
    Supervisor(folder).erase()


async def state_of(home: Path) -> dict[str, dict[str, tuple[int, str]]]:
    async with watch(read_env(home)) as observer:
        return await fingerprint.of_databases(observer.databases)


def test_cut_off_and_run_again_it_ends_in_the_same_state(shop: Path, home: Path) -> None:
    interrupted = cut_off(shop, home)
    plan = Plan(shop, Mapping(), keep=True)

    assert run(plan, home)
    after_the_cut = asyncio.run(state_of(home))
    assert run(plan, home)
    after_one_more = asyncio.run(state_of(home))
    Supervisor(home).erase()
    (home / "replay.json").unlink()
    assert run(plan, home)
    uninterrupted = asyncio.run(state_of(home))

    assert interrupted, "it was really in the middle"
    assert not differing(after_the_cut, uninterrupted)
    assert not differing(after_one_more, uninterrupted)
    rows = {name: rows for tables in uninterrupted.values() for name, (rows, _) in tables.items()}
    assert min(rows["timeline"], rows["posting"], rows["notice"], rows["purchase"]) > 0


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The tables whose rows are not the same, with how many there are on either side."""
    return {
        f"{service}.{name}": (one[service].get(name), found)
        for service, tables in other.items()
        for name, found in tables.items()
        if one[service].get(name) != found
    }


def cut_off(shop: Path, home: Path) -> bool:
    """Begin a slow replay, and kill it with three workers in the middle of it."""
    command = [sys.executable, "-m", "stack", "replay", str(shop), f"--per-second={PER_SECOND}"]
    env = inherited_environment() | {"REGULARS_STACK_DIR": str(home.parent)}
    publisher = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        handled = asyncio.run(until_handled(home, 150))
    finally:
        publisher.send_signal(signal.SIGKILL)
        publisher.wait()
    for name in KILLED:
        Daemon(name, home).kill()
    return handled and publisher.returncode == -signal.SIGKILL


async def until_handled(home: Path, wanted: int) -> bool:
    """Wait until loyalty has seen so many orders' events; False if it has seen all."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            async with watch(read_env(home)) as observer:
                while True:
                    sums = "SELECT coalesce(sum(next_offset), 0) FROM consumer_offset"
                    seen = await observer.databases["loyalty"].fetchval(sums)
                    if seen >= wanted:
                        return bool(seen < 2 * wanted)
                    await asyncio.sleep(0.05)
        except (StackError, OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.2)  # it is still starting
    return False
