"""How rows from elsewhere enter the books, and how they leave them again. Pure.

A balance row is one lot with its own dates, moved in from the programme's account OPENING.
An award row gives one line of an order the award that it had elsewhere: a later return
takes exactly that back, whatever our rules say. Points of a pending line come from OPENING,
too; those of an active line are in a balance row already, so they are not booked again.

A row has one journal: document the batch, revision the row, for ever. A reversal moves back
what is still there: from a lot what remains of it, from an order what is still pending if
no event has touched it. What the member has spent or owes is named, and stays booked.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.loyalty.arrivals.import_rows import AwardRow, BalanceRow, brought
from services.loyalty.books import ledger, lots
from services.loyalty.books import wallet as wallets
from services.loyalty.books.ledger import ORDER, SOURCE, Account, AccountKind, Deed, Posting
from services.loyalty.books.lines import LineState
from services.loyalty.books.lots import Lot
from services.loyalty.books.wallet import Wallet
from services.loyalty.earning.orders import Judged, OrderState

IMPORT = "import"
"""The source of journals and lots that were brought from elsewhere."""
IMPORTED = "order.imported"
"""The type of an order that no event has touched yet."""
REVISION_FLOOR = -(10**12)
"""Below every revision of an order; a later batch is above an earlier one."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of a row: a lot, or a line of an order."""

    row: int
    account_id: UUID
    lot_id: UUID | None
    points: int
    """What it moved out of OPENING."""
    order_id: str = ""
    line_id: str = ""
    note: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Of what is no points: what a reversal has to know."""


@dataclass(frozen=True, slots=True)
class Stays:
    """A row that could not be taken back, or not whole, and why."""

    row: Brought
    why: str
    points: int = 0


@dataclass(frozen=True, slots=True)
class Award:
    """What one line had earned, for the history of awards."""

    order_id: str
    line_id: str
    revision: int
    rule_id: str
    basis_minor: int
    points: int
    inputs: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a chunk of rows comes to."""

    wallet: Wallet
    rows: list[Brought] = field(default_factory=list)
    orders: dict[str, OrderState] = field(default_factory=dict)
    awards: list[Award] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the rows of one file share."""

    id: int
    at: datetime
    """When what it says became true here."""

    @property
    def revision(self) -> int:
        return revision_of(self.id)

    def name(self, row: int) -> str:
        """Of what a row has brought, for ever; it can stand in a path."""
        return f"import-{self.id}-{row}"

    def deed(self, row: int, store: str) -> Deed:
        cause = ledger.cause_of(SOURCE, f"import/{self.id}/{row}", self.at)
        return Deed(IMPORT, str(self.id), row, cause, store)


def is_import(name: str) -> bool:
    """Whether it is the name of what a row has brought, as `Batch.name` makes it."""
    return re.fullmatch(r"import-\d+-\d+", name) is not None


def revision_of(batch_id: int) -> int:
    """Of the orders that the batch has brought, until an event comes."""
    return REVISION_FLOOR + batch_id


def rule_id_of(batch_id: int) -> str:
    """Stands where the id of a rule does, for what the batch's rows say."""
    return f"import/{batch_id}"


def settled(judged: Iterable[Judged], orders: Mapping[str, OrderState]) -> list[Judged]:
    """The verdicts, where an order that was brought from elsewhere is one that earns.

    It has been decided there: a history that begins with an order still unpaid takes nothing back.
    """
    brought = {id_ for id_, state in orders.items() if state.import_id is not None}
    return [
        (event, "earns" if event.data.order_id in brought else verdict) for event, verdict in judged
    ]


def open_lots(batch: Batch, accounts: Mapping[str, Account], rows: Iterable[BalanceRow]) -> Opened:
    """Each row's lot; who owes points pays them with it."""
    out = Opened(Wallet.open(accounts.values()))
    for row in rows:
        account_id = accounts[row.customer_id].account_id
        lot = _lot(batch, account_id, row)
        out.wallet.put(lot)
        opening = Posting(str(lot.id), AccountKind.OPENING, AccountKind.ACTIVE, row.points, lot.id)
        repaid = wallets.repay(out.wallet, account_id, [lot.id])
        deed = batch.deed(row.row, row.store)
        out.wallet.book(account_id, deed, "opening", [opening, *repaid])
        out.rows.append(Brought(row.row, account_id, lot.id, row.points, note=row.note))
    return out


def _lot(batch: Batch, account_id: UUID, row: BalanceRow) -> Lot:
    document = f"{batch.id}/{row.row}"
    return Lot(
        id=lots.lot_id(row.earned_at, IMPORT, document, row.expires_at),
        account_id=account_id,
        source=ORDER if row.order_id else IMPORT,
        document=row.order_id or document,
        store=row.store,
        earned_at=row.earned_at,
        expires_at=row.expires_at,
        points=row.points,
        remaining=row.points,
    )


