"""A quote: what offers and coupons give for a cart, and how near the next offers are. Pure.

Offers come first; coupons take off what offers have left.

An offer is near if all of its conditions hold but the amount, and one of its lines is in the
cart. How much more it takes is tried out on the cart with one more line, like one that is
there: so what is said is what the customer gets if he buys it, whatever other offers do.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from services.loyalty.benefits import discounts
from services.loyalty.benefits.discounts import Effect, Presented
from services.loyalty.promotions.savings import Row, runs_of
from services.loyalty.promotions.stacking import (
    Applied,
    Basket,
    GiftGiven,
    OfferVersion,
    Used,
    Verdict,
    apply,
)
from services.loyalty.terms.cart import Cart, Item, Shopper

NEAREST_MAX = 3
"""More than that is no help to anybody who decides what else to buy."""
TRIES_MAX = 8
"""Larger carts that are tried out for one quote. Where an earlier offer takes a part of what is
added, the amount is approached in several; what is not found by then is not told."""
SIZE_MAX = 5_000
"""Lines times offers: a larger cart is wholesale, and is not told what is near."""
MORE = "\uffff"
"""The line id of what is added: after every other."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """So much more, of the like of `line_id`, and the offer gives `discount_minor` and `gift`."""

    offer: OfferVersion
    line_id: str
    missing_minor: int
    missing_pieces: int
    """Of the price of the cheapest piece that counts."""
    discount_minor: int
    """Of this offer, in all; and by `more_minor` is the whole cart's discount larger."""
    more_minor: int
    gift: GiftGiven | None


@dataclass(frozen=True, slots=True)
class Quoted:
    """What the cart gets, and the nearest offers not reached: money first, the least first."""

    applied: Applied
    nearest: tuple[Nearest, ...]
    effects: tuple[Effect, ...] = ()
    """Of the coupons, in the order in which they work."""

    @property
    def by_coupons(self) -> dict[str, int]:
        """What coupons take off each line, where anything is."""
        return dict(sum((Counter(effect.lines) for effect in self.effects), Counter()))

    @property
    def by_line(self) -> dict[str, int]:
        """What offers and coupons together take off each line."""
        return dict(Counter(self.applied.by_line) + Counter(self.by_coupons))


def quote(
    cart: Cart,
    shopper: Shopper,
    offers: Iterable[OfferVersion],
    used: Used,
    coupons: Iterable[Presented] = (),
) -> Quoted:
    """What the offers in force give for a cart, and then these coupons, which are good for it."""
    basket = Basket.of(cart, shopper, offers, used)
    applied = apply(basket)
    effects = discounts.apply(cart, coupons, applied.by_line)
    return Quoted(applied, _nearest(basket, applied), tuple(effects))


def discounted(cart: Cart, by_line: Mapping[str, int]) -> Cart:
    """The cart as it is paid for: each line less its discount, which it also says. Tax shrinks in
    proportion."""
    return replace(cart, items=tuple(_lowered(item, by_line) for item in cart.items))


def _lowered(item: Item, by_line: Mapping[str, int]) -> Item:
    off = by_line.get(item.line_id, 0)
    if not off:
        return item
    left = item.total_minor - off
    return item._replace(
        total_minor=left,
        discount_minor=item.discount_minor + off,
        tax_minor=item.tax_minor * left // item.total_minor,
    )


def _nearest(basket: Basket, now: Applied) -> tuple[Nearest, ...]:
    if len(basket.items) * len(basket.offers) > SIZE_MAX:
        return ()
    lacking = [each for each in now.verdicts if each.missing_minor or each.missing_pieces]
    tries = iter(range(TRIES_MAX))
    found: list[Nearest] = []
    for each in sorted(lacking, key=_distance):
        if near := _reach(basket, now, each, tries):
            found.append(near)
        if len(found) == NEAREST_MAX:
            break
    return tuple(sorted(found, key=_distance))


def _distance(each: Verdict | Nearest) -> tuple[bool, int, str]:
    """Money before pieces, the least first."""
    by_pieces = bool(each.missing_pieces)
    return by_pieces, each.missing_pieces or each.missing_minor, each.offer.id


def _reach(basket: Basket, now: Applied, short: Verdict, tries: Iterator[int]) -> Nearest | None:
    """The least more at which the offer's next level applies; None: it would not.

    Each try adds what was still missing at the last. Earlier offers take away no less of a
    larger cart, so no smaller amount would do.
    """
    lines = basket.lines[short.offer.id]
    like, by_pieces = lines[0], bool(short.missing_pieces)
    price = _cheapest(short, lines) if by_pieces else 1
    more, seen, then = 0, short, now
    while seen.level <= short.level:
        missing = seen.missing_pieces if by_pieces else seen.missing_minor
        if not (missing and price) or next(tries, None) is None:
            return None
        more += missing
        item = _more(like, more, price) if by_pieces else _more(like, 1, more)
        then = apply(basket.with_more(like, item))
        seen = next(each for each in then.verdicts if each.offer.id == short.offer.id)
    if seen.reason or then.worth <= now.worth:
        return None
    return Nearest(
        offer=short.offer,
        line_id=like.line_id,
        missing_minor=0 if by_pieces else more,
        missing_pieces=more if by_pieces else 0,
        discount_minor=seen.discount_minor,
        more_minor=then.discount_minor - now.discount_minor,
        gift=seen.gift,
    )


def _more(like: Item, pieces: int, price_minor: int) -> Item:
    return like._replace(
        line_id=MORE,
        quantity=pieces,
        total_minor=pieces * price_minor,
        discount_minor=0,
        tax_minor=0,
    )


def _cheapest(short: Verdict, lines: Iterable[Item]) -> int:
    """What the cheapest piece that counts costs; 0: none costs anything."""
    offer = short.offer.body
    runs = runs_of([Row(item, item.total_minor) for item in lines], offer.basis)
    return min((run.price for run in runs if run.price), default=0)
