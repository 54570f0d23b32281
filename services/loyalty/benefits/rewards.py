"""Rewards: what members can get, for points or free; who may, how often, and until when. Pure.

A reward is laid down in versions like every definition. What a member gets is a coupon
(`coupons.py`), and is worth what the version said that it was issued under.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.loyalty.books.programme import Expiry
from services.loyalty.terms.cart import Shopper
from services.loyalty.terms.conditions import Part, Selection
from services.loyalty.terms.definitions import Definition
from shared.errors import Conflict, Forbidden
from shared.events.fields import Amount, Code, Id, Label, Points, StoreId

Kind = Literal["amount", "percent", "free_shipping", "gift", "sample", "donation"]
Occasion = Literal["redemption", "welcome", "birthday", "member_only"]
Period = Literal["ever", "day", "month", "quarter", "year"]
Reason = Literal["occasion", "tier", "segment", "points", "limit", "out_of_stock"]

ASKED_FOR: frozenset[Occasion] = frozenset({"redemption", "member_only"})
"""What a member may take of his own accord; the rest is given."""
COUNT_MAX = 10**9
LastDay = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2999, 12, 31))]


class NotOffered(Forbidden):
    """The reward is not one that a member can take: it is given."""


class NotForThisMember(Conflict):
    """The member is not in the tiers or segments that the reward is for."""


class LimitReached(Conflict):
    """The member has got this reward as often as it may be had."""


class OutOfStock(Conflict):
    """There is none of this reward left."""


class Limit(Part):
    """How often one member may get it."""

    count: Annotated[int, Field(ge=1, le=COUNT_MAX)] = 1
    per: Period = "ever"
    """In each of them, in the store's zone; `ever`: over all time."""


class Reward(Definition):
    """One reward of the catalogue."""

    kind: Kind
    occasion: Occasion = "redemption"
    """How one comes by it: `redemption` and `member_only` are for the asking; `welcome` is given
    with the registration or the joining, `birthday` once a year. With `member_only` only its
    owner may use it."""
    description: Label = ""
    points: Points = 0
    """Its price; 0: free."""
    value_minor: Amount = 0
    """Of an amount: what it takes off, in minor units of the base currency. Of others: what one
    costs the store, for its own reports."""
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    value_max_minor: Amount | None = None
    """Of a percentage: at most so much."""
    product_id: Id | None = None
    """Of a gift or sample: what is added to the order."""
    sku: Id | None = None
    cause: Label = ""
    """Of a donation: to what the points go."""
    tiers: frozenset[Code] = frozenset()
    """Members of any of these; empty: of all."""
    segments: frozenset[Id] = frozenset()
    stores: frozenset[StoreId] = frozenset()
    """Where its coupons can be used; empty: everywhere."""
    stock: Annotated[int, Field(ge=0, le=COUNT_MAX)] | None = None
    """How many may be issued over all versions; absent: any number."""
    limit: Limit | None = None
    valid: Expiry = Expiry()
    """How long a coupon is good from its issue on."""
    valid_through: LastDay | None = None
    """The last day, in the store's zone, on which any coupon is good."""
    codes: Literal["own", "pool"] = "own"
    """`pool`: codes that the shop uploads for it."""
    spend_min_minor: Amount = 0
    """Of the lines that it is for, before any coupon."""
    lines: Selection = Selection()
    stacks_with: frozenset[Kind] = frozenset()
    """Coupons of these kinds may be on the same order, if they say the same of this kind; empty:
    it is used alone."""

    @model_validator(mode="after")
    def _says_what_it_is_worth(self) -> Self:
        if self.kind == "amount" and not self.value_minor:
            raise ValueError("value_minor: say what it takes off")
        if self.kind == "percent" and not self.percent:
            raise ValueError("percent: say how many percent it takes off")
        if self.kind in {"gift", "sample"} and not (self.product_id or self.sku):
            raise ValueError("product_id or sku: say what is given")
        if self.kind == "donation" and not (self.points and self.occasion == "redemption"):
            raise ValueError("points: a donation has a price, and is for the asking")
        if self.codes == "pool" and (self.kind == "donation" or self.stock is not None):
            raise ValueError("codes: a pool is its own stock, and a donation has no code")
        if self.occasion == "welcome" and (self.tiers or self.segments):
            raise ValueError("tiers, segments: nothing is known yet of who has just registered")
        if self.points and self.occasion not in ASKED_FOR:
            raise ValueError("points: what is given has no price")
        return self

    def home(self) -> str:
        """The store whose zone its days are in: of several the first by name; empty: any."""
        return min(self.stores, default="")

    def expires_at(self, issued_at: datetime, zone: tzinfo) -> datetime | None:
        """The first moment at which a coupon issued then is no longer good."""
        ends = [self.valid.expires_at(issued_at, zone)]
        if self.valid_through:
            end = datetime.combine(self.valid_through + timedelta(1), time(0), zone)
            ends.append(end.astimezone(issued_at.tzinfo))
        return min((end for end in ends if end), default=None)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a member and a reward at the moment of asking."""

    shopper: Shopper
    spendable: int
    """Points."""
    got: int = 0
    """How many of the reward the person has got in the limit's period."""
    left: int | None = None
    """In stock or in the pool; None: any number."""

    def holding(self, spendable: int) -> "Standing":
        return replace(self, spendable=spendable)


def misses(reward: Reward, standing: Standing) -> Iterator[Reason]:
    """Why the member cannot take the reward now; nothing: he can."""
    if reward.occasion not in ASKED_FOR:
        yield "occasion"
    if reward.tiers and standing.shopper.tier not in reward.tiers:
        yield "tier"
    if reward.segments and reward.segments.isdisjoint(standing.shopper.segments):
        yield "segment"
    if reward.limit and standing.got >= reward.limit.count:
        yield "limit"
    if standing.left is not None and standing.left <= 0:
        yield "out_of_stock"
    if standing.spendable < reward.points:
        yield "points"


REFUSALS: dict[Reason, type[Conflict] | type[Forbidden]] = {
    "occasion": NotOffered,
    "tier": NotForThisMember,
    "segment": NotForThisMember,
    "limit": LimitReached,
    "out_of_stock": OutOfStock,
}
"""What each reason is called when it is a refusal; too few points are the wallet's to refuse."""


def period_start(period: Period, at: datetime, zone: tzinfo) -> datetime | None:
    """When the period that `at` is in began, in the store's zone; None: there is no beginning."""
    if period == "ever":
        return None
    day = at.astimezone(zone).date()
    first = {
        "day": day,
        "month": day.replace(day=1),
        "quarter": day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
        "year": day.replace(month=1, day=1),
    }[period]
    return datetime.combine(first, time(0), zone).astimezone(at.tzinfo)
