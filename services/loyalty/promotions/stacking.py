"""Which offers apply to a cart, together, and what each line is lowered by. Pure.

Offers come by ascending priority, then id. A group stands where its first member stands, and
of its members the one that gives most applies. Each offer lowers what earlier ones have left.
An exclusive offer applies alone, if it gives more than all the others together. More is: more
money off, then gifts of more worth, then more offers; a tie is for whoever comes first.

What does not apply says why: the condition that does not hold, or `no_line`, `coupon`,
`guest`, `member_uses`, `budget`, `spend`, `pieces`, `nothing_left`, `beaten`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.loyalty.books.points import is_guest
from services.loyalty.promotions.offers import Gift, GiftOffer, Offer
from services.loyalty.promotions.savings import Row, Saving, saving
from services.loyalty.terms.cart import Cart, Item, Shopper
from services.loyalty.terms.conditions import misses
from services.loyalty.terms.definitions import Version

OfferVersion = Version[Offer]


@dataclass(frozen=True, slots=True)
class Use:
    """What has come of an offer so far: in all orders, and in those of this member."""

    uses: int = 0
    cost_minor: int = 0
    by_member: int = 0


UNUSED = Use()
Used = Mapping[str, Use]
"""By offer id; one that is not there has not been used."""


@dataclass(frozen=True, slots=True)
class GiftGiven:
    """`times` of one of the choices."""

    choices: tuple[Gift, ...]
    times: int

    @property
    def worth_minor(self) -> int:
        """At most."""
        return max(each.worth_minor * each.quantity for each in self.choices) * self.times


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one offer. `level` is reached also where something better applies."""

    offer: OfferVersion
    reason: str
    """Empty: it applies."""
    level: int = 0
    by_line: Mapping[str, int] = field(default_factory=dict)
    gift: GiftGiven | None = None
    missing_minor: int = 0
    """To the next level, of the lines that count; 0: none is missing, or there is no next."""
    missing_pieces: int = 0
    beaten_by: str = ""

    @property
    def discount_minor(self) -> int:
        return sum(self.by_line.values())

    @property
    def cost_minor(self) -> int:
        return self.discount_minor + (self.gift.worth_minor if self.gift else 0)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a cart gets: the verdicts by priority; what is off each line, where anything is."""

    verdicts: tuple[Verdict, ...]
    by_line: Mapping[str, int]

    @property
    def discount_minor(self) -> int:
        return sum(self.by_line.values())

    @property
    def applying(self) -> tuple[Verdict, ...]:
        return tuple(each for each in self.verdicts if not each.reason)

    @property
    def worth(self) -> tuple[int, int, int]:
        """To the customer; a larger one is better."""
        gifts = [each.gift.worth_minor for each in self.applying if each.gift]
        return self.discount_minor, sum(gifts), len(self.applying)


@dataclass(frozen=True, slots=True)
class Basket:
    """A cart beside the offers, as found out once: which lines each selects, and what bars it."""

    items: tuple[Item, ...]
    offers: tuple[OfferVersion, ...]
    lines: Mapping[str, tuple[Item, ...]]
    barred: Mapping[str, str]
    used: Used

    @classmethod
    def of(
        cls, cart: Cart, shopper: Shopper, offers: Iterable[OfferVersion], used: Used
    ) -> "Basket":
        items = tuple(sorted(cart.items, key=lambda item: item.line_id))
        bought = [item for item in items if item.kind == "product"]
        ordered = tuple(sorted(offers, key=lambda one: (one.body.priority, one.id)))
        barred = {one.id: _bar(one, cart, shopper, used.get(one.id, UNUSED)) for one in ordered}
        lines = {
            one.id: tuple(item for item in bought if not one.body.lines.misses(item))
            for one in ordered
            if not barred[one.id]
        }
        return cls(items, ordered, lines, barred, used)

    def with_more(self, like: Item, more: Item) -> "Basket":
        """With one more line, which is selected wherever `like` is."""
        lines = {
            id_: (*found, more) if any(item is like for item in found) else found
            for id_, found in self.lines.items()
        }
        return replace(self, items=(*self.items, more), lines=lines)


def apply(basket: Basket) -> Applied:
    """The best for the customer: all that may stand together, or an exclusive offer alone."""
    together = _sequence(basket, [one for one in basket.offers if not one.body.exclusive])
    best, winner = together, ""
    alone = {}
    for one in basket.offers:
        if one.body.exclusive:
            alone[one.id] = _sequence(basket, [one])
            if alone[one.id].worth > best.worth:
                best, winner = alone[one.id], one.id
    said = {verdict.offer.id: verdict for each in alone.values() for verdict in each.verdicts}
    said |= {verdict.offer.id: verdict for verdict in together.verdicts}
    if not winner and together.applying:
        winner = max(together.applying, key=lambda each: each.cost_minor).offer.id
    applying = {verdict.offer.id for verdict in best.applying}
    verdicts = [
        said[one.id] if one.id in applying or said[one.id].reason else _beaten(said[one.id], winner)
        for one in basket.offers
    ]
    return Applied(tuple(verdicts), best.by_line)


def _sequence(basket: Basket, offers: Iterable[OfferVersion]) -> Applied:
    """Offers one after the other, each on what the ones before have left."""
    left = {item.line_id: item.total_minor for item in basket.items}
    verdicts: list[Verdict] = []
    for group in _groups(offers):
        tried = [_try(basket, one, left) for one in group]
        best = min(tried, key=lambda each: (bool(each.reason), -each.discount_minor, -_gift(each)))
        for line_id, minor in best.by_line.items():
            left[line_id] -= minor
        verdicts += [
            each if each is best or each.reason else _beaten(each, best.offer.id) for each in tried
        ]
    off = {
        item.line_id: minor for item in basket.items if (minor := _off(item, left[item.line_id]))
    }
    return Applied(tuple(verdicts), off)


def _groups(offers: Iterable[OfferVersion]) -> list[list[OfferVersion]]:
    groups: dict[tuple[str, str], list[OfferVersion]] = {}
    for one in offers:
        key = ("group", one.body.group) if one.body.group else ("one", one.id)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _try(basket: Basket, one: OfferVersion, left: Mapping[str, int]) -> Verdict:
    """What is said of the offer at its turn."""
    if reason := basket.barred[one.id]:
        return Verdict(one, reason)
    lines = basket.lines[one.id]
    if not lines:
        return Verdict(one, "no_line")
    parcels = [item for item in basket.items if item.kind == "shipping"]
    found = saving(one.body, _rows(lines, left), _rows(parcels, left))
    gives = one.body.gives
    gift = None
    if found.level and isinstance(gives, GiftOffer):
        gift = GiftGiven(gives.choices, found.level)
    verdict = Verdict(
        one,
        _short(found, gift),
        found.level,
        found.by_line,
        gift,
        found.missing_minor,
        found.missing_pieces,
    )
    if not verdict.reason and not _affords(one.body, basket.used.get(one.id, UNUSED), verdict):
        return replace(verdict, reason="budget", by_line={}, gift=None)
    return verdict


def _short(found: Saving, gift: GiftGiven | None) -> str:
    """What the cart lacks for the offer; empty: nothing."""
    if not found.level:
        return "spend" if found.missing_minor else "pieces"
    return "" if found.by_line or gift else "nothing_left"


def _affords(offer: Offer, used: Use, verdict: Verdict) -> bool:
    """Whether the budget holds all of it: nobody is given a part of what was promised."""
    limit = offer.budget.cost_minor
    return limit is None or used.cost_minor + verdict.cost_minor <= limit


def _bar(one: OfferVersion, cart: Cart, shopper: Shopper, used: Use) -> str:
    """Why the offer is not for this order, whatever is in the cart; empty: it is."""
    offer = one.body
    if missing := next(misses(offer.when, cart, shopper), ""):
        return missing
    if offer.coupon and offer.coupon not in cart.rewards:
        return "coupon"
    if offer.uses_per_member is not None:
        if is_guest(shopper.customer_id):
            return "guest"
        if used.by_member >= offer.uses_per_member:
            return "member_uses"
    if offer.budget.uses is not None and used.uses >= offer.budget.uses:
        return "budget"
    return ""


def _rows(items: Sequence[Item], left: Mapping[str, int]) -> list[Row]:
    return [Row(item, left[item.line_id]) for item in items]


def _off(item: Item, left_minor: int) -> int:
    return item.total_minor - left_minor


def _gift(verdict: Verdict) -> int:
    return verdict.gift.worth_minor if verdict.gift else 0


def _beaten(verdict: Verdict, by: str) -> Verdict:
    return replace(verdict, reason="beaten", by_line={}, gift=None, beaten_by=by)
