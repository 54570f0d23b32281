"""A real store's history through the same door as live events, and the proof that it came to
what the file says.

The replay has a stack of its own, `replay` in the stack's folder, with the file's store and
the clock set to two days after the file's end. By that clock all periods of the file are over,
so the workers start when all of it is in Kafka: what ends by time waits until they have handled
what is there. Run again, or cut off and run again, it
publishes all events again, under the same ids, and ends in the same state. With another
file, mapping or limit it begins anew.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.progress import Progress, TaskID
from rich.table import Table

from shared.clock import Clock
from stack import closing, fingerprint, points_report, programme, retail
from stack.caught_up import Standing, watch
from stack.checks import Check, compare
from stack.door import Door, read_env
from stack.expected import Expected, recompute
from stack.history import History
from stack.layout import write_private
from stack.mapping import Mapping
from stack.processes import undisturbed
from stack.publish import Published, publisher
from stack.retail import Layout
from stack.sales import Sales, collect
from stack.show import bars, console, lag_bar, money, say
from stack.supervisor import Supervisor

STORES = """\
base_currency = "{currency}"

[[store]]
id = "{store}"
channel = "web"
zone = "{zone}"
currency = "{currency}"
locale = "en"
sender = "Shop <shop@shop.example>"
"""
READ_STEP = 1_000
CLOCK_AFTER = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is replayed, and how. `clock` empty: two days after the newest line, at midnight."""

    path: Path
    mapping: Mapping
    limit: int | None = None
    clock: str = ""
    keep: bool = False
    """Leave the stack running."""
    fingerprint: bool = False
    per_second: float | None = None
    """At most so many events a second; None: as fast as it goes."""


def run(plan: Plan, home: Path) -> bool:
    """Replay the file; whether everything came out as the file says."""
    layout = retail.inspect(plan.path, plan.mapping)
    if layout.unused:
        console.print(f"Columns not used: {', '.join(layout.unused)}")
    sales = _read(layout, plan.limit)
    history = History(sales, plan.mapping, plan.path)
    supervisor = Supervisor(home)
    _settle(supervisor, plan, history)
    lived = False
    try:
        supervisor.up(say, clock=_clock(plan, sales), workers=False)
        with Door(read_env(home)) as door:
            programme.lay_down(door)
        published = asyncio.run(_publish(history, plan, home))
        supervisor.up(say)
        asyncio.run(_live_through(published, home))
        _close_months(sales, plan.mapping, home)
        good = _judge(layout, plan, sales, home)
        if plan.fingerprint:
            _print_fingerprint(asyncio.run(_fingerprint(home)))
        lived = True
    finally:
        if not (plan.keep and lived):
            with undisturbed():
                say("stopping; the data stay")
                supervisor.down()
    _say_where(home, running=plan.keep)
    return good


def _read(layout: Layout, limit: int | None) -> Sales:
    with bars() as progress:
        task = progress.add_task(f"reading {layout.path.name}", total=None)
        sales = collect(_counted(layout, limit, progress, task), layout.mapping)
        progress.update(task, completed=sales.lines, total=sales.lines)
    currency = layout.mapping.currency
    table = Table("left out", "lines", "amount", title="Lines that become no event")
    for reason, entry in sorted(sales.left_out.items()):
        table.add_row(reason, f"{entry.lines:,}", f"{entry.amount:,.2f} {currency}")
    if sales.left_out:
        console.print(table)
    taken_back = money(sales.taken_back_minor, currency)
    console.print(f"{len(sales.orders):,} orders; {taken_back} taken back of them later")
    return sales


def _counted(
    layout: Layout, limit: int | None, progress: Progress, task: TaskID
) -> Iterator[retail.Row]:
    for number, row in enumerate(retail.read(layout, limit), start=1):
        yield row
        if number % READ_STEP == 0:
            progress.advance(task, READ_STEP)


def _clock(plan: Plan, sales: Sales) -> str:
    if plan.clock:
        return plan.clock
    newest = max((order.time for order in sales.orders), default=datetime.now(UTC))
    midnight = newest.replace(hour=0, minute=0, second=0, microsecond=0)
    clock = Clock(frozen_at=midnight + CLOCK_AFTER)
    assert clock.frozen_at
    return clock.frozen_at.isoformat()


