"""What offers and coupons cost on one order, as its newest revision has it. Pure.

What offers took off was claimed line by line, so it is known to the cent. What a coupon took
off no order says: it is worked out anew, in the order in which coupons work, and is never
more than what the lines' discounts hold beyond the offers'. What is cancelled, returned or
refunded of a line takes its part of the discount along, as it does of points.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple

from services.loyalty.benefits import discounts
from services.loyalty.benefits.discounts import Presented
from services.loyalty.benefits.rewards import Reward
from services.loyalty.books.points import apportion, kept
from services.loyalty.promotions.claims import Claim
from services.loyalty.promotions.offers import Gift
from services.loyalty.promotions.stacking import GiftGiven
from services.loyalty.terms.cart import Item
from shared.events.orders import Line, OrderSnapshot

Kind = Literal["offer", "coupon"]
Off = Mapping[str, int]
"""Money off, in minor units of the base currency, by line."""


class Cost(NamedTuple):
    """One offer, or all coupons of one reward, on one order."""

    order_id: str
    kind: Kind
    promotion_id: str
    """Of the offer or the reward."""
    day: date
    """That its order counts for, in the base zone."""
    uses: int
    discount_minor: int
    gifts: int
    gifts_minor: int
    """What those gifts cost the store, at most."""
    points: int
    """That members paid for the coupons."""


class Spent(NamedTuple):
    """A coupon that the order has used, and what members paid for it in points."""

    presented: Presented
    points: int


class Bought(NamedTuple):
    """An order with its counts, the day it counts for, and its lines in the base currency."""

    order: OrderSnapshot
    day: date
    items: Sequence[Item]
    """None, where nobody knows what they come to in the base currency."""


def of_order(bought: Bought, claim: Claim | None, spent: Iterable[Spent]) -> list[Cost]:
    """What each offer that counts and each reward cost, less what came back."""
    found: dict[tuple[Kind, str], Cost] = {}
    for cost in (*_of_offers(bought, claim), *_of_coupons(bought, claim, spent)):
        before = found.get((cost.kind, cost.promotion_id))
        found[cost.kind, cost.promotion_id] = _add(before, cost) if before else cost
    return list(found.values())


def _of_offers(bought: Bought, claim: Claim | None) -> Iterator[Cost]:
    if claim is None or claim.state != "counted":
        return
    for given in claim.given:
        off_minor = _left(given.by_line, bought.order)
        yield _cost(bought, "offer", given.offer_id, off_minor, given.gift)


def _of_coupons(bought: Bought, claim: Claim | None, spent: Iterable[Spent]) -> Iterator[Cost]:
    ordered = sorted(spent, key=lambda one: discounts.rank(one.presented))
    offers = claim.by_line if claim and claim.state == "counted" else {}
    every = _taken([one.presented.reward for one in ordered], bought.items, offers)
    for one, off in zip(ordered, every, strict=True):
        reward, off_minor = one.presented.reward, _left(off, bought.order)
        cost = _cost(bought, "coupon", one.presented.reward_id, off_minor, _gift(reward))
        yield cost._replace(points=one.points)


def _taken(rewards: Iterable[Reward], items: Iterable[Item], offers: Off) -> Iterator[Off]:
    """What each coupon took off the lines; where a line's discount is the offers', nothing."""
    priced = {item.line_id: item for item in items}
    left = {id_: max(0, item.discount_minor - offers.get(id_, 0)) for id_, item in priced.items()}
    for reward in rewards:
        wanted = "shipping" if reward.kind == "free_shipping" else "product"
        own = {id_: minor for id_, minor in left.items() if minor and priced[id_].kind == wanted}
        whole = sum(max(0, priced[id_].total_minor) + minor for id_, minor in own.items())
        off = apportion(min(_worth(reward, whole), sum(own.values())), own)
        left |= {id_: left[id_] - minor for id_, minor in off.items()}
        yield off


def _worth(reward: Reward, whole: int) -> int:
    """What it takes off lines that come to so much before it."""
    match reward.kind:
        case "percent":
            off = whole * reward.percent // 100
            return off if reward.value_max_minor is None else min(off, reward.value_max_minor)
        case "amount":
            return reward.value_minor
        case "free_shipping":
            return whole
        case _:
            return 0


def _left(off: Off, order: OrderSnapshot) -> int:
    """What remains of it; all, of an order that names its lines otherwise than its cart did."""
    known = {line.line_id: line for line in order.lines if line.line_id in off}
    if not known:
        return sum(off.values())
    return sum(kept(off[id_], line, order) for id_, line in known.items() if line.quantity)


def _gift(reward: Reward) -> GiftGiven | None:
    if reward.kind not in {"gift", "sample"}:
        return None
    gift = Gift(product_id=reward.product_id, sku=reward.sku, worth_minor=reward.value_minor)
    return GiftGiven((gift,), 1)


def _gifts_left(gift: GiftGiven, lines: Iterable[Line]) -> int:
    """How many are with the customer; all, of an order that does not name them."""
    sets = [
        (line.quantity - line.cancelled - line.returned) // choice.quantity
        for line in lines
        if line.kind == "gift"
        for choice in gift.choices
        if (choice.sku == line.sku if choice.sku else choice.product_id == line.product_id)
    ]
    return min(gift.times, sum(sets)) if sets else gift.times


def _cost(bought: Bought, kind: Kind, id_: str, off_minor: int, gift: GiftGiven | None) -> Cost:
    times = _gifts_left(gift, bought.order.lines) if gift else 0
    worth_minor = gift.worth_minor // gift.times * times if gift else 0
    return Cost(bought.order.order_id, kind, id_, bought.day, 1, off_minor, times, worth_minor, 0)


def _add(one: Cost, other: Cost) -> Cost:
    return one._replace(
        uses=one.uses + other.uses,
        discount_minor=one.discount_minor + other.discount_minor,
        gifts=one.gifts + other.gifts,
        gifts_minor=one.gifts_minor + other.gifts_minor,
        points=one.points + other.points,
    )
