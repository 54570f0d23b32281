"""A person's accounts, put together for a tier. Pure.

What counts is kept by account, so that a merge moves nothing and an unmerge is exact. A
standing is made for a person as he is; it is kept with each of his accounts.
"""

from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from services.loyalty.levels.qualifying import Days
from services.loyalty.levels.standing import Grant, Person, Standing
from services.loyalty.levels.tiers import LAST_DAY, Bucket, Buckets


@dataclass(frozen=True, slots=True)
class Holding:
    """What one account brings to its person; `of_version` says of which membership it speaks."""

    customer_id: str
    account_id: UUID
    joined: date | None
    first_day: date | None
    buckets: Buckets
    grants: tuple[Grant, ...]
    standing: Standing
    of_version: int
    whole: bool = True
    """Whether these are all of its days that count."""


def pool(holdings: tuple[Holding, ...], version: int) -> Person:
    """The person behind some accounts, whose membership has this version.

    A standing of another membership says what was told, and has to be made anew.
    """
    buckets: dict[date, Bucket] = {}
    for holding in holdings:
        for day, bucket in holding.buckets.items():
            buckets[day] = buckets.get(day, Bucket()).plus(bucket)
    first = [begun for each in holdings if (begun := each.joined or each.first_day)]
    days = Days(min(first, default=LAST_DAY), buckets, any(each.joined for each in holdings))
    last = max(holdings, key=lambda each: (each.standing.version, each.of_version))
    standing = last.standing
    if any(each.of_version != version or each.standing != standing for each in holdings):
        moments = [each.standing.as_of for each in holdings if each.standing.as_of]
        standing = replace(standing, earned=None, as_of=max(moments, default=None))
    grants = tuple(grant for holding in holdings for grant in holding.grants)
    return Person(days, grants, standing, whole=all(each.whole for each in holdings))


@dataclass(frozen=True, slots=True)
class Dossier:
    """A person with the accounts behind him; `version` is that of the membership."""

    canonical_id: str
    version: int
    holdings: tuple[Holding, ...]

    @property
    def person(self) -> Person:
        return pool(self.holdings, self.version)
