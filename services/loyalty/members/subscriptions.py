"""Paid membership: terms that are bought, follow one another, lapse and are refunded. Pure.

A purchase buys one *term*: a month or a year in whole days of the store's zone. The day on
which it begins is its first day, whatever the hour, and it ends at the start of the day
after its last. A term that is bought while another runs, waits or is within its grace
begins where that one ends, so a late renewal leaves no gap; months count from the day of the
first term, so one from the 31st ends on the 30th of a shorter month and on the 31st again.

A term gives its plan's tier from its start until its end and its days of grace, by time:
nothing has to run for it to lapse. What it gives is kept with it, so a later version of the
plan never touches it.

A refund ends the term at once, without grace. It gives back the price for the days not
begun: `paid_minor * days_unused // days`, rounded down to the minor unit, once.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from services.loyalty.terms.definitions import Definition, Version
from shared.errors import Conflict, Unprocessable
from shared.events.fields import Amount, Code, Currency, Label

MONTHS = {"monthly": 1, "yearly": 12}
MONTHS_AHEAD_MAX = 120
"""Of terms bought in advance: ten years, which no honest member buys."""

State = Literal["upcoming", "active", "grace", "lapsed", "refunded"]
Scalar = bool | int | str


class MembershipPlan(Definition):
    """What can be bought, and what it gives."""

    period: Literal["monthly", "yearly"]
    price_minor: Amount
    currency: Currency
    tier: Code
    """The tier that it gives while it runs."""
    benefits: Annotated[dict[Code, Scalar | Label], Field(max_length=100)] = Field(
        default_factory=dict
    )
    """Its own, besides the tier's: for the checkout to read."""
    grace_days: Annotated[int, Field(ge=0, le=90)] = 0
    """After its end, in which it still holds and a renewal joins on."""


class DocumentUsed(Conflict):
    """This document id belongs to another purchase or refund; an id is never used again."""


class AlreadyRefunded(Conflict):
    """The term was refunded by another document."""


class TermOver(Conflict):
    """The term has ended: there is nothing left to refund."""


@dataclass(frozen=True, slots=True)
class Refund:
    """What was given back for a term, and how it was counted."""

    document_id: str
    at: datetime
    days_unused: int
    days: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Term:
    """One month or year that was paid for. `document_id` names its purchase for ever."""

    document_id: str
    plan_id: str
    plan_version: int
    tier: str
    benefits: Mapping[str, object]
    grace_days: int
    paid_minor: int
    currency: str
    zone: str
    anchor: date
    """The first day of the first of the terms that it follows on."""
    months_before: int
    """How many months after the anchor it begins."""
    months: int
    bought_at: datetime
    starts_at: datetime
    ends_at: datetime
    refund: Refund | None = field(default=None)

    @property
    def first_day(self) -> date:
        return self.starts_at.astimezone(ZoneInfo(self.zone)).date()

    @property
    def end_day(self) -> date:
        """The first day that is no longer paid for."""
        return self.ends_at.astimezone(ZoneInfo(self.zone)).date()

    @property
    def holds_until(self) -> datetime:
        """When what it gives is over: with its grace, or at its refund."""
        if self.refund:
            return min(self.refund.at, self.ends_at)
        return _midnight(self.end_day + timedelta(self.grace_days), self.zone)

    def state(self, at: datetime) -> State:
        if self.refund and self.refund.at <= at:
            return "refunded"
        if at < self.starts_at:
            return "upcoming"
        if at < self.ends_at:
            return "active"
        return "grace" if at < self.holds_until else "lapsed"

    def holds(self, at: datetime) -> bool:
        return self.state(at) in {"active", "grace"}


@dataclass(frozen=True, slots=True)
class Purchase:
    """What was bought; `paid_minor` absent: the plan's price."""

    document_id: str
    at: datetime
    zone: str
    paid_minor: int | None = None


@dataclass(frozen=True, slots=True)
class PaidTier:
    """The tier that a person has paid for; `until` is when he has another or none, as paid now."""

    tier: str
    until: datetime
    plan_id: str
    benefits: Mapping[str, object]
    in_grace: bool


