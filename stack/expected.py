"""What a correct replay comes to, computed another way: one plain pass over the file.

Nothing of `sales` or `history` is used here, and no event: only the raw columns, so that a
mistake there cannot hide.
"""

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

from babel.numbers import get_currency_precision

from stack.retail import OPENERS, Layout


@dataclass(frozen=True, slots=True)
class Expected:
    """`minor` sums are of price times quantity, each line rounded as an invoice rounds it.

    Without cancellations, gifts and the codes that the mapping ignores.
    """

    lines: int
    customers: int
    orders: int
    minor: int
    guest_orders: int
    guest_minor: int


@dataclass(slots=True)
class _Sums:
    """Invoices with something to pay, and what."""

    customers: set[str]
    invoices: set[str]
    minor: int = 0

    def add(self, customer: str, invoice: str, minor: int) -> None:
        self.customers.add(customer)
        self.invoices.add(invoice)
        self.minor += minor


def recompute(layout: Layout, limit: int | None = None) -> Expected:
    """The figures of the file, or of its first `limit` lines."""
    mapping = layout.mapping
    exponent = Decimal(10) ** get_currency_precision(mapping.currency)
    is_ignored = cache(lambda sku: mapping.codes.kind_of(sku) is None)
    known, guests = _Sums(set(), set()), _Sums(set(), set())
    lines = 0
    for told in itertools.islice(_records(layout), limit):
        lines += 1
        price = _decimal(told["price"], mapping.decimal)
        quantity = Decimal(told["quantity"])
        amount = price * quantity * exponent
        minor = int(amount.to_integral_value(ROUND_HALF_UP))
        cancels = mapping.cancel_prefix and told["invoice"].startswith(mapping.cancel_prefix)
        if cancels or quantity <= 0 or minor <= 0 or is_ignored(told["sku"]):
            continue
        customer = told.get("customer", "")
        (known if customer else guests).add(customer, told["invoice"], minor)
    return Expected(
        lines=lines,
        customers=len(known.customers),
        orders=len(known.invoices),
        minor=known.minor,
        guest_orders=len(guests.invoices),
        guest_minor=guests.minor,
    )


def _records(layout: Layout) -> Iterator[dict[str, str]]:
    """The raw texts of each line, by field."""
    opener = OPENERS.get(layout.path.suffix, open)
    places = {name: place for name, place in layout.places.items() if place >= 0}
    with opener(layout.path, "rt", encoding=layout.mapping.encoding, newline="") as file:
        rows = csv.reader(file, delimiter=layout.delimiter)
        next(rows)
        for fields in filter(None, rows):
            yield {name: fields[place].strip() for name, place in places.items()}


def _decimal(text: str, point: str) -> Decimal:
    plain = text.strip("£$€¥ ")
    return Decimal(plain.replace(".", "").replace(",", ".") if point == "," else plain)
