"""crm.loyalty.v1: what happened to a member's points, tier, rewards and membership.

Points are whole numbers. Every event names the journal of the ledger behind it; none
carries a coupon's code, which is as good as money and is asked for over HTTP.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.events.envelope import CustomerFact
from shared.events.fields import (
    Amount,
    Balance,
    Code,
    Count,
    Currency,
    Id,
    Label,
    Lot,
    Part,
    Points,
    ShortCode,
    StoreId,
    Version,
)

TOPIC = "crm.loyalty.v1"

RULES_MAX = 1_000
Lots = Annotated[tuple[Lot, ...], Field(max_length=10_000)]


class PointsFact(CustomerFact, use_attribute_docstrings=True):
    """Points moved in the ledger."""

    journal_id: Id
    points: Points
    """How many moved: never negative; the type says which way."""
    balance: Balance | None = None
    """The member's points afterwards."""
    lots: Lots = ()
    """Which lots, and how many points of each."""
    order_id: Id | None = None
    order_revision: Version | None = None
    store: StoreId | None = None
    reason: Label = ""


class RuleNamed(Part):
    """One version of an earning rule."""

    rule_id: ShortCode
    rule_version: Version


class PointsEarned(PointsFact):
    """Points were awarded."""

    pending: bool = False
    """True: not spendable before `points.activated`."""
    rule_id: ShortCode = ""
    """The rule that gave most."""
    rule_version: Version | None = None
    rules: Annotated[tuple[RuleNamed, ...], Field(max_length=RULES_MAX)] = ()
    """All that gave points, the one that gave most first; of an order that was cancelled and goes
    on after all, that one alone."""


class PointsActivated(PointsFact):
    """Pending points became spendable."""


class PointsRedeemed(PointsFact):
    """Points were spent."""

    reservation_id: Id | None = None
    amount_minor: Amount | None = None
    """What they were worth at the checkout, in minor units of `currency`."""
    currency: Currency | None = None


class PointsReversed(PointsFact):
    """Earned points were taken back, or spent ones given back, because an order changed."""

    of_journal_id: Id | None = None
    """The journal that this undoes, wholly or in part."""
    direction: Literal["taken_back", "given_back"]
    owed: Points = 0
    """Of them: already spent, and taken from the member's next points."""
    settled: Points = 0
    """Of them: already spent, and to be paid by a lower refund."""


class PointsExpiring(CustomerFact, use_attribute_docstrings=True):
    """Points will expire soon unless they are spent."""

    points: Points
    expires_at: AwareDatetime
    """The first moment at which they are no longer spendable."""
    days: Annotated[int, Field(ge=0, le=3_660)]
    """How many days before expiry this warning is for, such as 30, 7, 1."""
    lots: Lots = ()
    balance: Balance | None = None


class PointsExpired(PointsFact):
    """Points were not spent in time."""

    expired_at: AwareDatetime | None = None


class PointsShortfall(CustomerFact, use_attribute_docstrings=True):
    """An order was paid with points that were not there any more."""

    order_id: Id
    reservation_id: Id | None = None
    points: Points
    """How many are missing."""
    amount_minor: Amount | None = None
    currency: Currency | None = None
    reason: Label = ""


class TierChanged(CustomerFact, use_attribute_docstrings=True):
    """The member's tier is another one now, or holds for another time."""

    tier: Code
    before: Code | None = None
    """Absent: the first tier."""
    direction: Literal["up", "down", "renewed"]
    reason: Label = ""
    valid_until: AwareDatetime | None = None
    """Absent: for ever."""
    qualifying: Count | None = None
    """The qualifying counter (points, minor units or orders, as the programme counts)."""
    version: Version


class RewardIssued(CustomerFact, use_attribute_docstrings=True):
    """The member got a coupon, a gift or another reward."""

    issue_id: Id
    """Names this reward of this member; its code is asked for over HTTP."""
    reward_id: Id
    kind: Code
    """Such as amount, percent, free_shipping, gift, sample."""
    name: Label = ""
    points: Points = 0
    """What the member paid for it."""
    value_minor: Amount | None = None
    currency: Currency | None = None
    valid_until: AwareDatetime | None = None
    occasion: ShortCode = ""
    """Such as birthday, welcome, redemption."""


class MembershipChanged(CustomerFact, use_attribute_docstrings=True):
    """The member joined, accepted newer terms, asked to leave, or took that back."""

    state: Literal["member", "leaving", "left"]
    """Of the moment: `leaving` becomes `left` at `leaves_at`, by time alone."""
    joined_at: AwareDatetime
    leaves_at: AwareDatetime | None = None
    """The first moment at which he is no longer a member."""
    terms_version: ShortCode = ""
    channel: ShortCode = ""


TYPES: dict[str, type[CustomerFact]] = {
    "points.earned": PointsEarned,
    "points.activated": PointsActivated,
    "points.redeemed": PointsRedeemed,
    "points.reversed": PointsReversed,
    "points.expiring": PointsExpiring,
    "points.expired": PointsExpired,
    "points.shortfall": PointsShortfall,
    "tier.changed": TierChanged,
    "reward.issued": RewardIssued,
    "membership.changed": MembershipChanged,
}
