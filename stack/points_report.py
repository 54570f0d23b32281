"""What a replayed history comes to in points: by month, by tier, and what will not be asked for.

The closed months are told by their statements. The open one has none yet: its journals are summed
here, another way than the service would, and all months together must come to what the books say
that members hold.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from rich.table import Table

from stack.closing import get_statements, month_after
from stack.door import Door
from stack.show import console, money

COLUMNS = ("earned", "restored", "redeemed", "expired", "reversed", "adjusted")
"""Of a statement, less what was moved between its own lines."""
ARRIVED = ("earned", "restored", "adjusted")
MEMBERS = frozenset({"pending", "active", "reserved", "owed"})
COLUMN_OF = {
    "issued": "earned",
    "redeemed": "redeemed",
    "donated": "redeemed",
    "expired": "expired",
    "clawed_back": "reversed",
    "settled": "reversed",
    "adjusted": "adjusted",
    "opening": "adjusted",
}
SPENT = ("redeemed", "expired")
BEGINNING = "1970-01-01"
PAGE = 200

Statement = Mapping[str, Any]
Month = Mapping[str, int]
"""By column, in points; as a statement tells them, so `redeemed` is above zero."""


def show(door: Door, currency: str, members: Mapping[str, int]) -> bool:
    """Print it; whether the months come to what the books say. `members`: how many by tier."""
    statements = get_statements(door)
    since = f"{month_after(statements[-1]['month'])}-01" if statements else BEGINNING
    until = (date.today() + timedelta(days=1)).isoformat()  # noqa: DTZ011  after all of history
    months = {each["month"]: each["total"]["points"] for each in statements}
    months["open"] = sum_journals(_journals(door, since, until))
    console.print(_by_month(months))
    owed = door.get("loyalty", "/v1/ledger/liability")
    worth = money(owed["minor"], currency)
    console.print(f"Members are owed {owed['points']:,} points, worth {worth}.")
    console.print(word_on_breakage(owed, statements, months.values()))
    console.print(_by_tier(door, members, until))
    come_to = sum(map(rise, months.values()))
    if come_to != owed["points"]:
        console.print(f"WRONG: the months come to {come_to:,} points", style="red")
    return bool(come_to == owed["points"])


def sum_journals(journals: Iterable[Mapping[str, Any]]) -> Month:
    """What they moved between members and the rest of the books."""
    month: Counter[str] = Counter(dict.fromkeys(COLUMNS, 0))
    for posting in (posting for journal in journals for posting in journal["postings"]):
        debit, credit, points = posting["debit"], posting["credit"], posting["points"]
        if debit in MEMBERS and credit not in MEMBERS:
            column = COLUMN_OF[credit]
            month[column] += -points if column in ARRIVED else points
        elif credit in MEMBERS and debit not in MEMBERS:
            column = COLUMN_OF[debit]
            column = "restored" if column in SPENT else column
            month[column] += points if column in ARRIVED else -points
    return month


def rise(month: Month) -> int:
    """By how much more is owed at its end."""
    return sum(month[column] * (1 if column in ARRIVED else -1) for column in COLUMNS)


def word_on_breakage(
    owed: Mapping[str, Any], statements: Sequence[Statement], months: Iterable[Month]
) -> str:
    """What the figure rests on, or why there is none."""
    idle = f"{sum(row['breakage_points'] for row in owed['rows']):,} of {owed['points']:,} points"
    closed = f"{len(statements)} closed months" if len(statements) > 1 else "one closed month"
    if owed["basis"]["breakage_from"] is None:
        return "Breakage: no estimate, because no month is closed from which to learn."
    if not any(month["redeemed"] for month in months):
        return (
            f"Breakage: no estimate. Nobody redeemed a point, so the curve of {closed} is flat at"
            f" 0 and calls {idle} breakage: that says nothing of customers who can redeem."
        )
    return f"Breakage: {idle} will not be asked for, by the redemption curve of {closed}."


def _journals(door: Door, since: str, until: str) -> Iterator[Mapping[str, Any]]:
    query: dict[str, str | int] = {"from": since, "until": until, "limit": PAGE, "cursor": ""}
    while True:
        page = door.get("loyalty", "/v1/ledger/journals", **query)
        yield from page["items"]
        if page["next"] is None:
            return
        query["cursor"] = page["next"]


def _by_month(months: Mapping[str, Month]) -> Table:
    told = [column for column in COLUMNS if any(month[column] for month in months.values())]
    table = Table("month", *told, "owed at its end", title="Points by month")
    owed = 0
    for name, month in months.items():
        owed += rise(month)
        table.add_row(name, *(f"{month[column]:,}" for column in told), f"{owed:,}")
    return table


def _by_tier(door: Door, members: Mapping[str, int], until: str) -> Table:
    """Members by their tier at the end; points by the tier in which they were earned."""
    query: dict[str, str | int] = {"from": BEGINNING, "until": until}
    costs = door.get("loyalty", "/v1/ledger/costs", **query)
    earned = {each["name"]: each["points"] for each in costs["tiers"]}
    known = [tier["code"] for tier in door.get("loyalty", "/v1/tiers")["tiers"]]
    others = sorted({*members, *earned} - {*known})
    table = Table("tier", "members at the end", "points earned in it", title="Tiers")
    for tier in (*known, *others):
        numbers = members.get(tier, 0), earned.get(tier, 0)
        table.add_row(tier or "none", *(f"{number:,}" for number in numbers))
    return table
