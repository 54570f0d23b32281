"""Consent: the newest answer for each purpose and channel, by the event's time. Pure.

The `version` of an answer grows with each change, and is what the other services go by. An
answer that is older than the one we have changes nothing. `any` as a channel or purpose is
an answer of its own: who asks for one channel looks at both and takes the newer.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.events.customers import CustomerConsented
from shared.events.envelope import Event
from shared.events.notices import ContactUnsubscribed

ANSWERS = {"customer.consented", "contact.unsubscribed"}

State = Literal["granted", "pending", "withdrawn"]
Key = tuple[str, str, str]  # customer_id, purpose, channel


@dataclass(frozen=True, slots=True)
class Answer:
    """What a customer last said about one purpose and channel; `at` is when."""

    customer_id: str
    purpose: str
    channel: str
    state: State
    version: int
    text_version: str
    origin: str
    at: datetime
    time: datetime
    source: str
    id: str

    @property
    def key(self) -> Key:
        return (self.customer_id, self.purpose, self.channel)


def concerns(event: Event) -> bool:
    """Whether the event is an answer."""
    return event.type in ANSWERS


def answer_of(event: Event) -> Answer:
    """The event as an answer, not yet with a version."""
    match event.data:
        case CustomerConsented() as fact:
            state: State = "granted" if fact.granted else "withdrawn"
            text_version, origin, at = fact.text_version, fact.source, fact.at or event.time
        case ContactUnsubscribed() as fact:
            state, text_version, origin, at = "withdrawn", "", fact.method, event.time
        case _:
            raise AssertionError(f"{event.type} is no answer")
    about = (event.key, fact.purpose, fact.channel)
    return Answer(*about, state, 0, text_version, origin, at, *event.order)


def wins(new: Answer, known: Answer | None) -> bool:
    """Whether `new` takes the place of what is known."""
    return known is None or (new.time, new.source, new.id) > (known.time, known.source, known.id)
