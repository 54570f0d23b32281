"""An event: CloudEvents attributes around one typed fact.

`id` and `source` name an event for ever; a consequence takes its id from its cause, so
a handler that runs twice names the same consequence. `time` is when the fact became
true. `key` is the Kafka key: events with one key keep their order. `backfill` marks
history: state is folded, and nothing leaves for a person.

Source: CloudEvents 1.0.2 (attributes), its Kafka binding 1.0.2, the partitioning and
distributed-tracing extensions.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1
from typing import Annotated, Any
from uuid import NAMESPACE_OID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_NAMESPACE = NAMESPACE_OID.bytes


class Fact(BaseModel):
    """An event's data: immutable; unknown fields are ignored, for the producer may be ahead."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


def _opaque(value: str) -> str:
    """Refuse what looks like a phone or an e-mail: ids end up in logs, keys and URLs."""
    digits = value.removeprefix("+")
    if "@" in value or (digits.isdigit() and (digits != value or _is_chinese_mobile(digits))):
        raise ValueError("looks like a phone number or e-mail; use your own stable, opaque id")
    return value


def _is_chinese_mobile(digits: str) -> bool:
    return len(digits) == 11 and digits[0] == "1" and digits[1] in "3456789"


CustomerId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_opaque)]
"""The producer's stable, opaque id of whoever acted; namespaced unless it is the shop's own."""

Minor = Annotated[int, Field(ge=-(10**15), le=10**15)]
"""Money in minor units of the currency beside it."""


class Identifier(Fact):
    """One more name for the customer; `issuer` is part of the identity (a shop, an app id)."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    issuer: Annotated[str, Field(max_length=200)] = ""
    value: Annotated[str, Field(min_length=1, max_length=320)]
    verified: bool = False


class CustomerFact(Fact, use_attribute_docstrings=True):
    """A fact about one customer: `customer_id` is also the record's key."""

    customer_id: CustomerId
    """Your stable, opaque id of whoever acted, never a phone or e-mail; also the record's key."""
    identifiers: Annotated[tuple[Identifier, ...], Field(max_length=20)] = ()
    """Other names of the same person that this event shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact with its envelope; `topic`, `partition`, `offset` say where it was read."""

    id: str
    source: str
    type: str
    time: datetime
    topic: str
    key: str
    data: Any
    backfill: bool = False
    traceparent: str = ""
    partition: int = -1
    offset: int = -1

    @property
    def order(self) -> tuple[datetime, str, str]:
        """What views fold by: the same whatever the order between topics."""
        return (self.time, self.source, self.id)


def derived_id(cause: Event, name: str) -> str:
    """The id of what follows from `cause`: the same however often `cause` arrives.

    It is uuid5(NAMESPACE_OID, "source/id/name") of RFC 9562, without making UUID objects.
    """
    named = f"{cause.source}/{cause.id}/{name}".encode()
    digest = bytearray(sha1(_NAMESPACE + named, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
