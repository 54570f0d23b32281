"""`python -m stack demo | replay | simulate | where`: the long runs, and one order's trace."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stack import demo as demos
from stack import replay as replays
from stack.door import Door, read_env
from stack.mapping import Mapping
from stack.publish import Published, publisher
from stack.settings import StackSettings
from stack.show import bars, console, explained
from stack.simulator import CUSTOMERS_MAX, DAY, DAYS_MAX, simulate
from stack.story import LIVE, Size, marked
from stack.where import trace

Customers = Annotated[int, typer.Option(min=1, max=CUSTOMERS_MAX)]
Days = Annotated[int, typer.Option(min=1, max=DAYS_MAX)]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the stack running.")]


def register(cli: typer.Typer) -> None:
    """Add the commands of this module to the stack's."""
    for command in (demo, replay_file, simulate_life, where):
        name = command.__name__.partition("_")[0]
        cli.command(name)(command)


def demo(
    customers: Customers = 300,
    days: Annotated[int, typer.Option(min=3, max=DAYS_MAX)] = 30,
    seed: int = 1,
    *,
    keep: Keep = False,
) -> None:
    """Start everything, live a store's life through it, show what happened, stop."""
    with explained():
        good = demos.run(Size(customers, days, seed), _home() / "demo", keep=keep)
    raise typer.Exit(0 if good else 1)


def replay_file(
    path: Annotated[Path, typer.Argument(help="UCI Online Retail or your own, .csv[.gz|.xz]")],
    mapping: Annotated[Path | None, typer.Option(help="TOML; see stack/mapping.py")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="field=NAME, such as invoice=OrderNo; several times")
    ] = None,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    date_format: Annotated[str | None, typer.Option(help="as strptime: %d.%m.%Y %H:%M")] = None,
    decimal: Annotated[str | None, typer.Option(help="of prices: . or ,")] = None,
    zone: Annotated[str | None, typer.Option(help="of the dates; default Europe/London")] = None,
    currency: Annotated[str | None, typer.Option(help="default GBP")] = None,
    clock: Annotated[str, typer.Option(help="default: two days after the newest line")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first lines.")] = None,
    fingerprint: Annotated[
        bool, typer.Option("--fingerprint", help="Print a hash of each business table.")
    ] = False,
    per_second: Annotated[float | None, typer.Option(min=1, help="Slower, to watch it.")] = None,
    keep: Keep = False,
) -> None:
    """Send a real store's history through the same door, and compare what came of it."""
    with explained():
        tab = "\t" if delimiter == "\\t" else delimiter
        text = {"delimiter": tab, "encoding": encoding, "date_format": date_format}
        money = {"decimal": decimal, "zone": zone, "currency": currency}
        read_as = Mapping.load(mapping, column or (), **text, **money)
        pace = replays.Plan(path, read_as, limit=limit, per_second=per_second)
        plan = replace(pace, clock=clock, keep=keep, fingerprint=fingerprint)
        good = replays.run(plan, _home() / "replay")
    raise typer.Exit(0 if good else 1)


def simulate_life(customers: Customers = 200, days: Days = 7, seed: int = 1) -> None:
    """Publish a simulated store's days, which end now, to a running stack."""
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    with explained():
        done = asyncio.run(_simulate(seed, customers, days, end - days * DAY))
    console.print(f"{done.events:,} events at {done.per_second:,.0f} a second")


async def _simulate(seed: int, customers: int, days: int, start: datetime) -> Published:
    env = read_env(_home())
    with bars() as progress:
        task = progress.add_task("publishing", total=None)
        async with publisher(env["REGULARS_KAFKA_SERVERS"]) as publishing:
            events = marked(simulate(seed, customers, days, start), start + days * DAY - LIVE)
            return await publishing.publish(events, lambda n: progress.advance(task, n))


def where(order_id: str) -> None:
    """Ask all four services about an order; exit code 1 if none knows it."""
    with explained(), Door(read_env(_home())) as door:
        table, known = trace(door, order_id)
    console.print(table)
    raise typer.Exit(0 if known else 1)


def _home() -> Path:
    return StackSettings().stack_dir
