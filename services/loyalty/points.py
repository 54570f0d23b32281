"""What an order line earns, and what of it remains. Pure: a function of one snapshot.

Earning. The base rule gives one point for each full unit (1.00) of the base currency in the
total of an order's product lines, after discounts. Each line is rounded once, and not alone:
lines are added up in the order of their ids, and a line earns the full units that its own
total completes. So the lines sum to the order's points to the point, however they stand, and
two lines of 0.50 earn one.

Taking back. A line keeps its points less the larger of two shares, rounded down: pieces
cancelled or returned of pieces ordered, and money refunded of the line's total. Both are
cumulative, so each step is the difference to the step before, and a line that is wholly
returned or refunded has given back exactly what it earned, in however many parts.

When. Points are pending once the order is paid, and active once the line has arrived, whole:
all its pieces but the cancelled ones are delivered. Both are read from the snapshot alone,
never from what was seen before, so that a lost or late event changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from services.loyalty.ledger import POINTS_MAX
from shared.errors import Reject
from shared.events.orders import Line, OrderSnapshot
from shared.stores import Stores

Verdict = Literal[
    "earns", "guest", "test_order", "store_excluded", "no_base_total", "unpaid", "erased"
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
BEFORE_ARRIVAL_TYPES = frozenset(
    {"order.placed", "order.paid", "order.changed", "order.shipped", "order.cancelled"}
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One version of an earning rule; it never changes once it has awarded."""

    id: str
    version: int
    points_per_unit: int
    """For each full unit of the base currency."""


BASE = Rule("base", 1, 1)


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
    return _steps(names, (total * mark // whole for mark in running))


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


def award(bases: Mapping[str, int], base_currency: str, rule: Rule = BASE) -> dict[str, int]:
    """What each line earns. A line below zero, a discount, lowers all others in proportion."""
    names = sorted(bases)
    gains = [max(0, bases[name]) for name in names]
    basis_minor = max(0, sum(bases.values()))
    part_minor = max(1, sum(gains)) * 10 ** DIGITS.get(base_currency, 2)
    shares = _steps(
        names,
        (mark * basis_minor // part_minor * rule.points_per_unit for mark in accumulate(gains)),
    )
    if sum(shares.values()) > POINTS_MAX:
        raise Reject(f"the order would earn over {POINTS_MAX} points; check its amounts")
    return shares


def _steps(names: Iterable[str], marks: Iterable[int]) -> dict[str, int]:
    """The differences of a running sum: they sum to its last mark."""
    before = 0
    steps: dict[str, int] = {}
    for name, mark in zip(names, marks, strict=True):
        steps[name] = mark - before
        before = mark
    return steps


def kept(points: int, line: Line) -> int:
    """What remains of a line's points after cancellations, returns and refunds so far."""
    back = points * (line.cancelled + line.returned) // line.quantity
    if line.refunded_minor and line.total_minor > 0:
        refunded_minor = min(line.refunded_minor, line.total_minor)
        back = max(back, points * refunded_minor // line.total_minor)
    return points - back


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
