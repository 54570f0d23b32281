"""What a replayed history comes to in points: by month, by tier, and what will not be asked for."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

from rich.table import Table

from stack.door import Door
from stack.show import console, money


def show(door: Door, currency: str) -> None:
    """Print it."""
    owed = door.get("loyalty", "/v1/ledger/liability")
    table = Table("became spendable in", "points held", "of them never asked for")
    held: Counter[str] = Counter()
    never: Counter[str] = Counter()
    for row in owed["rows"]:
        name = row["cohort"] or row["group"]
        held[name] += row["points"]
        never[name] += row["breakage_points"]
    for name in sorted(held):
        table.add_row(name, f"{held[name]:,}", f"{never[name]:,}")
    console.print(table)
    worth = money(owed["minor"], currency)
    console.print(f"Owed: {owed['points']:,} points, worth {worth}")
    console.print(_tiers(door))


def _tiers(door: Door) -> str:
    """What each tier's members were given over all time."""
    until = date.today() + timedelta(days=1)  # noqa: DTZ011  any day after all of history
    query: dict[str, str | int] = {"from": "1970-01-01", "until": until.isoformat()}
    costs: dict[str, Any] = door.get("loyalty", "/v1/ledger/costs", **query)
    told = (f"{each['name'] or 'no tier'} {each['points']:,}" for each in costs["tiers"])
    return f"Points earned by members of each tier: {', '.join(told)}"
