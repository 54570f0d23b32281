"""Whom an id from elsewhere stands for: a marketplace's member programme, an app, a card. Pure.

The issuer is part of the identity: the same `ouid` of two shops may be two people. An
external id stands for one customer at a time. It is never a phone number or an e-mail
address itself: what comes from a phone is its hash, as the marketplace makes it.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from services.loyalty.terms.conditions import Part
from shared.errors import Conflict
from shared.events.envelope import CustomerId

RAW_TYPES = frozenset(
    {"phone", "mobile", "tel", "telephone", "phone_number", "email", "e-mail", "mail"}
)
HASH = re.compile(r"[0-9a-fA-F]{32,128}")
BETWEEN = re.compile(r"[\s().-]")
OPAQUE = TypeAdapter(CustomerId)


class BoundToAnother(Conflict):
    """This external id stands for another customer already."""


def _type(value: str) -> str:
    if value in RAW_TYPES:
        raise ValueError("is personal data itself; send a hash of it, such as phone_hash")
    return value


def _value(value: str) -> str:
    OPAQUE.validate_python(BETWEEN.sub("", value))
    return value


Type = Annotated[
    str,
    Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$"),
    AfterValidator(_type),
]
"""What kind of id: phone_hash, ouid, openid, card, ..."""
Issuer = Annotated[str, Field(max_length=200)]
"""Who gave it: a shop, an app id; part of the identity."""
Value = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"^[!-~ ]+$"), AfterValidator(_value)
]


class ExternalId(Part):
    """One external id."""

    type: Type
    issuer: Issuer = ""
    value: Value

    @model_validator(mode="after")
    def _hashed(self) -> Self:
        if self.type.endswith("_hash") and not HASH.fullmatch(self.value):
            raise ValueError("value: a hash is 32 to 128 hexadecimal digits")
        return self


@dataclass(frozen=True, slots=True)
class Binding:
    """Whom an external id stands for, and since when."""

    type: str
    issuer: str
    value: str
    customer_id: str
    bound_at: datetime