def open_awards(
    batch: Batch,
    accounts: Mapping[str, Account],
    orders: Mapping[str, OrderState],
    rows: Iterable[AwardRow],
) -> Opened:
    """Each row's line; `orders` are those that earlier rows of the batch have begun."""
    out = Opened(Wallet.open(accounts.values()))
    for row in rows:
        account_id = accounts[row.customer_id].account_id
        before = out.orders.get(row.order_id) or orders.get(row.order_id) or _order(batch, row)
        earned_in = before.earned_in
        if points := brought(row):
            posting = Posting(row.line_id, AccountKind.OPENING, AccountKind.PENDING, points)
            deed = batch.deed(row.row, row.store)
            earned_in = out.wallet.book(account_id, deed, "opening", [posting]).id
        lines = {**before.lines, row.line_id: _line(row)}
        out.orders[row.order_id] = before._replace(lines=lines, earned_in=earned_in)
        out.awards.append(_award(batch, row))
        out.rows.append(
            Brought(row.row, account_id, None, points, row.order_id, row.line_id),
        )
    return out


def _award(batch: Batch, row: AwardRow) -> Award:
    return Award(
        order_id=row.order_id,
        line_id=row.line_id,
        revision=batch.revision,
        rule_id=rule_id_of(batch.id),
        basis_minor=row.total_minor,
        points=row.points,
        inputs={"import": batch.id, "row": row.row, "quantity": row.quantity},
    )


def _order(batch: Batch, row: AwardRow) -> OrderState:
    return OrderState(
        order_id=row.order_id,
        customer_id=row.customer_id,
        revision=batch.revision,
        type=IMPORTED,
        time=row.ordered_at,
        store=row.store,
        verdict="earns",
        import_id=batch.id,
    )


def _line(row: AwardRow) -> LineState:
    left = row.points - row.points_back
    pending, active = (left, 0) if row.pending else (0, left)
    # Points that count already have arrived, and no later snapshot sends them back.
    due = 0 if row.pending else int(row.ordered_at.timestamp())
    return LineState(row.total_minor, row.points, pending, active, due)


@dataclass(frozen=True, slots=True)
class Closed:
    """What a chunk of rows comes to when it is taken back; `kept` is what could not be."""

    wallet: Wallet
    kept: list[Stays] = field(default_factory=list)
    """Rows with points that stay."""
    orders: dict[str, OrderState] = field(default_factory=dict)
    """Those that still have lines."""
    emptied: set[str] = field(default_factory=set)
    """Those that have none left."""


def take_back(
    batch: Batch,
    accounts: Iterable[Account],
    found: Iterable[Lot],
    orders: Mapping[str, OrderState],
    rows: Iterable[Brought],
) -> Closed:
    """Move back to OPENING what is still there of these rows."""
    out = Closed(Wallet.open(accounts, found))
    for row in rows:
        if row.lot_id:
            _empty_lot(batch, row, out)
        else:
            _drop_line(batch, row, orders, out)
    return out


def _empty_lot(batch: Batch, row: Brought, out: Closed) -> None:
    assert row.lot_id, "a row of balances is a lot"
    lot = out.wallet.lots[row.lot_id]
    left = lot.remaining
    if left:
        out.wallet.put(lot.move("remaining", "taken_back", left))
        posting = Posting(str(lot.id), AccountKind.ACTIVE, AccountKind.OPENING, left, lot.id)
        deed = batch.deed(row.row, lot.store)
        out.wallet.book(row.account_id, deed, "reverse", [posting])
    gone = {"spent": lot.used, "reserved": lot.reserved, "expired": lot.expired}
    gone["taken back"] = lot.taken_back
    if row.points > left:
        why = ", ".join(f"{points} {share}" for share, points in gone.items() if points)
        out.kept.append(Stays(row, why, row.points - left))


def _drop_line(batch: Batch, row: Brought, orders: Mapping[str, OrderState], out: Closed) -> None:
    state = out.orders.get(row.order_id) or orders.get(row.order_id)
    if state is None or state.revision != batch.revision or state.customer_id is None:
        what = "customer was erased" if state and not state.customer_id else "order has had events"
        out.kept.append(Stays(row, f"its {what}", row.points))
        return
    if row.points:
        posting = Posting(row.line_id, AccountKind.PENDING, AccountKind.OPENING, row.points)
        deed = batch.deed(row.row, state.store)
        out.wallet.book(row.account_id, deed, "reverse", [posting])
    lines = {line_id: line for line_id, line in state.lines.items() if line_id != row.line_id}
    out.orders[row.order_id] = state._replace(lines=lines)
    if not lines:
        out.emptied.add(row.order_id)
