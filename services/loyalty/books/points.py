"""Whether an order earns, and what of a line's points remains. Pure: of one snapshot.

How many points is `awarding.py`'s.

Taking back. A line keeps its points less the larger of two shares, rounded down: pieces
cancelled or returned of pieces ordered, and money refunded of the line's total. Both are
cumulative, so each step is the difference to the step before, and a line that is wholly
returned or refunded has given back exactly what it earned, in however many parts.

When. Points are pending once the order is paid, and active once the line has arrived, whole:
all its pieces but the cancelled ones are delivered. Both are read from the snapshot alone,
never from what was seen before, so that a lost or late event changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from shared.events.orders import Line, OrderSnapshot
from shared.stores import Stores

Verdict = Literal[
    "earns",
    "guest",
    "not_a_member",
    "test_order",
    "store_excluded",
    "no_base_total",
    "unpaid",
    "erased",
]
"""Whether an order earns, or why not."""

# ISO 4217: the currencies whose minor unit is not a hundredth, with its digits.
DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}

UNPAID_TYPES = frozenset({"order.changed", "order.cancelled"})
"""May happen before payment, so only the snapshot can tell; every other type implies it."""
CLOSING_TYPES = frozenset({"order.cancelled", "order.refunded", "return.received"})
"""May follow on a cancellation, which not every producer counts by pieces: they take nothing again
that it has freed."""
BEFORE_ARRIVAL_TYPES = frozenset(
    {"order.placed", "order.paid", "order.changed", "order.shipped", "order.cancelled"}
)


class RuleName(NamedTuple):
    """One version of an earning rule; it never changes once it has awarded."""

    id: str
    version: int


BASE = RuleName("base", 1)
"""The rule that holds as long as the store has laid down none."""


def is_guest(customer_id: str) -> bool:
    return customer_id.startswith("guest:")


def judge(type_: str, order: OrderSnapshot, stores: Stores) -> Verdict:
    """Whether the order earns as it now stands."""
    if is_guest(order.customer_id):
        return "guest"
    if order.test:
        return "test_order"
    if not stores.get(order.store).earns:
        return "store_excluded"
    if order.currency != stores.base_currency and order.base_total_minor is None:
        return "no_base_total"
    return "earns" if is_paid(type_, order) else "unpaid"


def is_paid(type_: str, order: OrderSnapshot) -> bool:
    """Shops ship what is paid, or collect at the door: pending points are safe from then on."""
    if type_ == "order.placed":
        return False
    if type_ not in UNPAID_TYPES or any(tender.amount_minor for tender in order.tenders):
        return True
    return any(line.shipped or line.delivered or line.returned for line in order.lines)


def apportion(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """`total` in whole parts in proportion to `weights`; they sum to it exactly.

    Taken by ascending name, each part is the difference of two running sums, rounded down.
    """
    whole = sum(weights.values())
    if whole <= 0:
        return dict.fromkeys(weights, 0)
    names = sorted(weights)
    running = accumulate(weights[name] for name in names)
    return steps(names, (total * mark // whole for mark in running))


def steps(names: Iterable[str], marks: Iterable[int]) -> dict[str, int]:
    """The differences of a running sum: they sum to its last mark."""
    before = 0
    found: dict[str, int] = {}
    for name, mark in zip(names, marks, strict=True):
        found[name] = mark - before
        before = mark
    return found


def bases_of(order: OrderSnapshot, base_currency: str) -> dict[str, int]:
    """The product lines' totals in minor units of the base currency, by line id.

    Another currency is converted by the order's own proportion of base total to total.
    """
    totals = {line.line_id: line.total_minor for line in order.lines}
    if order.currency != base_currency:
        assert order.base_total_minor is not None, "judge() lets no such order earn"
        totals = apportion(order.base_total_minor, totals)
    return {
        line.line_id: totals[line.line_id]
        for line in order.lines
        if line.kind == "product" and line.quantity
    }


def kept(points: int, line: Line, order: OrderSnapshot) -> int:
    """What remains of a line's points after cancellations, returns and refunds so far."""
    back = points * (line.cancelled + line.returned) // line.quantity
    if line.refunded_minor and line.total_minor > 0:
        refunded_minor = refunded(line, *paid_in_money(order))
        back = max(back, points * min(refunded_minor, line.total_minor) // line.total_minor)
    return points - back


def refunded(line: Line, whole: int, money_minor: int) -> int:
    """What of the line's total its refunds come to, if `money_minor` of the `whole` order was paid
    in money: the line's own money is its share of that, total x money / whole."""
    return line.refunded_minor * whole // money_minor if money_minor else 0


def paid_in_money(order: OrderSnapshot) -> tuple[int, int]:
    """What the lines come to, and how much of it was not paid in points: minor units."""
    whole = sum(line.total_minor for line in order.lines if line.total_minor > 0)
    spent = sum(tender.amount_minor for tender in order.tenders if tender.kind == "points")
    return whole, max(0, whole - spent)


def is_void(type_: str, lines: Iterable[Line]) -> bool:
    """Whether the order is cancelled whole, by a producer that does not count pieces."""
    return type_ == "order.cancelled" and not any(line.cancelled for line in lines)


def arrivals(type_: str, lines: Sequence[Line]) -> set[str]:
    """The lines that have arrived.

    `order.completed` says so of all. A producer that counts no deliveries at all says so by
    any type that comes after the arrival; else the counts are what is believed.
    """
    counted = any(line.delivered for line in lines)
    if type_ == "order.completed" or not (counted or type_ in BEFORE_ARRIVAL_TYPES):
        return {line.line_id for line in lines}
    return {line.line_id for line in lines if 0 < line.quantity - line.cancelled <= line.delivered}
