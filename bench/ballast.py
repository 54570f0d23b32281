"""Members with dated points, by COPY: what a million orders through the handler would leave.

Each order has one line, has arrived, and became one lot. It fills the books: members, balances,
journals, postings and lots, and `tests/test_ballast.py` shows that these are the rows of the
public door. What the service keeps of orders, decisions and tiers is left out, and so are the
journals' places in the next block (`unsealed`), as if they were sealed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from bench import measure
from services.loyalty.books import ledger, lots
from services.loyalty.books.ledger import ORDER, AccountKind, JournalKind
from services.loyalty.store.journals import JOURNAL, POSTING
from services.loyalty.store.lots import LOT
from shared.events import codec
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot, Tender

POINTS = 3_000
STORE = "default"
SOURCE = "shop/ballast"
KINDS: dict[JournalKind, tuple[AccountKind, AccountKind]] = {
    "earn": (AccountKind.ISSUED, AccountKind.PENDING),
    "activate": (AccountKind.PENDING, AccountKind.ACTIVE),
}

Rows = Iterator[tuple[Any, ...]]


@dataclass(frozen=True)
class Ballast:
    """So many members with so many lots each; all expire at one time. Order n earned at
    START + n milliseconds."""

    members: int
    lots_each: int
    expires_at: datetime | None
    prefix: str = "b"

    @property
    def orders(self) -> int:
        return self.members * self.lots_each

    def customer(self, number: int) -> str:
        return f"{self.prefix}{number // self.lots_each}"

    def order_id(self, number: int) -> str:
        return f"{self.prefix}o{number}"

    def account(self, number: int) -> UUID:
        """Of the member who has the order; drawn in truth."""
        return UUID(int=(self.orders << 64) | number // self.lots_each)

    def time(self, number: int) -> datetime:
        return measure.START + timedelta(milliseconds=number)

    def event(self, number: int) -> Event:
        """The order as the public door takes it."""
        total_minor = POINTS * 100
        snapshot = OrderSnapshot(
            customer_id=self.customer(number),
            order_id=self.order_id(number),
            revision=1,
            store=STORE,
            channel="web",
            currency="EUR",
            total_minor=total_minor,
            lines=(
                Line(
                    line_id="1",
                    quantity=1,
                    unit_price_minor=total_minor,
                    total_minor=total_minor,
                ),
            ),
            tenders=(Tender(kind="money", amount_minor=total_minor),),
            placed_at=self.time(number),
        )
        id_, time = f"e-{self.order_id(number)}", self.time(number)
        return codec.make("order.completed", snapshot, id=id_, source=SOURCE, time=time)

    async def pour(self, conn: asyncpg.Connection) -> None:
        """Into the tables; then the planner is told."""
        for table, columns, rows in (
            ("member", ("customer_id", "account_id"), self.member_rows()),
            ("balance", ("account_id", "active", "version"), self.balance_rows()),
            ("lot", LOT, self.lot_rows()),
            ("journal", JOURNAL, self.journal_rows()),
            ("posting", POSTING, self.posting_rows()),
        ):
            await conn.copy_records_to_table(table, columns=columns, records=rows, timeout=900)
        await conn.execute("ANALYZE")

    def member_rows(self) -> Rows:
        for number in range(0, self.orders, self.lots_each):
            yield self.customer(number), self.account(number)

    def balance_rows(self) -> Rows:
        """What he has, and how many journals made it."""
        for number in range(0, self.orders, self.lots_each):
            yield self.account(number), POINTS * self.lots_each, 2 * self.lots_each

    def lot_rows(self) -> Rows:
        for number in range(self.orders):
            at, order_id = self.time(number), self.order_id(number)
            id_ = lots.lot_id(at, ORDER, order_id, self.expires_at)
            shares = (POINTS, POINTS, 0, 0, 0, 0)
            yield (
                *(id_, self.account(number), ORDER, order_id, STORE, at, self.expires_at),
                *shares,
            )

    def journal_rows(self) -> Rows:
        for number in range(self.orders):
            at, order_id = self.time(number), self.order_id(number)
            account = self.account(number)
            for kind in KINDS:
                id_ = ledger.journal_id(at, ORDER, order_id, 1, kind)
                cause = (at, SOURCE, f"e-{order_id}", "shop.orders.v1", 0, number)
                yield (*(id_, account, ORDER, order_id, 1, kind), *cause, STORE, at.date(), None)

    def posting_rows(self) -> Rows:
        for number in range(self.orders):
            at, order_id = self.time(number), self.order_id(number)
            account = self.account(number)
            for kind, sides in KINDS.items():
                id_ = ledger.journal_id(at, ORDER, order_id, 1, kind)
                lot_id = lots.lot_id(at, ORDER, order_id, self.expires_at)
                in_lot = lot_id if AccountKind.ACTIVE in sides else None
                yield id_, account, POINTS, 0, *sides, "1", in_lot
