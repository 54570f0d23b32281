"""A replay that is cut off by kill -9 and run again ends as one that was not, row for row; the real
year, run twice, in the figures that are known of it."""

import asyncio
import contextlib
import csv
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stack import fingerprint
from stack.caught_up import watch
from stack.door import Door, read_env
from stack.errors import StackError
from stack.layout import State
from stack.mapping import NAMES, Mapping
from stack.ports import DEFAULTS, scratch
from stack.processes import Daemon
from stack.replay import Plan, run
from stack.settings import inherited_environment
from stack.supervisor import Supervisor
from stack.tests.test_real_data import FILE

INVOICES = 220
KILLED = ("loyalty-worker", "profile-worker", "notify-worker")
PER_SECOND = 120  # slow enough to be caught in the middle
PUBLISHED, BATCH = 150, 5
START_TIMEOUT_S = 180
ORDERS = "shop.orders.v1"
RISING = "SELECT count(*) FROM standing WHERE tier = 'silver' AND due_at = '2011-01-01'"

Until = Callable[[Path], Awaitable[int]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop's file with all oddities of the large one, over a year's end."""
    rng = random.Random(11)
    path = tmp_path_factory.mktemp("shop") / "shop.csv"
    bought: list[tuple[str, int, str, str]] = []
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(usual[0] for usual in NAMES.values())
        for number in range(INVOICES):
            at = datetime(2010, 12, 8, 9) + timedelta(minutes=197 * number)  # noqa: DTZ001 -- as in the file
            customer = "" if rng.random() < 0.1 else f"{12000 + rng.randrange(12)}.0"
            tail = (str(at), customer, "France")
            if bought and rng.random() < 0.2:
                code, quantity, price, owner = bought.pop(rng.randrange(len(bought)))
                row = (f"C{500000 + number}", code, code, -rng.randint(1, quantity))
                writer.writerow((*row, str(at), price, owner, "France"))
                continue
            for _ in range(rng.randint(1, 9)):
                code, price = f"{22000 + rng.randrange(60)}", rng.choice(("8.50", "25.50", "0.00"))
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


def test_cut_off_and_run_again_it_ends_in_the_same_state(
    shop: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published, changes = cut_off(shop, home)
    plan = Plan(shop, Mapping(), keep=True)

    assert run(plan, home)
    after_the_cut = asyncio.run(state_of(home))
    check_points(capsys.readouterr().out, home)
    assert run(plan, home)
    after_one_more = asyncio.run(state_of(home))
    Supervisor(home).erase()
    (home / "replay.json").unlink()
    assert run(plan, home)
    uninterrupted = asyncio.run(state_of(home))

    assert not differing(after_the_cut, uninterrupted)
    assert not differing(after_one_more, uninterrupted)
    rows = {name: rows for tables in uninterrupted.values() for name, (rows, _) in tables.items()}
    assert min(rows["timeline"], rows["posting"], rows["notice"], rows["purchase"]) > 0
    assert rows["closing"] == 1, "the month that is over by the clock, closed once"
    assert PUBLISHED <= published < 2 * PUBLISHED
    assert 0 < changes < rows["tier_history"] / 2, "it was really in the middle"


@pytest.mark.long
@pytest.mark.skipif(not FILE.exists(), reason=f"no {FILE.name} in ../shared/data or REGULARS_DATA")
def test_the_real_year_comes_to_its_known_figures_and_again_to_the_same_state(home: Path) -> None:
    plan = Plan(FILE, Mapping(), keep=True)

    assert run(plan, home), "all that the suite says is what the file says"
    once = asyncio.run(state_of(home))
    with Door(read_env(home)) as door:
        people = door.get("profile", "/v1/reports/totals")["customers"]
    assert run(plan, home)
    again = asyncio.run(state_of(home))

    assert (people["customers"], people["placed_orders"]) == (4_338, 18_532)
    assert (people["placed_minor"], people["spend_minor"]) == (891_140_790, 844_716_813)
    assert not differing(once, again)
    assert fingerprint.in_one(once) == fingerprint.in_one(again)


def check_points(told: str, home: Path) -> None:
    """The report on points, against the books: the closed month, the open one, every member."""
    with Door(read_env(home)) as door:
        books = door.get("loyalty", "/v1/ledger/reconciliation")
        closed = door.get("loyalty", "/v1/closings/2010-12")
        people = door.get("profile", "/v1/reports/totals")["customers"]["customers"]
    months = [numbers_in(told, name) for name in ("2010-12", "open")]
    points = closed["statement"]["total"]["points"]
    earned, reversed_ = (sum(month[column] for month in months) for column in (0, 1))

    assert months[0][0] == points["earned"] > 0
    assert months[0][-1] == points["closing"]
    assert months[1][0] > 0, "and the open month has some of its own"
    assert (earned, reversed_) == (-books["accounts"]["issued"], books["accounts"]["clawed_back"])
    assert months[1][-1] == books["liability"] + books["accounts"]["owed"]
    tiers = [numbers_in(told, tier) for tier in ("basic", "silver", "gold")]
    assert sum(members for members, _ in tiers) == people
    assert sum(points for _, points in tiers) == earned
    assert "Breakage: no estimate. Nobody redeemed a point" in " ".join(told.split())
    assert closed["approved_by"] != closed["prepared_by"]


def numbers_in(told: str, name: str) -> list[int]:
    """Of the table's row of this name."""
    [row] = (line for line in told.splitlines() if line.startswith(f"│ {name} "))
    return [int(cell.replace(",", "")) for cell in row.split("│")[2:-1]]


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The tables whose rows are not the same, with how many there are on either side."""
    return {
        f"{service}.{name}": (one[service].get(name), found)
        for service, tables in other.items()
        for name, found in tables.items()
        if one[service].get(name) != found
    }


def cut_off(shop: Path, home: Path) -> tuple[int, int]:
    """Kill a replay in the middle of publishing; and again, with three workers, in the middle of
    handling. How many records of orders there were then, and how many changes of tiers."""
    slowly = f"--per-second={PER_SECOND}"
    published = killed(shop, home, until_published, slowly)
    return published, killed(shop, home, until_handled)


def killed(shop: Path, home: Path, until: Until, *arguments: str) -> int:
    """Begin a replay, in small batches, and kill it when it has come to what is waited for."""
    command = [sys.executable, "-m", "stack", "replay", str(shop), *arguments]
    told = {"REGULARS_STACK_DIR": str(home.parent), "REGULARS_BATCH_EVENTS_MAX": str(BATCH)}
    replay = Popen(command, env=inherited_environment() | told, stdout=DEVNULL)
    try:
        seen = asyncio.run(patiently(until, home))
    finally:
        replay.send_signal(signal.SIGKILL)
        replay.wait()
    assert replay.returncode == -signal.SIGKILL, "it had not come to its end"
    return seen


async def patiently(until: Until, home: Path) -> int:
    """What it waits for, though the stack is still starting; 0 if that never comes."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(StackError, OSError, KafkaError, asyncpg.PostgresError):
            return await until(home)
        await asyncio.sleep(0.2)
    return 0


async def until_published(home: Path) -> int:
    """Wait until so many records of orders are in Kafka; how many there are then."""
    servers = read_env(home)["REGULARS_KAFKA_SERVERS"]
    async with AIOKafkaConsumer(ORDERS, bootstrap_servers=servers) as kafka:
        numbers = kafka.partitions_for_topic(ORDERS)
        places = [TopicPartition(ORDERS, number) for number in numbers or ()]
        return await reached(PUBLISHED, lambda: total(kafka, places))


async def total(kafka: AIOKafkaConsumer, places: list[TopicPartition]) -> int:
    return sum((await kafka.end_offsets(places)).values()) if places else 0


async def until_handled(home: Path) -> int:
    """Wait until somebody has reached a tier that ends with the year, with more of the year to
    come, and kill the workers; how many changes of tiers there are then."""
    async with watch(read_env(home)) as observer:
        loyalty = observer.databases["loyalty"]
        await reached(1, lambda: loyalty.fetchval(RISING))
        for name in KILLED:
            Daemon(name, home).kill()
        return int(await loyalty.fetchval("SELECT count(*) FROM tier_history"))


async def reached(wanted: int, count: Callable[[], Awaitable[int]]) -> int:
    deadline, seen = time.monotonic() + START_TIMEOUT_S, 0
    while seen < wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        seen = await count()
    return seen
