"""What tier a member's days have come to: a fold over business days. Pure.

The tier that the counter reaches, kept until the period's end; then what the plan's
downgrade policy leaves of it, the lost tier being held for the days of grace. The fold may
be stopped on any day and go on from there: it comes to the same.
"""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from services.loyalty.levels.tiers import LAST_DAY, Bucket, Buckets, Plans, TierPlan

DAY = timedelta(1)


@dataclass(frozen=True, slots=True)
class Days:
    """When somebody joined, and what counts of each day.

    Whoever has joined on no stated day did so with the first order or action that counts.
    """

    joined: date = LAST_DAY
    buckets: Buckets = field(default_factory=dict)
    stated: bool = False

    def plus(self, day: date, change: Bucket) -> "Days":
        buckets = {**self.buckets, day: self.buckets.get(day, Bucket()).plus(change)}
        joined = self.joined if self.stated else min(self.joined, day)
        return Days(joined, buckets, self.stated)


@dataclass(frozen=True, slots=True)
class Earned:
    """What the orders alone have come to, as of some day."""

    tier: str
    period_from: date
    """The first day of the present period."""
    held: str = ""
    """A tier that is lost and still held."""
    held_until: date | None = None
    """The first day on which it is not."""


def earn(plans: Plans, state: Earned | None, days: Days, since: date, until: date) -> Earned | None:
    """What was earned as of `since`, brought to `until`; None: no plan is in force then.

    Each day that matters is taken in turn: first the periods that end with it, then a new
    version of the plan that starts with it, then what was bought on it.
    """
    turns = {day for day in (*days.buckets, *plans.days) if since <= day <= until}
    for day in sorted(turns | {until}):
        before, plan = plans.on(day - DAY), plans.on(day)
        if state and before:
            state = _end_periods(before, state, days, day)
        if plan is None:
            state = None
        elif state is None or (before and _restarts(before, plan)):
            code = state.tier if state else plan.tiers[0].code
            state = Earned(code, plan.period_start(day, days.joined))
        if plan and state:
            state = _credit(plan, state, days, day)
    return state


def _restarts(before: TierPlan, plan: TierPlan) -> bool:
    """Whether a new version begins everybody's period anew."""
    return (before.window, before.window_days, before.downgrade == "none") != (
        plan.window,
        plan.window_days,
        plan.downgrade == "none",
    )


def ends_on(plan: TierPlan, state: Earned, days: Days) -> date | None:
    """The day at whose start the tier is decided again; None: it cannot be lost."""
    if plan.downgrade == "none" or not plan.level(state.tier):
        return None
    return plan.period_end(state.period_from, days.joined)


def _end_periods(plan: TierPlan, state: Earned, days: Days, day: date) -> Earned:
    while (end := ends_on(plan, state, days)) is not None and end <= day:
        state = _close(plan, state, days, end)
    if end is None and plan.window != "rolling":
        state = replace(state, period_from=plan.period_start(day, days.joined))
    if state.held_until and state.held_until <= day:
        state = replace(state, held="", held_until=None)
    return state


def _close(plan: TierPlan, state: Earned, days: Days, end: date) -> Earned:
    """The period ends: its counter decides on the next one."""
    since = plan.counted_since(state.period_from, end - DAY)
    level = plan.level(state.tier)
    left = plan.reached(plan.count(days.buckets, since, end))
    if plan.downgrade == "one_down":
        left = max(left, level - 1)
    if left >= level:
        return Earned(state.tier, end)
    code = plan.tiers[left].code
    if not plan.grace_days:
        return Earned(code, end)
    return Earned(code, end, state.tier, end + timedelta(plan.grace_days))


def _credit(plan: TierPlan, state: Earned, days: Days, day: date) -> Earned:
    """Up at once, when the counter reaches it; never down."""
    since = plan.counted_since(state.period_from, day)
    reached = plan.reached(plan.count(days.buckets, since, day + DAY))
    if reached <= plan.level(state.tier):
        known = state.tier in plan.levels
        return state if known else replace(state, tier=plan.tiers[0].code)
    start = day if plan.window == "rolling" else state.period_from
    risen = replace(state, tier=plan.tiers[reached].code, period_from=start)
    if plan.level(state.held) <= reached:
        risen = replace(risen, held="", held_until=None)
    return risen
