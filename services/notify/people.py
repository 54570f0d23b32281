"""How to reach a customer, and whether he lets us. Pure.

Everything here is kept under the id that it was told of, in a form that merges: contact
points are the newest by event order, consents and restrictions the highest version. A
person is the union of his ids' rows, joined when a notice is about to go out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.events.customers import CustomerRegistered, CustomerUpdated
from shared.events.envelope import Event
from shared.events.profiles import ConsentChanged, ProcessingRestricted

ContactField = Literal["email", "sms", "name", "locale"]
ConsentState = Literal["granted", "pending", "withdrawn"]

FIELDS: dict[str, ContactField] = {
    "email": "email",
    "phone": "sms",
    "name": "name",
    "locale": "locale",
}
"""What the shop's events call it, and what we do: an address is named by its channel."""

ANY = "any"  # a consent for every purpose, or by every channel
STRICTNESS: dict[ConsentState, int] = {"granted": 0, "pending": 1, "withdrawn": 2}


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact point, or how to address the customer; `value` None: it was cleared."""

    customer_id: str
    field: ContactField
    value: str | None
    told_at: datetime
    source: str
    event_id: str

    @property
    def order(self) -> tuple[datetime, str, str]:
        return (self.told_at, self.source, self.event_id)


@dataclass(frozen=True, slots=True)
class Consent:
    """The ledger's answer for one purpose and channel, said by the customer `at`."""

    customer_id: str
    purpose: str
    channel: str
    state: ConsentState
    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Restriction:
    """Whether the customer's data may be used."""

    customer_id: str
    restricted: bool
    version: int


@dataclass(frozen=True, slots=True)
class Told:
    """What a batch tells of people: for each thing only the newest."""

    contacts: tuple[Contact, ...]
    consents: tuple[Consent, ...]
    restrictions: tuple[Restriction, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """What all ids of one person hold together."""

    contacts: tuple[Contact, ...] = ()
    consents: tuple[Consent, ...] = ()
    restricted: bool = False

    def newest(self, field: ContactField) -> str | None:
        """The value told last under any of the ids."""
        told = [contact for contact in self.contacts if contact.field == field]
        return max(told, key=lambda contact: contact.order).value if told else None

    def consent_to(self, purpose: str, channel: str) -> ConsentState | None:
        """What the customer said last that covers this; of two at once, the stricter."""
        said = [
            consent
            for consent in self.consents
            if consent.purpose in {purpose, ANY} and consent.channel in {channel, ANY}
        ]
        if not said:
            return None
        return max(said, key=lambda c: (c.at, c.version, STRICTNESS[c.state])).state


def fold(events: Iterable[Event]) -> Told:
    """What the events tell of people."""
    contacts: dict[tuple[str, str], Contact] = {}
    consents: dict[tuple[str, str, str], Consent] = {}
    restrictions: dict[str, Restriction] = {}
    for event in events:
        match event.data:
            case CustomerRegistered() | CustomerUpdated():
                for contact in contacts_of(event):
                    key = (contact.customer_id, contact.field)
                    if (old := contacts.get(key)) is None or old.order < contact.order:
                        contacts[key] = contact
            case ConsentChanged() as fact:
                name = (fact.customer_id, fact.purpose, fact.channel)
                if (known := consents.get(name)) is None or known.version < fact.version:
                    consents[name] = Consent(*name, fact.state, fact.version, fact.at)
            case ProcessingRestricted(customer_id=id_, version=version) as fact:
                if id_ not in restrictions or restrictions[id_].version < version:
                    restrictions[id_] = Restriction(id_, fact.restricted, version)
            case _:
                pass
    return Told(tuple(contacts.values()), tuple(consents.values()), tuple(restrictions.values()))


def contacts_of(event: Event) -> list[Contact]:
    """The contact fields that the event sets or, with a null, clears."""
    data = event.data
    return [
        Contact(
            data.customer_id, field, getattr(data, name) or None, event.time, event.source, event.id
        )
        for name, field in FIELDS.items()
        if name in data.model_fields_set
    ]
