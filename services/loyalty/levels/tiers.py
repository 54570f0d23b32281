"""Tiers: what each asks for and gives, and when it is decided again. Pure.

One definition, under the id `default`; without one there are no tiers. Days are business
days in the zone of the plan's store. A new version counts from the day on which it starts,
and moves nobody down before his period ends.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from services.loyalty.terms.conditions import Part, Scalar, falls_on
from services.loyalty.terms.definitions import Book, Definition
from shared.events.fields import Amount, Code, Count, Label, ShortCode, StoreId
from shared.stores import Stores

DEFAULT = "default"
"""The id of the one plan."""
TIERS_MAX = 20
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2999, 12, 31)
"""An order placed outside of these was placed at their edge: a clock was wrong."""


class Bucket(NamedTuple):
    """What one business day counts for, less what was taken back since: of its orders, and of
    actions where the day's plan counts those."""

    spend_minor: int = 0
    """In minor units of the base currency."""
    orders: int = 0
    points: int = 0
    """Earned, whatever became of them: spent or expired points count on."""

    def plus(self, other: "Bucket") -> "Bucket":
        spend_minor, orders, points = other
        return Bucket(self.spend_minor + spend_minor, self.orders + orders, self.points + points)

    def minus(self, other: "Bucket") -> "Bucket":
        spend_minor, orders, points = other
        return Bucket(self.spend_minor - spend_minor, self.orders - orders, self.points - points)


Buckets = Mapping[date, Bucket]


class Benefits(Part):
    """What a member of the tier has from it."""

    multiplier_percent: Annotated[int, Field(ge=100, le=10_000)] = 100
    """Of points earned: 150 is half as many again."""
    free_shipping: bool = False
    free_shipping_min_minor: Amount = 0
    """From which order total on, in the base currency."""
    birthday_reward: ShortCode = ""
    """A reward of the occasion `birthday`, which is then given to members of the tiers alone that
    name it; empty: none but those for everybody."""
    price_list: ShortCode = ""
    service_level: ShortCode = ""
    extra: Annotated[dict[Code, Scalar], Field(max_length=50)] = Field(default_factory=dict)
    """Whatever else the checkout and the storefront understand."""


class Tier(Part):
    """One rank. Its code is its name for ever; `name` is for people."""

    code: Code
    name: Label = ""
    threshold: Count
    """Of the plan's counter: whoever has exactly so much has reached it."""
    benefits: Benefits = Benefits()


