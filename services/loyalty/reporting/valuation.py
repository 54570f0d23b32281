"""What a point is worth in the accounts, and how: laid down by finance, in versions. Pure.

One definition, under the id `default`; without one, what stands here as defaults holds, as
version 0. Breakage is what members never ask for. IFRS 15 lets a shop count on it only with
experience of its own (B46), so the default is to count on none.
"""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.loyalty.terms.conditions import Part
from services.loyalty.terms.definitions import Book, Definition

DEFAULT = "default"
"""The id of the one policy."""

AccountCode = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._ -]{0,39}$")]
"""Of the shop's chart of accounts. It begins with a letter or digit, so that no spreadsheet
takes it for a formula."""


class PointValue(Part):
    """So many minor units of the base currency for so many points: a fraction, never rounded."""

    minor: Annotated[int, Field(ge=0, le=1_000_000_000)] = 100
    per_points: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100

    @property
    def of_one(self) -> Fraction:
        return Fraction(self.minor, self.per_points)


class Breakage(Part):
    """How the share of points is estimated that will never be redeemed."""

    method: Literal["none", "chain_ladder"] = "none"
    months_min: Annotated[int, Field(ge=1, le=120)] = 12
    """So many closed months of experience, or no breakage is counted on."""
    tail_percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Of what is not redeemed at the oldest age ever observed, so much still will be. 0 is right
    where points expire within the observed ages."""


class Accounts(Part):
    """The chart of accounts' codes for vouchers."""

    liability: AccountCode = "points-liability"
    """What members are owed, before breakage."""
    breakage_allowance: AccountCode = "points-breakage-allowance"
    """The part of it that is not expected to be asked for."""
    earned: AccountCode = "points-deferred-revenue"
    redeemed: AccountCode = "points-redeemed-revenue"
    expired: AccountCode = "points-expired-revenue"
    adjusted: AccountCode = "points-goodwill"
    breakage: AccountCode = "points-breakage-revenue"
    revalued: AccountCode = "points-revaluation"
    """Changes of the point's value, and what rounding leaves."""


class FinancePolicy(Definition):
    """What a point is worth in the accounts, and on which accounts its movements are booked."""

    value: PointValue = PointValue()
    breakage: Breakage = Breakage()
    accounts: Accounts = Accounts()

    @model_validator(mode="after")
    def _never_over(self) -> Self:
        if not self.enabled or self.ends_at:
            raise ValueError("a finance policy does not end; lay down a new version of it")
        return self


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """The policy in force, and its version; 0: nothing was laid down."""

    version: int
    policy: FinancePolicy


def policy_at(book: Book, at: datetime) -> PolicyVersion:
    found = book.one_in_force(FinancePolicy, DEFAULT, at)
    return PolicyVersion(found.version, found.body) if found else PolicyVersion(0, FinancePolicy())


def round_half_up(amount: Fraction) -> int:
    """To whole minor units or points; a half goes up, also below zero."""
    return (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)