def buy(terms: Iterable[Term], plan: Version[MembershipPlan], purchase: Purchase) -> Term:
    """The next term of who has these; Unprocessable if he has too many ahead."""
    last = max(
        (term for term in terms if not term.refund and purchase.at < term.holds_until),
        key=lambda term: term.ends_at,
        default=None,
    )
    months = MONTHS[plan.body.period]
    first_day = purchase.at.astimezone(ZoneInfo(purchase.zone)).date()
    zone, anchor, before = purchase.zone, first_day, 0
    if last:
        zone, anchor, before = last.zone, last.anchor, last.months_before + last.months
        if last.end_day > _months_after(first_day, MONTHS_AHEAD_MAX - months):
            raise Unprocessable(f"terms reach at most {MONTHS_AHEAD_MAX} months ahead")
    paid_minor = plan.body.price_minor if purchase.paid_minor is None else purchase.paid_minor
    return Term(
        document_id=purchase.document_id,
        plan_id=plan.id,
        plan_version=plan.version,
        tier=plan.body.tier,
        benefits=dict(plan.body.benefits),
        grace_days=plan.body.grace_days,
        paid_minor=paid_minor,
        currency=plan.body.currency,
        zone=zone,
        anchor=anchor,
        months_before=before,
        months=months,
        bought_at=purchase.at,
        starts_at=last.ends_at if last else purchase.at,
        ends_at=_midnight(_months_after(anchor, before + months), zone),
    )


def bring(
    plan: Version[MembershipPlan], purchase: Purchase, first_day: date, end_day: date
) -> Term:
    """A term that was bought elsewhere: it runs from the first day until before the end day.

    Its days may be other than the plan's months; the next term then counts from its end.
    """
    months, zone = MONTHS[plan.body.period], purchase.zone
    whole = _months_after(first_day, months) == end_day
    price_minor = plan.body.price_minor
    return Term(
        document_id=purchase.document_id,
        plan_id=plan.id,
        plan_version=plan.version,
        tier=plan.body.tier,
        benefits=dict(plan.body.benefits),
        grace_days=plan.body.grace_days,
        paid_minor=price_minor if purchase.paid_minor is None else purchase.paid_minor,
        currency=plan.body.currency,
        zone=zone,
        anchor=first_day if whole else end_day,
        months_before=0 if whole else -months,
        months=months,
        bought_at=purchase.at,
        starts_at=_midnight(first_day, zone),
        ends_at=_midnight(end_day, zone),
    )


def give_back(term: Term, document_id: str, at: datetime) -> Term:
    """The term with its refund; the day on which it is asked for counts as used."""
    if term.refund:
        if term.refund.document_id == document_id:
            return term
        raise AlreadyRefunded(f"document {term.refund.document_id} did, at {term.refund.at}")
    if at < term.bought_at:
        raise Unprocessable("time: is before the purchase")
    if at >= term.ends_at:
        raise TermOver(f"it ended at {term.ends_at.isoformat()}")
    days = (term.end_day - term.first_day).days
    unused = days
    if at >= term.starts_at:
        today = at.astimezone(ZoneInfo(term.zone)).date()
        unused = (term.end_day - today).days - 1
    amount_minor = term.paid_minor * unused // days
    return replace(term, refund=Refund(document_id, at, unused, days, amount_minor))


def paid_tier(terms: Iterable[Term], at: datetime) -> PaidTier | None:
    """What a person with these terms, under all his ids, has paid for at a time.

    Of several that hold at once one that runs counts before one in grace, and then the one
    that holds longest: two ids that were merged may have one each.
    """
    known = list(terms)
    best = _best(known, at)
    if best is None:
        return None
    turns = {
        moment for term in known for moment in (term.starts_at, term.ends_at, term.holds_until)
    }
    until = next(
        turn
        for turn in sorted(turns)
        if turn > at and ((then := _best(known, turn)) is None or then.tier != best.tier)
    )
    return PaidTier(best.tier, until, best.plan_id, best.benefits, best.state(at) == "grace")


def _best(terms: Iterable[Term], at: datetime) -> Term | None:
    return max(
        (term for term in terms if term.holds(at)),
        key=lambda term: (term.state(at) == "active", term.holds_until, term.document_id),
        default=None,
    )


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(0), ZoneInfo(zone)).astimezone(UTC)


def _months_after(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
