"""Which tier a member has, since when, until when, and why. Pure.

Sources. A tier is earned (`qualifying.py`), granted by somebody, bought with a membership,
or imported. A member has the highest of those that are active, and it is told which.

Time. A standing is brought from moment to moment: whatever falls due by an event comes
before it. What is heard of late, or taken back, makes it anew from all days, and what then
differs is told once.

Persons. Under several ids, a person's days are added up, and his sources put together; so
an unmerge leaves each id with its own.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Literal

from services.loyalty.levels.qualifying import DAY, Days, Earned, earn, ends_on
from services.loyalty.levels.tiers import Bucket, Plans

Source = Literal["earned", "held", "manual", "paid", "imported"]
"""`held`: lost at the period's end, and kept for the days of grace."""
Why = Literal[
    "reached",
    "order",
    "return",
    "late",
    "period_end",
    "grace_over",
    "granted",
    "grant_ended",
    "merged",
    "unmerged",
]


@dataclass(frozen=True, slots=True)
class Grant:
    """A tier from elsewhere: it counts from `starts_at` until just before `until`."""

    id: str
    source: Literal["manual", "paid", "imported"]
    tier: str
    starts_at: datetime
    until: datetime | None = None
    """None: for ever."""
    reason: str = ""
    ended_for: str = ""
    """Why it was ended before its time."""

    def active(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class Rank:
    """One active source of a tier; `until` is the first moment at which it may no longer be."""

    source: Source
    tier: str
    level: int
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """The tier that was last told, and what was known then."""

    tier: str = ""
    """Empty: none yet."""
    since: datetime | None = None
    valid_until: datetime | None = None
    version: int = 0
    as_of: datetime | None = None
    """To which moment it has been brought; None: it has to be made anew."""
    earned: Earned | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """All that a tier depends on."""

    days: Days = field(default_factory=Days)
    grants: tuple[Grant, ...] = ()
    standing: Standing = Standing()
    whole: bool = True
    """Whether `days` are all, and not only those from which the standing is brought further."""


@dataclass(frozen=True, slots=True)
class Move:
    """A tier changed, or holds for another time."""

    tier: str
    before: str
    direction: Literal["up", "down", "renewed"]
    why: Why
    at: datetime
    valid_until: datetime | None
    counter: int
    version: int
    due: bool = False
    """Nothing happened but that its time had come."""


def ranks(plans: Plans, person: Person, earned: Earned | None, at: datetime) -> list[Rank]:
    """Every source that is active, the one that counts first: the highest, then the longest."""
    plan = plans.at(at)
    if plan is None or earned is None:
        return []
    end = ends_on(plan, earned, person.days)
    until = plans.midnight(end + timedelta(plan.grace_days)) if end else None
    found = [Rank("earned", earned.tier, plan.level(earned.tier), until)]
    if earned.held and earned.held_until:
        until = plans.midnight(earned.held_until)
        found.append(Rank("held", earned.held, plan.level(earned.held), until))
    found += [
        Rank(grant.source, grant.tier, plan.level(grant.tier), grant.until)
        for grant in person.grants
        if grant.active(at) and grant.tier in plan.levels
    ]
    return sorted(found, key=_worth, reverse=True)


def _worth(rank: Rank) -> tuple[int, bool, float]:
    until = rank.until.timestamp() if rank.until else 0.0
    return rank.level, rank.until is None, until


def next_due(plans: Plans, person: Person) -> datetime | None:
    """The next moment at which the tier may change though nothing happens."""
    standing = person.standing
    if standing.as_of is None:
        return None
    dues: list[datetime] = []
    plan, earned = plans.at(standing.as_of), standing.earned
    if plan and earned:
        days = (ends_on(plan, earned, person.days), earned.held_until)
        dues += [plans.midnight(day) for day in days if day]
    for grant in person.grants:
        dues += [due for due in (grant.starts_at, grant.until) if due and due > standing.as_of]
    return min(dues, default=None)


Told = tuple[Person, list[Move]]
"""A person with his new standing, and what of it others are to be told."""


def advance(plans: Plans, person: Person, at: datetime, why: Why) -> Told:
    """The person at a moment, or at the one that he has been brought to if that is later.

    Whatever was due by then comes first, each at its own moment.
    """
    if person.standing.as_of is None or person.standing.earned is None:
        return rebuild(plans, person, at, why)
    person, moves = run_dues(plans, person, at)
    person, more = _step(plans, person, at, why)
    return person, moves + more


def run_dues(plans: Plans, person: Person, at: datetime) -> Told:
    """The person after what was due at or before a moment."""
    moves: list[Move] = []
    while (due := next_due(plans, person)) is not None and due <= at:
        person, more = _step(plans, person, due, _why_due(person, due))
        moves += [replace(move, due=True) for move in more]
    return person, moves


def _why_due(person: Person, due: datetime) -> Why:
    if any(grant.until == due for grant in person.grants):
        return "grant_ended"
    if any(grant.starts_at == due for grant in person.grants):
        return "granted"
    earned = person.standing.earned
    return "grace_over" if earned and earned.held else "period_end"


def rebuild(plans: Plans, person: Person, at: datetime, why: Why) -> Told:
    """The standing made anew from all days: what it differs in is told once, as of `at`."""
    before = person.standing
    moment = max(at, before.as_of) if before.as_of else at
    until = plans.day_of(moment)
    earned = earn(plans, None, person.days, min((*person.days.buckets, until)), until)
    return _judge(plans, person, replace(before, earned=earned, as_of=moment), why)


def _step(plans: Plans, person: Person, at: datetime, why: Why) -> Told:
    standing = person.standing
    assert standing.as_of, "only what was brought to a moment is brought further"
    moment = max(at, standing.as_of)
    since, until = plans.day_of(standing.as_of), plans.day_of(moment)
    earned = earn(plans, standing.earned, person.days, since, until)
    return _judge(plans, person, replace(standing, earned=earned, as_of=moment), why)


def _judge(plans: Plans, person: Person, standing: Standing, why: Why) -> Told:
    """The standing with the tier that its sources give as of its moment, and what is new."""
    assert standing.as_of, "a standing is judged as of a moment"
    plan = plans.at(standing.as_of)
    found = ranks(plans, person, standing.earned, standing.as_of)
    if plan is None or not found:
        gone = replace(standing, tier="", since=None, valid_until=None)
        return replace(person, standing=gone), []
    best, before = found[0], standing.tier
    if (best.tier, best.until) == (before, standing.valid_until):
        return replace(person, standing=standing), []
    rise = best.level - plan.level(before) if before else 1
    moved = replace(
        standing,
        tier=best.tier,
        since=standing.since if best.tier == before else standing.as_of,
        valid_until=best.until,
        version=standing.version + 1,
    )
    person = replace(person, standing=moved)
    move = Move(
        tier=best.tier,
        before=before,
        direction="up" if rise > 0 else "down" if rise < 0 else "renewed",
        why="reached" if rise > 0 and best.source == "earned" else why,
        at=standing.as_of,
        valid_until=best.until,
        counter=counter(plans, person, standing.as_of),
        version=moved.version,
    )
    return person, [move]


def counter(plans: Plans, person: Person, at: datetime) -> int:
    """What counts for a tier as of a moment."""
    plan, earned, day = plans.at(at), person.standing.earned, plans.day_of(at)
    if plan is None or earned is None:
        return 0
    return plan.count(person.days.buckets, plan.counted_since(earned.period_from, day), day + DAY)


def count(plans: Plans, person: Person, day: date, change: Bucket, at: datetime) -> Told:
    """The person after an event that changes what one of his days counts for."""
    standing = person.standing
    lost = min(change) < 0
    late = standing.as_of is not None and day < plans.day_of(standing.as_of)
    if not (lost or late):
        return advance(plans, _with(person, day, change), at, "order")
    why: Why = "return" if lost else "late"
    if not person.whole:  # it was not foreseen: made anew by the next who asks or tells
        after, moves = advance(plans, _with(person, day, change), at, why)
        return replace(after, standing=replace(after.standing, earned=None)), moves
    moves = []
    if standing.earned:
        person, moves = run_dues(plans, person, at)
    changed = _with(person, day, change)
    plan = plans.at(at)
    if plan is None or plan.on_return == "recheck" or standing.earned is None:
        after, more = rebuild(plans, changed, at, why)
        return after, moves + more
    kept = advance(plans, changed, at, why)
    anew = kept if lost else rebuild(plans, changed, at, why)
    after, more = max(anew, kept, key=lambda told: plan.level(told[0].standing.tier))
    return after, moves + more


def _with(person: Person, day: date, change: Bucket) -> Person:
    return replace(person, days=person.days.plus(day, change))