class TierPlan(Definition):
    """The ranks, from the lowest, and how a member rises and falls among them."""

    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=TIERS_MAX)]
    store: StoreId | None = None
    """In whose zone days end; absent: the first of the stores file."""
    counter: Literal["spend_minor", "orders", "points"] = "spend_minor"
    points_of: Literal["orders_and_actions", "orders"] = "orders_and_actions"
    """Of the counter `points`: whether those of reviews, birthdays and other actions count, too."""
    window: Literal["calendar_year", "rolling", "anniversary", "lifetime"] = "calendar_year"
    """What is counted: this year; the last `window_days` days; since the last anniversary of
    joining; or all. It is also how long a tier holds: until the year's end, for so many days
    from the day it was reached or renewed, until the anniversary, or for ever."""
    window_days: Annotated[int, Field(ge=1, le=1_098)] = 365
    downgrade: Literal["to_reached", "one_down", "none"] = "to_reached"
    """At the end of a period that did not reach the tier again: to what it did reach, or one
    tier down at most, or nowhere."""
    grace_days: Annotated[int, Field(ge=0, le=180)] = 0
    """So long after a period's end a tier is still held that is lost by it."""
    on_return: Literal["recheck", "keep"] = "recheck"
    """When an order is returned: the tier is what it would be without it, or stays."""

    @model_validator(mode="after")
    def _ranks_ascend(self) -> Self:
        thresholds = [tier.threshold for tier in self.tiers]
        if thresholds[0] != 0:
            raise ValueError("tiers: the first has threshold 0, so that everybody has a tier")
        if sorted(set(thresholds)) != thresholds:
            raise ValueError("tiers: give them in ascending order of threshold, no two alike")
        if len({tier.code for tier in self.tiers}) != len(self.tiers):
            raise ValueError("tiers: two have the same code")
        if self.window == "rolling" and self.grace_days >= self.window_days:
            raise ValueError("grace_days: give fewer than window_days")
        return self

    @property
    def counts_actions(self) -> bool:
        """Whether points count that were earned beside ordering."""
        return self.counter == "points" and self.points_of == "orders_and_actions"

    def giving(self, reward_id: str) -> frozenset[str]:
        """The codes of the tiers that name a reward as their birthday's."""
        return frozenset(t.code for t in self.tiers if t.benefits.birthday_reward == reward_id)

    def level(self, code: str) -> int:
        """How high a tier is, from 0. One that is no longer there counts as the lowest."""
        return self.levels.get(code, 0)

    @cached_property
    def levels(self) -> dict[str, int]:
        """By the tiers' codes."""
        return {tier.code: level for level, tier in enumerate(self.tiers)}

    def reached(self, count: int) -> int:
        """The highest level that a counter reaches; exactly the threshold is enough."""
        return max(0, bisect_right(self.tiers, count, key=lambda tier: tier.threshold) - 1)

    def count(self, buckets: Buckets, since: date, until: date) -> int:
        """The counter over the days from `since` until just before `until`."""
        field = Bucket._fields.index(self.counter)
        return sum(bucket[field] for day, bucket in buckets.items() if since <= day < until)

    def period_start(self, day: date, joined: date) -> date:
        """Where the period with this day in it begins, for somebody who enters it there."""
        match self.window:
            case "calendar_year":
                return date(day.year, 1, 1)
            case "rolling":
                return day
            case "anniversary":
                # What was before the joining counts in the first year.
                years = range(joined.year + 1, day.year + 1)
                days = (falls_on(joined.isoformat(), year) for year in reversed(years))
                return next((each for each in days if each <= day), FIRST_DAY)
            case "lifetime":
                return FIRST_DAY

    def period_end(self, start: date, joined: date) -> date | None:
        """The first day after the period that begins then; None: it has no end."""
        match self.window:
            case "calendar_year":
                return date(start.year + 1, 1, 1)
            case "rolling":
                return start + timedelta(self.window_days)
            case "anniversary":
                year = joined.year if start == FIRST_DAY else start.year
                return falls_on(joined.isoformat(), year + 1)
            case "lifetime":
                return None

    def counted_since(self, period_from: date, day: date) -> date:
        """The first day that counts on `day`."""
        if self.window == "rolling":
            return day - timedelta(self.window_days - 1)
        return period_from


@dataclass(frozen=True, slots=True)
class Plans:
    """The plan as it was, is and will be: versions by the day from which each counts."""

    days: tuple[date, ...] = ()
    plans: tuple[TierPlan | None, ...] = ()
    zone: tzinfo = UTC

    def on(self, day: date) -> TierPlan | None:
        """The plan of a day; None: nobody has a tier on it."""
        place = bisect_right(self.days, day)
        return self.plans[place - 1] if place else None

    def at(self, moment: datetime) -> TierPlan | None:
        return self.on(self.day_of(moment))

    def day_of(self, moment: datetime) -> date:
        """The business day."""
        return day_in(self.zone, moment)

    def midnight(self, day: date) -> datetime:
        """The first moment of a business day, in UTC like every time on the wire."""
        return datetime.combine(day, time(0), self.zone).astimezone(UTC)


def day_in(zone: tzinfo, moment: datetime) -> date:
    """The business day of a moment in a zone."""
    if FIRST_DAY.year < moment.year < LAST_DAY.year:
        return moment.astimezone(zone).date()
    return FIRST_DAY if moment.year <= FIRST_DAY.year else LAST_DAY


def plans_of(book: Book, stores: Stores) -> Plans:
    """The plan's versions, as laid down."""
    versions = book.versions(TierPlan, DEFAULT)
    if not versions:
        return Plans()
    turns = {each.starts_at for each in versions}
    turns |= {each.body.ends_at for each in versions if each.body.ends_at}
    zone = stores.get(versions[-1].body.store or "").tz
    by_day: dict[date, TierPlan | None] = {}
    for turn in sorted(turns):
        found = book.one_in_force(TierPlan, DEFAULT, turn)
        by_day[day_in(zone, turn)] = found.body if found else None
    return Plans(tuple(by_day), tuple(by_day.values()), zone)
