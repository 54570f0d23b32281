"""What coupons take off a cart, line by line. Pure.

The coupons of an order stand in a fixed order, whatever the order in which they were typed:
percentages first, the largest first, then amounts, then free shipping, then gifts and samples;
equal ones by their ids. Each works on what those before it left of its lines. A percentage
is rounded down once, over all its lines; what a coupon takes off is shared out among them in
proportion to what is left of each, exactly: the parts sum to the whole, and no line goes
below zero. Offers come before all coupons; what a coupon asks of the cart is asked of it as it
is before both, so whether it can be used does not depend on the offers that it may open.

A coupon that cannot be used says why, and takes nothing off; the others work as if it were
not there. Whether two go together is asked of both (`stacks_with`): the one that stands first
is used.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from services.loyalty.benefits.rewards import Kind, Reward
from services.loyalty.books.points import apportion
from services.loyalty.terms.cart import Cart, Item

Refusal = Literal["store", "no_line", "spend_min", "stacking", "nothing_left"]

ORDER: dict[Kind, int] = {
    "percent": 0,
    "amount": 1,
    "free_shipping": 2,
    "gift": 3,
    "sample": 4,
    "donation": 5,
}


@dataclass(frozen=True, slots=True)
class Presented:
    """A coupon that is presented with a cart, and the version of its reward that holds for it."""

    coupon_id: UUID
    reward_id: str
    reward: Reward


@dataclass(frozen=True, slots=True)
class Effect:
    """What one coupon does: money off by line, in minor units, or a product added."""

    presented: Presented
    lines: Mapping[str, int] = field(default_factory=dict)
    refusal: Refusal | None = None
    missing_minor: int = 0
    """How much more must be spent, where that is the refusal."""

    @property
    def taken_minor(self) -> int:
        return sum(self.lines.values())

    @property
    def gives(self) -> bool:
        """Whether a product comes with it."""
        return self.refusal is None and self.presented.reward.kind in {"gift", "sample"}


NOTHING: Mapping[str, int] = {}


def apply(
    cart: Cart, presented: Iterable[Presented], off: Mapping[str, int] = NOTHING
) -> list[Effect]:
    """What each coupon does, in the order in which they work, where offers take `off` by line."""
    left = {
        item.line_id: max(0, item.total_minor - off.get(item.line_id, 0)) for item in cart.items
    }
    used: list[Reward] = []
    effects = []
    for one in sorted(presented, key=rank):
        effect = _effect(cart, one, used, left)
        for line_id, minor in effect.lines.items():
            left[line_id] -= minor
        if effect.refusal is None:
            used.append(one.reward)
        effects.append(effect)
    return effects


def used_on(cart: Cart, presented: Iterable[Presented]) -> frozenset[str]:
    """The rewards whose coupons the order has, if only to have an offer by it."""
    can = {None, "nothing_left"}
    return frozenset(e.presented.reward_id for e in apply(cart, presented) if e.refusal in can)


def stack(one: Reward, other: Reward) -> bool:
    """Whether two coupons may be on one order."""
    return other.kind in one.stacks_with and one.kind in other.stacks_with


def rank(one: Presented) -> tuple[int, int, int, str]:
    """Where it stands in the order in which coupons work."""
    reward = one.reward
    return ORDER[reward.kind], -reward.percent, -reward.value_minor, str(one.coupon_id)


def _effect(cart: Cart, one: Presented, used: Sequence[Reward], left: Mapping[str, int]) -> Effect:
    reward = one.reward
    if reward.stores and cart.store not in reward.stores:
        return Effect(one, refusal="store")
    if not all(stack(reward, other) for other in used):
        return Effect(one, refusal="stacking")
    chosen = list(_selected(cart.items, reward))
    if not chosen:
        return Effect(one, refusal="no_line")
    missing_minor = reward.spend_min_minor - sum(item.total_minor for item in chosen)
    if missing_minor > 0:
        return Effect(one, refusal="spend_min", missing_minor=missing_minor)
    if reward.kind in {"gift", "sample"}:
        return Effect(one)
    lines = _money_off(reward, cart.items, chosen, left)
    return Effect(one, lines) if lines else Effect(one, refusal="nothing_left")


def _selected(items: Iterable[Item], reward: Reward) -> Iterator[Item]:
    """The product lines that the coupon is for."""
    for item in items:
        if item.kind == "product" and item.quantity and not reward.lines.misses(item):
            yield item


def _money_off(
    reward: Reward, items: Iterable[Item], chosen: Iterable[Item], left: Mapping[str, int]
) -> dict[str, int]:
    lines = {item.line_id: left[item.line_id] for item in chosen}
    whole = sum(lines.values())
    match reward.kind:
        case "percent":
            off = whole * reward.percent // 100
            if reward.value_max_minor is not None:
                off = min(off, reward.value_max_minor)
        case "amount":
            off = min(whole, reward.value_minor)
        case "free_shipping":
            lines = {item.line_id: left[item.line_id] for item in items if item.kind == "shipping"}
            off = sum(lines.values())
        case _:
            raise AssertionError(f"{reward.kind} takes no money off")
    return {line_id: minor for line_id, minor in apportion(off, lines).items() if minor}
