"""How many points a rule may still give: by member and period, and of its budget. Pure.

What was earned is counted under a label of the period in which the order was placed, in
the store's zone: `2026-11-18`, `2026-W47`, `2026-11`, `2026`, `ever`. So an order that is
heard of late counts in its own period.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.loyalty.earning.rules import Caps

Place = tuple[str, str]
"""A rule's id and the label of a period."""


@dataclass(frozen=True, slots=True)
class Used:
    """What has been counted: of the member by rule and period, of budgets by rule."""

    places: Mapping[Place, int] = field(default_factory=dict)
    budgets: Mapping[str, int] = field(default_factory=dict)


def periods(caps: Caps, at: datetime) -> Iterator[tuple[str, str, int]]:
    """Name, label and limit of each period that is limited; `at` is in the store's zone."""
    if caps.per_day is not None:
        yield "cap_day", at.date().isoformat(), caps.per_day
    if caps.per_week is not None:
        year, week, _ = at.isocalendar()
        yield "cap_week", f"{year}-W{week:02}", caps.per_week
    if caps.per_month is not None:
        yield "cap_month", f"{at:%Y-%m}", caps.per_month
    if caps.per_year is not None:
        yield "cap_year", f"{at:%Y}", caps.per_year
    if caps.ever is not None:
        yield "cap_ever", "ever", caps.ever


def room(rule_id: str, caps: Caps, at: datetime, used: Used) -> tuple[int | None, str]:
    """How many points the rule may still give, and which cap says so; None: any number."""
    left: int | None = None
    by = ""
    for name, label, limit in periods(caps, at):
        rest = max(0, limit - used.places.get((rule_id, label), 0))
        if left is None or rest < left:
            left, by = rest, name
    if caps.budget is not None:
        rest = max(0, caps.budget - used.budgets.get(rule_id, 0))
        if left is None or rest < left:
            left, by = rest, "budget"
    return left, by


def labels(at: datetime) -> set[str]:
    """Of every period that `at`, in the store's zone, is in."""
    everything = Caps(per_day=1, per_week=1, per_month=1, per_year=1, ever=1)
    return {label for _, label, _ in periods(everything, at)}
