"""From order lines to orders and what was taken back of them. Pure.

What `docs/replay.md` promises about the file's oddities is kept here. In short: a line with
a positive quantity is an item of its invoice's order, duplicates included; one with a
negative quantity and a customer takes back. The file does not say from which order, so it
is matched to that customer's newest earlier items of the same article at the same price,
as far as they are not taken back yet. What is no sale, and what matches nothing, is left
out and counted by its reason.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision

from stack.errors import StackError
from stack.mapping import Kind, Mapping
from stack.retail import Row

Reason = Literal[
    "bookkeeping",  # an article code that the mapping ignores
    "stock correction",  # no customer and no price, or a negative quantity without a customer
    "negative price",
    "cancellation with a positive quantity",
    "cancellation without a customer",
    "cancellation that matches no earlier item",
]
ItemKind = Literal["product", "shipping", "fee", "gift_card", "gift"]


class Item(NamedTuple):
    """One line of an order, in minor units; there are half a million."""

    kind: ItemKind
    sku: str
    name: str
    quantity: int
    unit_price_minor: int
    discount_minor: int
    total_minor: int


class Taken(NamedTuple):
    """Pieces of the order's item at this place that a cancelling invoice took back."""

    place: int
    pieces: int
    amount_minor: int


@dataclass(slots=True)
class TakeBack:
    """What one cancelling invoice took back of one order."""

    invoice: str
    time: datetime
    taken: list[Taken] = field(default_factory=list)


@dataclass(slots=True)
class Order:
    """One invoice; `customer` is empty for a guest."""

    invoice: str
    customer: str
    country: str
    time: datetime
    items: list[Item] = field(default_factory=list)
    take_backs: list[TakeBack] = field(default_factory=list)

    @property
    def total_minor(self) -> int:
        return sum(item.total_minor for item in self.items)

    def is_cancelled(self, zone: ZoneInfo) -> bool:
        """Whether all of it was taken back at once, on the day on which it was placed."""
        if len(self.take_backs) != 1:
            return False
        only = self.take_backs[0]
        pieces: dict[int, int] = defaultdict(int)
        for taken in only.taken:
            pieces[taken.place] += taken.pieces
        whole = all(pieces[place] == item.quantity for place, item in enumerate(self.items))
        return whole and only.time.astimezone(zone).date() == self.time.astimezone(zone).date()


@dataclass(slots=True)
class LeftOut:
    """Lines that became no event; `amount` is price times quantity, as the file has it."""

    lines: int = 0
    amount: Decimal = Decimal(0)


@dataclass(slots=True)
class Sales:
    """What the file comes to; orders by time, then by their first line."""

    orders: list[Order]
    customers: dict[str, tuple[datetime, str]]
    """Each customer's first appearance, and country."""
    left_out: dict[Reason, LeftOut]
    lines: int
    taken_back_minor: int


@dataclass(slots=True)
class _Ledger:
    """The invoices as the rows come."""

    mapping: Mapping
    exponent: Decimal
    orders: dict[str, Order] = field(default_factory=dict)
    returns: list[Row] = field(default_factory=list)
    heads: dict[str, Row] = field(default_factory=dict)
    """The first line of each invoice."""
    left_out: dict[Reason, LeftOut] = field(default_factory=lambda: defaultdict(LeftOut))
    names: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, Kind | None] = field(default_factory=dict)

    def place_of(self, row: Row) -> tuple[datetime, int, int]:
        """Invoices by time and then by first line, the lines of each together."""
        head = self.heads[row.invoice]
        return (head.time, head.line, row.line)

    def leave_out(self, row: Row, reason: Reason, pieces: int | None = None) -> None:
        entry = self.left_out[reason]
        entry.lines += 1
        entry.amount += row.price * (row.quantity if pieces is None else -pieces)


def collect(rows: Iterable[Row], mapping: Mapping) -> Sales:
    """The orders of all rows, with what was taken back of each."""
    digits = get_currency_precision(mapping.currency)
    ledger = _Ledger(mapping, Decimal(10) ** digits)
    lines = 0
    for row in rows:
        lines += 1
        head = ledger.heads.setdefault(row.invoice, row)
        if head.customer != row.customer:
            raise StackError(
                f"line {row.line}: invoice {row.invoice} has another customer than on line"
                f" {head.line}; an invoice has one customer"
            )
        _sort_in(ledger, row)
    orders = sorted(ledger.orders.values(), key=lambda o: (o.time, ledger.heads[o.invoice].line))
    taken_back = _match(ledger, orders)
    customers = _customers(ledger.heads.values())
    return Sales(orders, customers, dict(ledger.left_out), lines, taken_back)


