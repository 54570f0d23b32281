"""Where a member stands between two tiers, as a storefront shows it. Pure."""

from dataclasses import dataclass
from datetime import date, datetime

from services.loyalty.levels.qualifying import DAY, earn, ends_on
from services.loyalty.levels.standing import Person, Rank, advance, counter, next_due, ranks
from services.loyalty.levels.tiers import Plans, Tier, TierPlan


@dataclass(frozen=True, slots=True)
class Step:
    """What is missing for a tier, in the plan's counter, and by when it must be there."""

    tier: str
    missing: int
    by: datetime | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A tier now, and what becomes of it."""

    tier: Tier
    since: datetime | None
    valid_until: datetime | None
    counter: int
    counted_from: date
    counted_until: date | None
    """The first day that no longer counts for this period; None: every day counts."""
    to_next: Step | None
    """None: this is the highest."""
    to_stay: Step | None
    """None: it cannot be lost."""
    projected: str
    """The tier from `valid_until` on, if nothing more is bought."""
    sources: tuple[Rank, ...]
    """Why this tier: all that give one, the one that counts first."""


def progress(plans: Plans, person: Person, at: datetime) -> Progress | None:
    """The member's card at a moment; None: there are no tiers then."""
    plan = plans.at(at)
    person, _ = advance(plans, person, at, "order")
    standing, earned = person.standing, person.standing.earned
    if plan is None or earned is None:
        return None
    sources = ranks(plans, person, earned, at)
    level, counted = sources[0].level, counter(plans, person, at)
    above = plan.tiers[level + 1] if level + 1 < len(plan.tiers) else None
    projected = standing.tier
    if standing.valid_until:
        projected = advance(plans, person, standing.valid_until, "order")[0].standing.tier
    day = plans.day_of(at)
    first = plan.counted_since(earned.period_from, day)
    return Progress(
        tier=plan.tiers[level],
        since=standing.since,
        valid_until=standing.valid_until,
        counter=counted,
        counted_from=max(first, min(person.days.joined, day)),
        counted_until=_counted_until(plan, person, day),
        to_next=Step(above.code, above.threshold - counted) if above else None,
        to_stay=_to_stay(plans, plan, person, sources[0], counted),
        projected=projected,
        sources=tuple(sources),
    )


def _counted_until(plan: TierPlan, person: Person, day: date) -> date | None:
    earned = person.standing.earned
    if plan.window == "rolling" or earned is None:
        return day + DAY
    return plan.period_end(earned.period_from, person.days.joined)


def _to_stay(plans: Plans, plan: TierPlan, person: Person, best: Rank, counted: int) -> Step | None:
    """What is missing for the tier to be reached again by the day that decides on it."""
    earned = person.standing.earned
    if best.until is None or not best.level or earned is None:
        return None
    by = best.until
    if best.source == "earned" and (end := ends_on(plan, earned, person.days)):
        by = plans.midnight(end)
        first = plan.counted_since(earned.period_from, end - DAY)
        counted = plan.count(person.days.buckets, first, end)
    return Step(best.tier, max(0, plan.tiers[best.level].threshold - counted), by)


def tier_at(plans: Plans, person: Person, at: datetime) -> Tier | None:
    """The tier at any moment, also one long past: what an order of that time is bought with."""
    plan, standing = plans.at(at), person.standing
    if plan is None:
        return None
    if standing.as_of and standing.earned and at >= standing.as_of:
        due = next_due(plans, person)
        if plans.at(standing.as_of) is not plan or (due is not None and due <= at):
            standing = advance(plans, person, at, "order")[0].standing
    elif not (standing.since and at >= standing.since) and person.whole:
        day = plans.day_of(at)
        earned = earn(plans, None, person.days, min((*person.days.buckets, day)), day)
        return plan.tiers[ranks(plans, person, earned, at)[0].level]
    return plan.tiers[plan.level(standing.tier)]
