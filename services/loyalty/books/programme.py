"""The programme: when points count, how long, what they are worth, what a return does. Pure.

One definition, under the id `default`; without one, what stands here as defaults holds.
"""

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.loyalty.terms.conditions import Names, Part
from services.loyalty.terms.definitions import Book, Definition

DEFAULT = "default"
"""The id of the one programme."""

Days = Annotated[int, Field(ge=0, le=3_660)]


class Activation(Part):
    """When pending points become spendable."""

    on: Literal["paid", "delivered", "completed"] = "delivered"
    """What makes a line's points certain; `delivered` is true of completed orders, too."""
    after_days: Days = 0
    """So many days later, such as at the end of the return window."""


class Expiry(Part):
    """How long points are spendable: without days and months, for ever."""

    after_days: Days = 0
    after_months: Annotated[int, Field(ge=0, le=120)] = 0
    round_to: Literal["moment", "day", "month", "quarter", "year"] = "day"
    """Up to the end of which period, in the store's zone."""

    def expires_at(self, active_from: datetime, zone: tzinfo) -> datetime | None:
        """The first moment at which points active from then are no longer spendable.

        A month from the 31st ends on the last day of a shorter month.
        """
        if not self.after_days and not self.after_months:
            return None
        local = active_from.astimezone(zone)
        day = _plus_months(local.date(), self.after_months) + timedelta(self.after_days)
        if self.round_to == "moment":
            return datetime.combine(day, local.time(), zone).astimezone(active_from.tzinfo)
        end = _period_end(day, self.round_to)
        return datetime.combine(end, time(0), zone).astimezone(active_from.tzinfo)


class Returns(Part):
    """What happens to points when an order is returned."""

    spent: Literal["negative", "next_earning", "refund"] = "negative"
    """Of points already spent: taken from the member's other points, down to below zero; or
    owed, and paid by the next points that become active; or told, to lower the refund by."""
    restore: Literal["original", "grace", "new"] = "original"
    """Points given back keep their date; or are spendable for `grace_days` at least; or get
    a new date, as if just earned."""
    grace_days: Days = 0


class Redemption(Part):
    """Points as money off at the checkout."""

    points_per_unit: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """For one full unit (1.00) of the base currency."""
    points_min: Annotated[int, Field(ge=1)] = 1
    points_step: Annotated[int, Field(ge=1)] = 1
    """Points are spent in multiples of it."""
    share_max_percent: Annotated[int, Field(ge=0, le=100)] = 100
    """Of what may be paid in points, at most."""
    not_categories: Names = frozenset()
    """Lines that must be paid in money."""
    reserve_minutes: Annotated[int, Field(ge=1, le=1_440)] = 30


class Programme(Definition):
    """How points live."""

    activation: Activation = Activation()
    expiry: Expiry = Expiry()
    returns: Returns = Returns()
    redemption: Redemption = Redemption()

    @model_validator(mode="after")
    def _never_over(self) -> Self:
        if not self.enabled or self.ends_at:
            raise ValueError("a programme does not end; lay down a new version of it")
        return self


PLAIN = Programme()


def programme_at(book: Book, at: datetime) -> Programme:
    found = book.one_in_force(Programme, DEFAULT, at)
    return found.body if found else PLAIN


def _plus_months(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = (date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1) - timedelta(1)).day
    return date(year, month + 1, min(day.day, last))


def _period_end(day: date, period: Literal["day", "month", "quarter", "year"]) -> date:
    """The first day after the period that `day` is in."""
    if period == "day":
        return day + timedelta(1)
    months = {"month": 1, "quarter": 3, "year": 12}[period]
    first = date(day.year, (day.month - 1) // months * months + 1, 1)
    return _plus_months(first, months)
