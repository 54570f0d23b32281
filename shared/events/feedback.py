"""shop.feedback.v1: what customers say: reviews, surveys, service tickets.

A ticket event carries the whole ticket as it now stands; the type says what happened.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.events.envelope import CustomerFact
from shared.events.fields import Id, Label, Part, ShortCode, StoreId, Text, Url

TOPIC = "shop.feedback.v1"


class ReviewSubmitted(CustomerFact, use_attribute_docstrings=True):
    """A product was reviewed; a changed review comes again under its review_id."""

    review_id: Id
    product_id: Id
    sku: Annotated[str, Field(max_length=200)] = ""
    order_id: Id | None = None
    line_id: Id | None = None
    rating: Annotated[int, Field(ge=1, le=5)]
    """1, the worst, to 5."""
    title: Label = ""
    review_body: Text = ""
    image_urls: Annotated[tuple[Url, ...], Field(max_length=50)] = ()
    store: StoreId | None = None


class Answer(Part):
    """One question of a survey and what was answered."""

    question_id: Id
    answer: Annotated[str, Field(max_length=2_000)]


class SurveyAnswered(CustomerFact, use_attribute_docstrings=True):
    """A survey was answered, in the shop or by the link of a message."""

    survey_id: Id
    kind: Literal["csat", "nps", "ces", "other"]
    """Satisfaction (1 to 5), recommendation (0 to 10), effort (1 to 7), or another."""
    score: Annotated[int, Field(ge=0, le=10)] | None = None
    comment: Text = ""
    answers: Annotated[tuple[Answer, ...], Field(max_length=100)] = ()
    order_id: Id | None = None
    product_id: Id | None = None
    ticket_id: Id | None = None
    notice_id: Id | None = None
    """The message whose link was followed."""
    store: StoreId | None = None
    channel: ShortCode = ""


class TicketSnapshot(CustomerFact, use_attribute_docstrings=True):
    """The whole ticket as it now stands."""

    ticket_id: Id
    category: Label = ""
    priority: Literal["low", "normal", "high", "urgent"] = "normal"
    channel: ShortCode = ""
    """Such as phone, chat, email."""
    subject: Label = ""
    order_id: Id | None = None
    line_id: Id | None = None
    product_id: Id | None = None
    opened_at: AwareDatetime | None = None
    first_response_at: AwareDatetime | None = None
    closed_at: AwareDatetime | None = None
    resolution: Label = ""
    """How it ended, such as solved, refunded, given up."""
    store: StoreId | None = None


TYPES: dict[str, type[CustomerFact]] = {
    "review.submitted": ReviewSubmitted,
    "survey.answered": SurveyAnswered,
    "ticket.opened": TicketSnapshot,
    "ticket.updated": TicketSnapshot,
    "ticket.escalated": TicketSnapshot,
    "ticket.closed": TicketSnapshot,
    "ticket.reopened": TicketSnapshot,
}
