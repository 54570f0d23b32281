"""Loyalty's books at size: members, each with one delivered order, written by COPY.

The rows are those that the same orders leave when they come through the worker
(`bench/tests/test_ledger_ballast.py`), but for what nobody measures here: decisions on lines, the
outbox, and the journals that wait to be sealed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from bench.measure import START
from services.loyalty.books import ledger, lots
from services.loyalty.books.ledger import ORDER, AccountKind
from services.loyalty.books.lots import Lot
from shared.events import codec
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot, Tender

LINE_MINOR = 1_000
LINE_POINTS = 10
WAIT = timedelta(days=1)
"""From payment to delivery."""
CHUNK = 20_000  # members to a COPY
EARN = AccountKind.ISSUED, AccountKind.PENDING
ACTIVATE = AccountKind.PENDING, AccountKind.ACTIVE

COLUMNS: dict[str, tuple[str, ...]] = {
    "member": ("customer_id", "account_id"),
    "balance": ("account_id", "pending", "active", "reserved", "owed", "version"),
    "journal": (
        *("id", "account_id", "source", "document", "revision", "kind", "event_time"),
        *("cause_source", "cause_id", "cause_topic", "cause_partition", "cause_offset"),
        *("store", "accounting_date"),
    ),
    "posting": (
        *("journal_id", "account_id", "points", "position", "debit", "credit", "line", "lot_id"),
    ),
    "lot": Lot._fields,
    "order_state": (
        *("order_id", "customer_id", "revision", "type", "event_time", "store", "verdict"),
        *("earned_in", "lines"),
    ),
}
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """The n-th member, and his order."""

    number: int
    lines: int

    @property
    def customer_id(self) -> str:
        return f"c{self.number}"

    @property
    def order_id(self) -> str:
        return f"o{self.number}"

    @property
    def account_id(self) -> UUID:
        """Any will do that is drawn once."""
        return UUID(int=0xBA << 120 | self.number)

    @property
    def paid_at(self) -> datetime:
        return START + timedelta(seconds=self.number)

    @property
    def points(self) -> int:
        return self.lines * LINE_POINTS


def events(member: Member) -> list[Event]:
    """What the shop tells of the order."""
    return [
        _event(member, "order.paid", 2, member.paid_at, 0),
        _event(member, "order.delivered", 4, member.paid_at + WAIT, 1),
    ]


def rows(member: Member) -> dict[str, list[Row]]:
    """What the order leaves in each table."""
    account, order_id, paid_at = member.account_id, member.order_id, member.paid_at
    arrived_at = paid_at + WAIT
    earn = ledger.journal_id(paid_at, ORDER, order_id, 2, "earn")
    activate = ledger.journal_id(arrived_at, ORDER, order_id, 4, "activate")
    lot = lots.lot_id(arrived_at, ORDER, order_id, None)
    names = [f"{number:02}" for number in range(member.lines)]
    booked = [LINE_MINOR, LINE_POINTS, 0, LINE_POINTS, int(arrived_at.timestamp())]
    state = (order_id, member.customer_id, 4, "order.delivered", arrived_at, "default", "earns")
    held = (arrived_at, None, member.points, member.points, 0, 0, 0, 0)
    return {
        "member": [(member.customer_id, account)],
        "balance": [(account, 0, member.points, 0, 0, 2)],
        "journal": [
            _journal(member, earn, 2, "earn", paid_at),
            _journal(member, activate, 4, "activate", arrived_at),
        ],
        "posting": [
            (journal, account, LINE_POINTS, place, *sides, name, into)
            for journal, sides, into in ((earn, EARN, None), (activate, ACTIVATE, lot))
            for place, name in enumerate(names)
        ],
        "lot": [(lot, account, ORDER, order_id, "default", *held)],
        "order_state": [(*state, earn, json.dumps(dict.fromkeys(names, booked)))],
    }


async def load(conn: asyncpg.Connection, members: int, lines: int) -> None:
    """So many members into an empty database."""
    for chunk in _chunks(members, lines):
        gathered: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        for member in chunk:
            for table, found in rows(member).items():
                gathered[table] += found
        for table, found in gathered.items():
            await conn.copy_records_to_table(table, columns=COLUMNS[table], records=found)


def _chunks(members: int, lines: int) -> Iterator[Sequence[Member]]:
    for first in range(0, members, CHUNK):
        yield [Member(n, lines) for n in range(first, min(members, first + CHUNK))]


def _journal(member: Member, id_: UUID, revision: int, kind: str, time: datetime) -> Row:
    order_id = member.order_id
    return (
        *(id_, member.account_id, ORDER, order_id, revision, kind, time),
        *("shop/bench", f"{order_id}-{revision}", "shop.orders.v1", 0, member.number),
        *("default", time.date()),
    )


def _event(member: Member, type_: str, revision: int, time: datetime, delivered: int) -> Event:
    lines = tuple(
        Line(
            line_id=f"{number:02}",
            quantity=1,
            unit_price_minor=LINE_MINOR,
            total_minor=LINE_MINOR,
            delivered=delivered,
        )
        for number in range(member.lines)
    )
    total_minor = LINE_MINOR * member.lines
    order = OrderSnapshot(
        customer_id=member.customer_id,
        order_id=member.order_id,
        revision=revision,
        store="default",
        currency="EUR",
        total_minor=total_minor,
        lines=lines,
        tenders=(Tender(kind="money", amount_minor=total_minor),),
    )
    name = f"{member.order_id}-{revision}"
    return codec.make(type_, order, id=name, source="shop/bench", time=time)
