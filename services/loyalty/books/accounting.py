"""Which day a journal counts for in the accounts. Pure.

The business day of its event in the base zone, which is that of the first store, while that
day's month is open. A fact that is heard of after its month was closed counts for the first
day of the open month, and refers back to the month that it belongs to. So a closed month
never changes, and nothing is lost. A month is written as its first day.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Annotated

from pydantic import Field

from shared.stores import Stores

Day = Annotated[date, Field(ge=date(1900, 1, 1), le=date(2199, 12, 31))]
MONTH_FORM = re.compile(r"(19|20|21)\d{2}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Calendar:
    """`open_from`: the first day of the open month; None while no month was ever closed."""

    zone: tzinfo
    open_from: date | None = None

    def account(self, time: datetime) -> tuple[date, date | None]:
        """The accounting date of an event, and the closed month that it refers to."""
        day = time.astimezone(self.zone).date()
        if self.open_from is None or day >= self.open_from:
            return day, None
        return self.open_from, month_of(day)


def calendar(stores: Stores, closed: date | None) -> Calendar:
    """With the months up to and including `closed` closed."""
    zone = next(iter(stores.by_id.values())).tz
    return Calendar(zone, next_month(closed) if closed else None)


def month_of(day: date) -> date:
    return day.replace(day=1)


def next_month(month: date) -> date:
    return month_of(month + timedelta(31))


def parse_month(text: str) -> date:
    """`2026-10`; ValueError says how to write it."""
    if not MONTH_FORM.fullmatch(text):
        raise ValueError(f"{text!r} is no month: write it as 2026-10")
    return date.fromisoformat(f"{text}-01")


def name_of(month: date) -> str:
    return month.isoformat()[:7]


def months_between(first: date, last: date) -> int:
    """0 for the same month."""
    return (last.year - first.year) * 12 + last.month - first.month
