"""Points as money off: how many may be spent on a cart, and what they are worth. Pure.

One point is worth a fixed part of the base currency's unit; worth is rounded down to the
minor unit, and the points for an amount are rounded up, so points never buy more than they
are worth. At most a share of what may be paid in points, in steps, from a minimum on.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from services.loyalty.books.points import DIGITS, refunded
from services.loyalty.books.programme import Redemption
from services.loyalty.terms.cart import Item
from shared.errors import Unprocessable
from shared.events.orders import Line, OrderSnapshot


class PointsNotAllowed(Unprocessable):
    """The programme does not let so many points be spent on this."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The most that may be spent: `points`, worth `amount_minor`; and why it is not more."""

    points: int
    amount_minor: int
    limit: str
    """What bounds it: balance, share, excluded, minimum, or nothing."""


def worth(points: int, rules: Redemption, currency: str) -> int:
    """In minor units of the base currency, rounded down."""
    unit_minor: int = 10 ** DIGITS.get(currency, 2)
    return points * unit_minor // rules.points_per_unit


def price(amount_minor: int, rules: Redemption, currency: str) -> int:
    """How many points pay an amount, rounded up."""
    unit_minor: int = 10 ** DIGITS.get(currency, 2)
    return -(-amount_minor * rules.points_per_unit // unit_minor)


def payable(items: Iterable[Item], rules: Redemption) -> int:
    """What of the cart may be paid in points, in minor units: never a gift card, nor a line of an
    excluded category."""
    allowed = (
        item.total_minor
        for item in items
        if item.kind != "gift_card" and rules.not_categories.isdisjoint(item.category)
    )
    return max(0, sum(allowed)) * rules.share_max_percent // 100


def most(items: Iterable[Item], spendable: int, rules: Redemption, currency: str) -> Offer:
    """How many points may be spent on these lines by who has so many."""
    every = list(items)
    limit_minor = payable(every, rules)
    by_share = limit_minor * rules.points_per_unit // 10 ** DIGITS.get(currency, 2)
    points = min(spendable, by_share) // rules.points_step * rules.points_step
    limit = "balance" if spendable < by_share else "share" if limit_minor else "excluded"
    if points < rules.points_min:
        points, limit = 0, "minimum" if points else limit
    return Offer(points, worth(points, rules, currency), limit)


def check(points: int, items: Iterable[Item], rules: Redemption, currency: str) -> None:
    """PointsNotAllowed names the rule that so many points would break."""
    if points < rules.points_min:
        raise PointsNotAllowed(f"points: the least is {rules.points_min}", limit="minimum")
    if points % rules.points_step:
        raise PointsNotAllowed(f"points: spend a multiple of {rules.points_step}", limit="step")
    every = list(items)
    if every and (offer := most(every, points, rules, currency)).points < points:
        raise PointsNotAllowed(
            f"points: at most {offer.points} on this cart", limit=offer.limit, points=offer.points
        )


def returned_share(order: OrderSnapshot, points_minor: int) -> tuple[int, int]:
    """How much of the order's value has come back so far, of how much: minor units.

    By pieces cancelled or returned; a refund without goods counts by its share of what was
    paid in money (`points_minor` of the total was paid in points).
    """
    lines = [line for line in order.lines if line.total_minor > 0]
    whole = sum(line.total_minor for line in lines)
    money_minor = max(0, whole - points_minor)
    return sum(_returned(line, money_minor, whole) for line in lines), whole


def _returned(line: Line, money_minor: int, whole: int) -> int:
    back = line.total_minor * (line.cancelled + line.returned) // max(1, line.quantity)
    return min(line.total_minor, max(back, refunded(line, whole, money_minor)))
