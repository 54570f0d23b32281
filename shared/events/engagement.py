"""shop.engagement.v1: what customers do beside buying: activities, referrals, content."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.envelope import CustomerFact, CustomerId
from shared.events.fields import Attributes, Id, Label, Number, ShortCode, StoreId, Text, Url

TOPIC = "shop.engagement.v1"

ProductIds = Annotated[tuple[Id, ...], Field(max_length=100)]


class EngagementFact(CustomerFact, use_attribute_docstrings=True):
    """Where it happened."""

    store: StoreId | None = None
    channel: ShortCode = ""


class ActivityCompleted(EngagementFact):
    """A customer finished something that the shop offers to take part in."""

    kind: Literal["check_in", "contest", "quiz", "question", "event", "share"]
    activity_id: Id
    """Which one, such as the contest; for check_in, the place or the programme."""
    name: Label = ""
    score: Number | None = None
    """As the activity counts, such as right answers of a quiz."""
    won: bool | None = None
    attributes: Attributes = Field(default_factory=dict)


class ReferralInvited(EngagementFact):
    """A customer invited someone; `customer_id` is who invited."""

    referral_id: Id
    referral_code: ShortCode = ""
    """What the invited one brings back in `customer.registered`."""
    invited_customer_id: CustomerId | None = None
    """Who was invited, where that is known already."""
    share_via: ShortCode = ""


class ContentFact(EngagementFact):
    """Which content."""

    content_id: Id
    content_type: ShortCode = ""
    """Such as article, video, live."""
    title: Label = ""
    url: Url = ""
    category: Label = ""
    product_ids: ProductIds = ()
    """Products that it shows."""


class ContentViewed(ContentFact):
    """Content was opened."""

    duration_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
    """How long it was looked at."""
    recommendation_id: Id | None = None


class ContentShared(ContentFact):
    """Content was passed on."""

    share_via: ShortCode = ""


class UgcPublished(ContentFact):
    """A customer's own post, picture or video was published."""

    body: Text = ""
    order_id: Id | None = None


TYPES: dict[str, type[CustomerFact]] = {
    "activity.completed": ActivityCompleted,
    "referral.invited": ReferralInvited,
    "content.viewed": ContentViewed,
    "content.shared": ContentShared,
    "ugc.published": UgcPublished,
}
