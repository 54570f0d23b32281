"""The coupons that are presented with a cart: which are good for it, and why the others are not.
Pure.

A coupon is good for whoever has its code, but one that is `member_only` for its owner alone.
Who may know of it is narrower: a storefront is told of its own customer's, and a claim counts
what its order holds. To others a coupon is `unknown`, so that nothing is learnt by trying codes.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from services.loyalty.benefits import codes, coupons
from services.loyalty.benefits.coupons import Coupon, Use
from services.loyalty.benefits.discounts import Presented
from services.loyalty.benefits.rewards import Reward
from services.loyalty.terms.cart import Cart
from services.loyalty.terms.definitions import Book
from shared.errors import Conflict, NotFound

Whose = Literal["any", "own", "held"]
"""Coupons of anybody; of the cart's customer; or those that the cart's order holds or has used."""


class NoSuchCoupon(NotFound):
    """No coupon has this code."""


class CodeMistyped(NotFound):
    """The code is mistyped: a character of it is wrong, or two are swapped."""


REFUSALS: dict[type[Exception], str] = {
    NoSuchCoupon: "unknown",
    CodeMistyped: "mistyped",
    coupons.CouponExpired: "expired",
    coupons.CouponUsed: "used",
    coupons.CouponVoid: "void",
    coupons.CouponReserved: "reserved",
    coupons.NotTheirs: "not_theirs",
}
"""What a quote calls each refusal."""


class Buyer(NamedTuple):
    """All ids of who buys, and whose coupons he may bring."""

    members: Collection[str]
    whose: Whose = "any"


class Shown(NamedTuple):
    """What became of the codes: coupons that are good, under the codes as they were typed, and
    the names of what forbids the others."""

    good: Mapping[str, Presented]
    refused: Mapping[str, str]


def missing(code: str) -> NotFound:
    """Whether it was mistyped can be told, without a look at any other code."""
    mistyped = codes.is_own(code) and not codes.is_well_formed(code)
    return CodeMistyped() if mistyped else NoSuchCoupon("see that it is complete")


def reward_of(book: Book, coupon: Coupon) -> Reward:
    """The version that it was issued under."""
    found = [
        each
        for each in book.versions(Reward, coupon.reward_id)
        if each.version == coupon.reward_version
    ]
    return found[0].body


def show(
    typed: Iterable[str], found: Iterable[Coupon], cart: Cart, buyer: Buyer, book: Book
) -> Shown:
    """What is said of each code at the cart's own time, for the order that the cart will be."""
    by_digest = {one.digest: one for one in found if _is_told(one, cart, buyer)}
    good: dict[str, Presented] = {}
    refused: dict[str, str] = {}
    for code in {codes.digest(each): each for each in typed}.values():
        try:
            one = by_digest.get(codes.digest(code))
            if one is None:
                raise missing(code)
            reward = reward_of(book, one)
            if reward.occasion == "member_only" and one.customer_id not in buyer.members:
                raise coupons.NotTheirs
            coupons.act(one, Use(cart.order_id), cart.at)
        except (Conflict, NotFound) as refusal:
            refused[code] = REFUSALS[type(refusal)]
        else:
            good[code] = Presented(one.id, one.reward_id, reward)
    return Shown(good, refused)


def _is_told(one: Coupon, cart: Cart, buyer: Buyer) -> bool:
    match buyer.whose:
        case "any":
            return True
        case "own":
            return one.customer_id in buyer.members
        case "held":
            return one.state in {"reserved", "used"} and one.order_id == cart.order_id
