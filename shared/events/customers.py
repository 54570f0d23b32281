"""shop.customers.v1: what the platform knows about a customer.

Only profile acts on identity, consent and erasure; the other services follow its
`crm.profiles.v1`. Attributes are newest by event time: a field that is absent stays as
it was, a null clears it.
"""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from shared.events.envelope import CustomerFact, CustomerId
from shared.events.fields import (
    Attributes,
    Birthday,
    Code,
    Country,
    Email,
    Label,
    Locale,
    Phone,
    ShortCode,
    StoreId,
    Zone,
)

TOPIC = "shop.customers.v1"


class CustomerAttributes(CustomerFact, use_attribute_docstrings=True):
    """What a customer is like: absent, unchanged; null, cleared. Read `model_fields_set`."""

    email: Email | None = None
    phone: Phone | None = None
    name: Label | None = None
    gender: Literal["female", "male", "other"] | None = None
    birthday: Birthday | None = None
    locale: Locale | None = None
    """The language for messages to this customer."""
    zone: Zone | None = None
    """For quiet hours; absent: the store's."""
    country: Country | None = None
    city: Label | None = None
    store: StoreId | None = None
    """Where this was told to us."""
    channel: ShortCode = ""
    attributes: Attributes = Field(default_factory=dict)


class CustomerRegistered(CustomerAttributes):
    """An account was opened; after an erasure it begins a new person."""

    registered_at: AwareDatetime | None = None
    """When, if that is not the event's time."""
    referral_code: ShortCode = ""
    """The code of the customer who invited this one."""
    device_id: ShortCode = ""
    """The shop's own id of the device or browser that registered."""


class CustomerUpdated(CustomerAttributes):
    """Some attributes changed; only those that changed need be here."""


class CustomerIdentified(CustomerFact, use_attribute_docstrings=True):
    """An anonymous visitor turned out to be a known customer."""

    anonymous_id: CustomerId
    """The anonymous one, such as `anon:7f3a`; `customer_id`, and so the key, is the known one."""
    method: ShortCode = ""
    """How, such as login, order, link."""

    @model_validator(mode="after")
    def _two_ids(self) -> Self:
        if self.anonymous_id == self.customer_id:
            raise ValueError("anonymous_id and customer_id are the same; send the two ids")
        return self


class CustomerConsented(CustomerFact, use_attribute_docstrings=True):
    """The customer agreed to something, or took it back."""

    purpose: Code
    """For what, such as marketing or profiling."""
    channel: Code = "any"
    """By which way, such as email or sms; `any`: by all of them."""
    granted: bool
    """False: refused or taken back."""
    text_version: ShortCode = ""
    """Which wording was agreed to."""
    source: ShortCode = ""
    """Where, such as checkout, account, till."""
    at: AwareDatetime | None = None
    """When, if that is not the event's time."""


class CustomerDeleted(CustomerFact, use_attribute_docstrings=True):
    """The account was closed, or the law wants the person forgotten: an erasure follows."""

    reason: Annotated[str, Field(max_length=200)] = ""
    """Such as request, inactive, fraud; no personal data."""


TYPES: dict[str, type[CustomerFact]] = {
    "customer.registered": CustomerRegistered,
    "customer.updated": CustomerUpdated,
    "customer.identified": CustomerIdentified,
    "customer.consented": CustomerConsented,
    "customer.deleted": CustomerDeleted,
}
