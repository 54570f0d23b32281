"""Points that a person gives or takes by hand: who may alone, and when a second must agree. Pure.

The policy is a definition like the programme, under the id `default`. A decision tells what
it was taken on, and is kept with it: who asks later why a second person was needed reads the
limit, the policy's version and the day's sum as they were.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.loyalty.books.programme import DEFAULT
from services.loyalty.terms.definitions import Book, Definition
from shared.errors import Conflict, Forbidden, Unprocessable
from shared.events.fields import Code

ALONE_POINTS_MAX = 1_000  # about ten units of money at the usual rate: goodwill at the counter
DAY_POINTS_MAX = 20_000
POINTS_MAX = 1_000_000

State = Literal["waiting", "booked", "declined"]

Limit = Annotated[int, Field(ge=0, le=10**12)]
PERSONAL = re.compile(r"@|\d(?:[\s-]?\d){6,}")
"""What looks like an address or a number that names somebody."""


class OwnApproval(Forbidden):
    """Whoever asked for an adjustment cannot be its second person."""


class AlreadyDecided(Conflict):
    """This was approved or declined before."""


class TooManyPoints(Unprocessable):
    """No adjustment may be this large, whoever approves it."""


class AdjustmentPolicy(Definition):
    """When adjustments are booked at once, and when they wait."""

    alone_points_max: Limit = ALONE_POINTS_MAX
    """So many points, given or taken, one caller adjusts alone; more wait for a second."""
    day_points_max: Limit = DAY_POINTS_MAX
    """What one caller asks for in a day, given and taken added up; beyond it each one waits."""
    points_max: Limit = POINTS_MAX
    """Of one adjustment, whoever approves."""
    below_zero: bool = False
    """Whether more may be taken than the member can spend: he then owes the rest."""
    reasons: Annotated[frozenset[Code], Field(min_length=1, max_length=100)] = frozenset(
        ("goodwill", "complaint", "correction", "promotion", "fraud", "test")
    )
    """The codes that may be given."""

    @model_validator(mode="after")
    def _never_over(self) -> Self:
        if not self.enabled or self.ends_at:
            raise ValueError("a policy does not end; lay down a new version of it")
        return self


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One, as it is kept. `points` below zero are taken."""

    id: UUID
    customer_id: str | None
    """None: he was erased."""
    points: int
    reason: str
    note: str
    store: str
    expires_at: datetime | None
    state: State
    waits_for: tuple[str, ...]
    """Why one caller was not enough; empty: he was."""
    inputs: Mapping[str, object]
    """What was known when that was decided."""
    requested_by: str
    requested_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an adjustment waits, for what, and on what this was decided."""

    waits_for: tuple[str, ...]
    inputs: Mapping[str, object]


def policy_at(book: Book, at: datetime) -> tuple[AdjustmentPolicy, int]:
    """The policy in force, and its version; 0: none was laid down."""
    found = book.one_in_force(AdjustmentPolicy, DEFAULT, at)
    return (found.body, found.version) if found else (AdjustmentPolicy(), 0)


def check(policy: AdjustmentPolicy, points: int, reason: str, *texts: str) -> None:
    """Refuse what nobody may book."""
    if not points:
        raise Unprocessable("points: give how many, above zero to give, below zero to take")
    if abs(points) > policy.points_max:
        raise TooManyPoints(f"points: {abs(points)} is more than the {policy.points_max} allowed")
    if reason not in policy.reasons:
        raise Unprocessable(f"reason: give one of {', '.join(sorted(policy.reasons))}")
    for text in texts:
        check_text(text)


def check_text(text: str) -> None:
    """Refuse words that would outlive an erasure."""
    if PERSONAL.search(text):
        raise Unprocessable(
            "note: leave out e-mail addresses, phone and card numbers; name a ticket instead"
        )


def decide(policy: AdjustmentPolicy, version: int, points: int, asked_today: int) -> Decision:
    """`asked_today`: what the caller asked for earlier that day, but for what was declined."""
    day = asked_today + abs(points)
    waits_for = []
    if abs(points) > policy.alone_points_max:
        waits_for.append("alone_points_max")
    if day > policy.day_points_max:
        waits_for.append("day_points_max")
    inputs = {
        "policy_version": version,
        "alone_points_max": policy.alone_points_max,
        "day_points_max": policy.day_points_max,
        "caller_points_today": day,
    }
    return Decision(tuple(waits_for), inputs)


def second(adjustment: Adjustment, caller: str) -> None:
    """Refuse who may not decide on it; a waiting one has one decision."""
    if adjustment.state != "waiting":
        raise AlreadyDecided(f"it is {adjustment.state}", state=adjustment.state)
    if adjustment.requested_by == caller:
        raise OwnApproval("ask somebody with another key to approve or decline it")
