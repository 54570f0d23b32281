"""What another system's file says, row by row: what can be taken, and what is wrong. Pure.

A row is named as a spreadsheet shows it: in a CSV file the header is row 1. Every wrong
field of every row is told, with what to do. Rows are held against each other, too: none
twice, and an order's lines all of one customer, store and time.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Names
from dataclasses import dataclass
from datetime import datetime

from services.loyalty.arrivals.import_benefits import (
    MONEY_MAX,
    Benefit,
    read_coupon,
    read_term,
    read_tier,
)
from services.loyalty.arrivals.import_columns import Kind, fields_of
from services.loyalty.arrivals.import_fields import ID_MAX, Fault, Fields, Memory, Record, Terms
from services.loyalty.books.ledger import POINTS_MAX

QUANTITY_MAX = 1_000_000
TEXT_MAX = 500


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """One dated lot that a customer brings along."""

    row: int
    customer_id: str
    points: int
    earned_at: datetime
    expires_at: datetime | None
    store: str
    note: str
    order_id: str
    """The order that earned it, if it may still be returned: its points are taken back here."""

    @property
    def identity(self) -> str:
        """Equal for rows that say the same."""
        until = self.expires_at.isoformat() if self.expires_at else ""
        told = (self.customer_id, str(self.points), self.earned_at.isoformat(), until)
        return "\x1f".join((*told, self.store, self.note, self.order_id))


@dataclass(frozen=True, slots=True)
class AwardRow:
    """What one line of an order earned elsewhere, while it may still be returned.

    `points` is what it earned, `points_back` what was taken back since. Of a pending line
    the points are not in the balances yet.
    """

    row: int
    customer_id: str
    order_id: str
    line_id: str
    points: int
    points_back: int
    total_minor: int
    quantity: int
    ordered_at: datetime
    store: str
    pending: bool

    @property
    def identity(self) -> str:
        return f"{self.order_id}\x1f{self.line_id}"


Row = BalanceRow | AwardRow | Benefit


@dataclass(slots=True)
class Control:
    """Control totals of what is taken; `empty` rows have no points, and bring nothing."""

    rows: int = 0
    points: int = 0
    minor: int = 0
    """Money, in minor units of the base currency, of what is not points."""
    customers: int = 0
    empty: int = 0

    def count(self, row: Row, memory: Memory) -> None:
        first, _ = memory.first(f"customer\x1f{row.customer_id}", row.row)
        self.rows += 1
        self.points += brought(row)
        self.minor += minor_of(row)
        self.customers += first == row.row


def brought(row: Row) -> int:
    """The points that enter the books with a row."""
    if isinstance(row, BalanceRow):
        return row.points
    if isinstance(row, AwardRow):
        return row.points - row.points_back if row.pending else 0
    return 0


def minor_of(row: Row) -> int:
    """What a row adds to the control total of money."""
    return 0 if isinstance(row, BalanceRow | AwardRow) else row.minor


def read(
    records: Iterable[tuple[int, Record]], terms: Terms, memory: Memory, control: Control
) -> Iterator[Row | Fault]:
    """Each row that can be taken, and each fault, in the file's order."""
    for number, record in records:
        taken = Fields(number, record, terms, memory)
        row = _READERS[terms.kind](taken)
        if not taken.faults:
            _recall(row, taken, memory)
        if taken.faults:
            yield from taken.faults
        elif isinstance(row, BalanceRow) and not row.points:
            control.empty += 1
        else:
            yield row


def _recall(row: Row, taken: "Fields", memory: Memory) -> None:
    """What rows must be to each other: none twice, an order's all of one customer and store."""
    first, _ = memory.first(f"row\x1f{row.identity}", row.row)
    if first != row.row:
        taken.wrong("row", f"says the same as row {first}; {_ONCE[taken.terms.kind]}")
    elif isinstance(row, AwardRow):
        whose = f"{row.customer_id}\x1f{row.store}\x1f{row.ordered_at.isoformat()}"
        first, before = memory.first(f"order\x1f{row.order_id}", row.row, whose)
        if before != whose:
            taken.wrong(
                "order_id",
                f"row {first} gives this order another customer, store or time; an order has one",
            )


def _balance(taken: Fields) -> BalanceRow:
    customer_id, store = taken.customer(), taken.store()
    return BalanceRow(
        row=taken.row,
        customer_id=customer_id,
        points=taken.number("points", POINTS_MAX),
        earned_at=taken.past("earned_at", store),
        expires_at=taken.future("expires_at", store),
        store=store,
        note=taken.text("note")[:TEXT_MAX],
        order_id=taken.text("order_id")[:ID_MAX],
    )


def _award(taken: Fields) -> AwardRow:
    customer_id, store = taken.customer(), taken.store()
    points = taken.number("points", POINTS_MAX)
    status = taken.text("status") or "active"
    if status not in {"active", "pending"}:
        taken.wrong("status", f"{status!r} is neither active nor pending")
    back = taken.number("points_back", POINTS_MAX) if taken.text("points_back") else 0
    if back > points:
        taken.wrong("points_back", f"{back} is more than the {points} points that the line earned")
    return AwardRow(
        row=taken.row,
        customer_id=customer_id,
        order_id=taken.id("order_id"),
        line_id=taken.id("line_id"),
        points=points,
        points_back=back,
        total_minor=taken.number("total_minor", MONEY_MAX),
        quantity=taken.number("quantity", QUANTITY_MAX, least=1),
        ordered_at=taken.past("ordered_at", store),
        store=store,
        pending=status == "pending",
    )


_READERS: dict[Kind, Callable[[Fields], Row]] = {
    "balances": _balance,
    "awards": _award,
    "tiers": read_tier,
    "coupons": read_coupon,
    "memberships": read_term,
}
_ONCE: dict[Kind, str] = {
    "balances": "give it once, or, if both are meant, tell them apart by their notes",
    "awards": "an order has each line once",
    "tiers": "a customer's day is counted once, and he has one tier without a day",
    "coupons": "a code is one customer's, once",
    "memberships": "a document is one term, once",
}


def named(record: Record, places: Names[str, str], kind: Kind) -> Record:
    """A file's record by our field names."""
    return {name: record.get(places[name]) for name in fields_of(kind) if name in places}
