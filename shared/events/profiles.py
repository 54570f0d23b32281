"""crm.profiles.v1: what profile decided about a person, written once under each member's key.

`customer_id` is the member under whose key this copy was written; `canonical_id` names the
person. The other services act on these facts, never on the shop's facts behind them.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.events.envelope import CustomerFact, CustomerId
from shared.events.fields import Attributes, Code, Id, Label, Share, ShortCode, Version

TOPIC = "crm.profiles.v1"

MEMBERS_MAX = 1_000
Members = Annotated[tuple[CustomerId, ...], Field(min_length=1, max_length=MEMBERS_MAX)]


class ProfileMerged(CustomerFact, use_attribute_docstrings=True):
    """Several ids are one person from now on; nothing moves."""

    canonical_id: CustomerId
    members: Members
    """All ids of the person after the merge, the canonical one included, in ascending order."""
    version: Version
    """Of the person's membership; only a higher one is applied."""
    reason: Label = ""
    """Such as identified, order, staff, verified_identifier."""


class ProfileUnmerged(CustomerFact, use_attribute_docstrings=True):
    """Some ids are no longer of this person. Written under the key of every remaining and
    every removed id, so each of them learns where it belongs now."""

    canonical_id: CustomerId
    """Of the person that `customer_id` belongs to after this."""
    members: Members
    """All ids of that person after this."""
    removed: Members
    """The ids that were parted from the person."""
    version: Version
    reason: Label = ""


class ProfileChanged(CustomerFact, use_attribute_docstrings=True):
    """Attributes and traits that the store publishes have new values; null: no longer there."""

    canonical_id: CustomerId
    version: Version
    attributes: Attributes = Field(default_factory=dict)
    traits: Attributes = Field(default_factory=dict)


class SegmentFact(CustomerFact, use_attribute_docstrings=True):
    """Membership of a segment changed."""

    canonical_id: CustomerId
    segment_id: Id
    segment_version: Version = 1
    """Of the segment's definition."""
    name: Label = ""


class SegmentEntered(SegmentFact):
    """The person now fits the segment."""


class SegmentLeft(SegmentFact):
    """The person no longer fits the segment."""


class ChurnRiskChanged(CustomerFact, use_attribute_docstrings=True):
    """The person's risk of not coming back moved to another band."""

    canonical_id: CustomerId
    risk: Literal["low", "medium", "high"]
    before: Literal["low", "medium", "high"] | None = None
    probability: Share | None = None
    """Of having gone for good, 0 to 1."""
    next_order_at: AwareDatetime | None = None
    """When the next order is expected."""
    model_version: ShortCode = ""


class ConsentChanged(CustomerFact, use_attribute_docstrings=True):
    """The consent ledger's present answer for one purpose and channel."""

    canonical_id: CustomerId | None = None
    purpose: Code
    channel: Code = "any"
    state: Literal["granted", "pending", "withdrawn"]
    """`pending`: asked for confirmation and not yet given; only `granted` allows anything."""
    version: Version
    """Of this ledger entry; only a higher one is applied."""
    text_version: ShortCode = ""
    source: ShortCode = ""
    at: AwareDatetime
    """When the customer said so."""


class ErasureRequested(CustomerFact, use_attribute_docstrings=True):
    """The person is to be forgotten by every service; each answers with `erasure.completed`."""

    request_id: Id
    members: Members
    """All ids of the person."""
    erased_until: AwareDatetime
    """Events up to this time are erased, and skipped when replayed."""
    deadline: AwareDatetime
    """By when every receipt must be there."""
    reason: Label = ""


class ProcessingRestricted(CustomerFact, use_attribute_docstrings=True):
    """The person's data is kept and not used, or may be used again."""

    request_id: Id
    restricted: bool
    """False: the restriction is lifted."""
    members: Members
    version: Version
    reason: Label = ""


TYPES: dict[str, type[CustomerFact]] = {
    "profile.merged": ProfileMerged,
    "profile.unmerged": ProfileUnmerged,
    "profile.changed": ProfileChanged,
    "segment.entered": SegmentEntered,
    "segment.left": SegmentLeft,
    "churn_risk.changed": ChurnRiskChanged,
    "consent.changed": ConsentChanged,
    "erasure.requested": ErasureRequested,
    "processing.restricted": ProcessingRestricted,
}