def _sort_in(ledger: _Ledger, row: Row) -> None:
    """An item, something that takes back, or neither."""
    cancels = bool(ledger.mapping.cancel_prefix) and row.invoice.startswith(
        ledger.mapping.cancel_prefix
    )
    if row.sku not in ledger.kinds:
        ledger.kinds[row.sku] = ledger.mapping.codes.kind_of(row.sku)
    kind = ledger.kinds[row.sku]
    if kind is None:
        ledger.leave_out(row, "bookkeeping")
    elif row.price < 0:
        ledger.leave_out(row, "negative price")
    elif row.quantity <= 0:
        if row.customer:
            ledger.returns.append(row)
        else:
            ledger.leave_out(
                row, "cancellation without a customer" if cancels else "stock correction"
            )
    elif cancels:
        ledger.leave_out(row, "cancellation with a positive quantity")
    elif not row.price and not row.customer:
        ledger.leave_out(row, "stock correction")
    else:
        _add_item(ledger, row, "gift" if kind == "product" and not row.price else kind)


def _add_item(ledger: _Ledger, row: Row, kind: ItemKind) -> None:
    order = ledger.orders.get(row.invoice)
    if order is None:
        head = ledger.heads[row.invoice]
        order = Order(row.invoice, row.customer, row.country, head.time)
        ledger.orders[row.invoice] = order
    # A price of a tenth of a penny is rounded up, and the line's discount makes it exact.
    unit = int((row.price * ledger.exponent).to_integral_value("ROUND_CEILING"))
    total = _minor(row.price * row.quantity, ledger.exponent)
    name = ledger.names.setdefault(row.name, row.name)  # one text for all its lines
    sku = ledger.names.setdefault(row.sku.upper(), row.sku.upper())
    item = Item(kind, sku, name, row.quantity, unit, unit * row.quantity - total, total)
    order.items.append(item)


def _minor(amount: Decimal, exponent: Decimal) -> int:
    return int((amount * exponent).to_integral_value(ROUND_HALF_UP))


@dataclass(slots=True)
class _Open:
    """An item of which pieces can still be taken back."""

    order: Order
    place: int
    pieces: int


def _match(ledger: _Ledger, orders: list[Order]) -> int:
    """Give each return its orders, newest first; the money taken back, in minor units."""
    shelves: dict[tuple[str, str, int], list[_Open]] = defaultdict(list)
    waiting = iter(orders)
    coming = next(waiting, None)
    taken_back = 0
    for row in sorted(ledger.returns, key=ledger.place_of):
        time = ledger.heads[row.invoice].time
        while coming is not None and coming.time <= time:
            _shelve(shelves, coming)
            coming = next(waiting, None)
        price = int((row.price * ledger.exponent).to_integral_value("ROUND_CEILING"))
        left = -row.quantity
        for found in _take(shelves[row.customer, row.sku.upper(), price], left):
            left -= found.pieces
            taken_back += _take_back(found, row, time)
        if left:
            ledger.leave_out(row, "cancellation that matches no earlier item", left)
    return taken_back


def _shelve(shelves: dict[tuple[str, str, int], list[_Open]], order: Order) -> None:
    if order.customer:
        for place, item in enumerate(order.items):
            shelf = shelves[order.customer, item.sku, item.unit_price_minor]
            shelf.append(_Open(order, place, item.quantity))


def _take(shelf: list[_Open], pieces: int) -> Iterator[_Open]:
    """What the newest items give of so many pieces; empty items leave the shelf."""
    while pieces and shelf:
        newest = shelf[-1]
        given = min(pieces, newest.pieces)
        pieces -= given
        newest.pieces -= given
        if not newest.pieces:
            shelf.pop()
        yield _Open(newest.order, newest.place, given)


def _take_back(found: _Open, row: Row, time: datetime) -> int:
    order, item = found.order, found.order.items[found.place]
    if not order.take_backs or order.take_backs[-1].invoice != row.invoice:
        order.take_backs.append(TakeBack(row.invoice, time))
    amount = _share(item, found.pieces)
    order.take_backs[-1].taken.append(Taken(found.place, found.pieces, amount))
    return amount


def _share(item: Item, pieces: int) -> int:
    """The money for so many pieces of the item, half up; all of it for all of them."""
    return (2 * item.total_minor * pieces + item.quantity) // (2 * item.quantity)


def _customers(heads: Iterable[Row]) -> dict[str, tuple[datetime, str]]:
    """Every customer of any invoice, where first seen."""
    found: dict[str, tuple[datetime, str]] = {}
    for row in sorted(heads, key=lambda row: (row.time, row.line)):
        if row.customer:
            found.setdefault(row.customer, (row.time, row.country))
    return found