def _settle(supervisor: Supervisor, plan: Plan, history: History) -> None:
    """The folder for this history: another one's data are deleted."""
    marker = supervisor.home / "replay.json"
    wanted = {
        "source": history.source,
        "limit": plan.limit,
        "mapping": plan.mapping.model_dump(mode="json"),
    }
    try:
        before = json.loads(marker.read_text())
    except (OSError, ValueError):
        before = None
    if before != wanted:
        say("deleting the data of another replay" if before else "a new replay")
        supervisor.erase()
        write_private(marker, json.dumps(wanted))
    mapping = plan.mapping
    stores = STORES.format(store=mapping.store, zone=mapping.zone, currency=mapping.currency)
    write_private(supervisor.home / "stores.toml", stores)


async def _publish(history: History, plan: Plan, home: Path) -> Published:
    async with publisher(read_env(home)["REGULARS_KAFKA_SERVERS"]) as publishing:
        with bars() as progress:
            task = progress.add_task("publishing", total=len(history))
            done = await publishing.publish(
                history, lambda n: progress.advance(task, n), per_second=plan.per_second
            )
    size = f"{done.bytes / 1e6:,.0f} MB"
    console.print(f"{done.events:,} events, {size}, at {done.per_second:,.0f} a second")
    return done


async def _live_through(published: Published, home: Path) -> None:
    """Wait until the services have handled it all, and done what then is due by the clock."""
    began = time.monotonic()
    async with watch(read_env(home)) as observer:
        with lag_bar() as tell:
            await observer.wait(tell)
        took = time.monotonic() - began
        rate = published.events / took
        console.print(f"Handled by all four services in {took:.0f} s: {rate:,.0f} events a second")
        say("what is due by the clock")
        await observer.wait_for_jobs()
        await observer.wait(lambda _standings: None)


def _close_months(sales: Sales, mapping: Mapping, home: Path) -> None:
    """Those of the file that are over by the clock. Only now: a fact that came to a closed month
    would be booked in the next, so a replay that was cut off would not end as others do."""
    if not sales.orders:
        return
    first = min(order.time for order in sales.orders).astimezone(ZoneInfo(mapping.zone))
    say("closing the months that are over, by two keys")
    with Door(read_env(home)) as door:
        closing.close_all(door, home, f"{first:%Y-%m}")
    asyncio.run(_idle(home))


async def _idle(home: Path) -> None:
    async with watch(read_env(home)) as observer:
        await observer.wait(lambda _standings: None)


def _judge(layout: Layout, plan: Plan, sales: Sales, home: Path) -> bool:
    """Compare the services' answers with the file, and print it."""
    say("computing the figures from the file once more, another way")
    expected = recompute(layout, plan.limit)
    env = read_env(home)
    standings, members = asyncio.run(_look(env))
    with Door(env) as door:
        checks = compare(expected, sales, plan.mapping.currency, door, standings)
        ties = points_report.show(door, plan.mapping.currency, members)
    _print_checks(checks, expected)
    return ties and all(check.good for check in checks)


async def _look(env: dict[str, str]) -> tuple[list[Standing], dict[str, int]]:
    async with watch(env) as observer:
        return await observer.look(), await observer.members()


async def _fingerprint(home: Path) -> dict[str, dict[str, tuple[int, str]]]:
    async with watch(read_env(home)) as observer:
        return await fingerprint.of_databases(observer.databases)


def _print_checks(checks: Sequence[Check], expected: Expected) -> None:
    table = Table("figure", "the file", "the suite", "", title=f"{expected.lines:,} lines")
    for check in checks:
        mark = "[green]equal[/]" if check.good else "[red]differs[/]"
        table.add_row(check.name, check.expected, check.found, mark)
    console.print(table)


def _print_fingerprint(found: dict[str, dict[str, tuple[int, str]]]) -> None:
    table = Table("service", "table", "rows", "hash", title="Fingerprint of the state")
    for service, tables in found.items():
        for name, (rows, digest) in tables.items():
            table.add_row(service, name, f"{rows:,}", digest)
    console.print(table)
    console.print(f"All of it: {fingerprint.in_one(found)}")


def _say_where(home: Path, *, running: bool) -> None:
    command = f"REGULARS_STACK_DIR={home} python -m stack"
    if running:
        console.print(f"It runs on; addresses and admin key: {home}/env. End it: {command} down")
    else:
        console.print(f"Look around in it: {command} up")
