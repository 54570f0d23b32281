"""The timeline: what is kept of each event, and whose it was. Pure.

An event of an anonymous id belongs to whoever the id was identified as at the event's time;
before its first identification, to the first. So a tablet that two customers used shows
each his own hours.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.profile.identity import Link
from shared.events import browse, customers, engagement, feedback, notices, orders
from shared.events.envelope import Event

BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)

# What a reader needs to know at a glance, and nothing that names another person. Free text
# and addresses stay out: they would have to be found again to be corrected.
_PRODUCT = ("store", "product_id", "sku", "name", "quantity", "price_minor", "currency")
_TICKET = ("ticket_id", "category", "priority", "order_id", "product_id", "resolution")
_CONTENT = ("content_id", "content_type", "title", "product_ids")
_NOTICE = ("notice_id", "kind", "channel", "template", "order_id", "reason", "link")
_ORDER = ("order_id", "revision", "store", "total_minor", "currency", "test")
FIELDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(orders.TYPES, _ORDER),
    **dict.fromkeys(browse.TYPES, _PRODUCT),
    "category.viewed": ("store", "category"),
    "products.searched": ("store", "query", "results"),
    "checkout.started": ("store", "order_id", "value_minor", "currency"),
    "recommendation.shown": ("store", "recommendation_id", "placement"),
    "recommendation.clicked": ("store", "recommendation_id", "placement", "product_id"),
    **dict.fromkeys(customers.TYPES, ()),
    "customer.registered": ("store", "channel"),
    "customer.identified": ("anonymous_id", "method"),
    "customer.consented": ("purpose", "channel", "granted", "text_version"),
    **dict.fromkeys(feedback.TYPES, _TICKET),
    "review.submitted": ("review_id", "product_id", "order_id", "rating"),
    "survey.answered": ("survey_id", "kind", "score", "order_id", "ticket_id"),
    **dict.fromkeys(engagement.TYPES, _CONTENT),
    "activity.completed": ("kind", "activity_id", "name", "score", "won"),
    "referral.invited": ("referral_id", "share_via"),
    **{name: _NOTICE for name in notices.TYPES if name != "survey.answered"},
    "contact.unsubscribed": ("channel", "purpose", "method"),
    "consent.requested": ("channel", "purpose", "expires_at"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as the timeline tells it."""

    customer_id: str
    time: datetime
    source: str
    id: str
    type: str
    topic: str
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """The hours of an id that are a person's: from `since`, and before `until`."""

    customer_id: str
    since: datetime
    until: datetime


def entry_of(event: Event) -> Entry:
    """What is kept of the event; empty fields are left out."""
    data = event.data
    summary: dict[str, Any] = {}
    for name in FIELDS.get(event.type, ()):
        value = getattr(data, name, None)
        if value is not None and value != "":
            summary[name] = value
    return Entry(event.key, event.time, event.source, event.id, event.type, event.topic, summary)


def spans(
    members: Collection[str], links: Iterable[Link], decided: Collection[str] = ()
) -> list[Span]:
    """Which hours of which ids are the person's with these members.

    `links` are all `identified` links of each anonymous id that was ever linked to a member;
    `decided` the ids that were joined or parted by a decision, which covers all their hours.
    """
    journal: dict[str, list[Link]] = {}
    for link in sorted(links, key=lambda link: link.order):
        if not link.refused and link.member_id not in decided:
            journal.setdefault(link.member_id, []).append(link)
    found = [Span(id_, BEGINNING, END) for id_ in sorted(members) if id_ not in journal]
    for id_, own in journal.items():
        starts = [BEGINNING, *(link.time for link in own[1:])]
        ends = [*starts[1:], END]
        found += [
            Span(id_, since, until)
            for link, since, until in zip(own, starts, ends, strict=True)
            if link.other_id in members and since < until
        ]
    return found
