"""crm.notices.v1: what became of each message to a customer, and what he did with it.

No event carries an address or a message's text: only which notice, by which channel.
"""

from typing import Literal

from pydantic import AwareDatetime

from shared.events.envelope import CustomerFact
from shared.events.feedback import SurveyAnswered
from shared.events.fields import Code, Id, Label, ShortCode, StoreId, Url

TOPIC = "crm.notices.v1"


class NoticeFact(CustomerFact, use_attribute_docstrings=True):
    """Which message, to whom, by which way."""

    notice_id: Id
    delivery_id: Id | None = None
    """One recipient's delivery of the notice."""
    kind: Code
    """Such as code, order, journey, campaign: it decides consent and freshness."""
    channel: Code
    """Such as email or sms."""
    template: ShortCode = ""
    journey_id: Id | None = None
    campaign_id: Id | None = None
    variant: ShortCode = ""
    order_id: Id | None = None
    store: StoreId | None = None


class NoticeSent(NoticeFact):
    """A provider took the message."""

    provider: ShortCode = ""


class NoticeDelivered(NoticeFact):
    """The provider says that it arrived."""

    provider: ShortCode = ""


class NoticeFailed(NoticeFact):
    """It did not arrive."""

    provider: ShortCode = ""
    reason: Code
    permanent: bool
    """True: this address is not tried again."""


class NoticeSuppressed(NoticeFact):
    """It was not sent, on purpose."""

    reason: Code
    """Such as no_consent, quiet_hours, cap, stale, suppressed, backfill."""


class NoticeClicked(NoticeFact):
    """A link of the message was followed."""

    link: ShortCode = ""
    """The link's name in the template."""
    url: Url = ""
    """Where it leads, without anything about the person."""


class ContactUnsubscribed(CustomerFact, use_attribute_docstrings=True):
    """The customer wants no more such messages."""

    channel: Code
    purpose: Code = "marketing"
    """`any`: nothing at all by this channel."""
    method: Literal["link", "keyword", "complaint", "bounce", "preferences", "staff"] = "link"
    notice_id: Id | None = None
    reason: Label = ""


class ConsentRequested(CustomerFact, use_attribute_docstrings=True):
    """The customer was asked to confirm a consent (double opt-in)."""

    purpose: Code
    channel: Code
    text_version: ShortCode = ""
    notice_id: Id | None = None
    expires_at: AwareDatetime | None = None
    """After this the question counts as not answered."""


TYPES: dict[str, type[CustomerFact]] = {
    "notice.sent": NoticeSent,
    "notice.delivered": NoticeDelivered,
    "notice.failed": NoticeFailed,
    "notice.suppressed": NoticeSuppressed,
    "notice.clicked": NoticeClicked,
    "contact.unsubscribed": ContactUnsubscribed,
    "consent.requested": ConsentRequested,
    "survey.answered": SurveyAnswered,
}
