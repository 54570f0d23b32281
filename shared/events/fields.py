"""Field types and small parts that the events of several topics share; each with its bound.

A bound is generous to honest input and a wall to the rest: every string has a maximum
length, every list a maximum count, every number a range that PostgreSQL's bigint holds.
"""

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

from shared.events.envelope import Fact, Minor

LINES_MAX = 10_000
"""Lines of one order: the longest orders of wholesale shops, within EVENT_BYTES_MAX."""

Id = Annotated[str, Field(min_length=1, max_length=200)]
"""The producer's own id of a thing: stable, and opaque to us."""

Code = Annotated[str, Field(min_length=1, max_length=64)]
"""A short name from a small set that its owner defines."""

ShortCode = Annotated[str, Field(max_length=64)]
"""A code, or empty where there is none to tell."""

Label = Annotated[str, Field(max_length=500)]
"""One line for people: a name, a title."""

Text = Annotated[str, Field(max_length=10_000)]
"""What a person wrote."""

Url = Annotated[str, Field(max_length=2_048)]
Email = Annotated[str, Field(min_length=3, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")]
Phone = Annotated[str, Field(min_length=3, max_length=32)]
"""As the shop has it; E.164 (`+8613800138000`) where it can be had."""

StoreId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s:]+$")]
"""A store of the stores file; without a colon, which parts store and sku in the offers' key."""

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
"""ISO 4217; `XXX` is its code for none."""

Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""

Locale = Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]
"""BCP 47, such as `zh-CN`."""

Zone = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")]
"""IANA time zone, such as `Asia/Shanghai`."""

Amount = Annotated[int, Field(ge=0, le=10**15)]
"""Money in minor units that is never negative."""

Quantity = Annotated[int, Field(ge=0, le=1_000_000)]
Version = Annotated[int, Field(ge=1, le=10**15)]
"""Grows by at least one with each change; a lower one changes nothing."""

Points = Annotated[int, Field(ge=0, le=10**12)]
SignedPoints = Annotated[int, Field(ge=-(10**12), le=10**12)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-(10**15), le=10**15)]

Scalar = bool | Whole | Number | Annotated[str, Field(max_length=1_000)]
Words = Annotated[tuple[Annotated[str, Field(max_length=500)], ...], Field(max_length=100)]
AttributeName = Annotated[str, Field(min_length=1, max_length=64)]
Attributes = Annotated[dict[AttributeName, Scalar | Words | None], Field(max_length=200)]
"""The shop's own fields. A null clears the attribute; one that is absent stays as it was."""


def _calendar_day(value: str) -> str:
    """Refuse 31 April; a leap year stands in for the year that was not told."""
    date.fromisoformat(value if value[0] != "-" else f"2000{value[1:]}")
    return value


Birthday = Annotated[
    str, Field(pattern=r"^([12]\d{3}|-)-\d{2}-\d{2}$"), AfterValidator(_calendar_day)
]
"""`1990-02-28`, or `--02-28` where the year is not known."""


class Part(Fact, use_attribute_docstrings=True):
    """A part of a fact: frozen, and unknown fields ignored, as in the fact."""


class Campaign(Part):
    """What brought the customer, in the words of the link that was followed (utm)."""

    source: Label = ""
    medium: Label = ""
    name: Label = ""


class Shipment(Part):
    """The parcel that the customer waits for."""

    carrier: Label = ""
    tracking_number: Label = ""
    tracking_url: Url = ""


class Contact(Part):
    """Who is told about this order, and how; a guest has no other contact."""

    email: Email | None = None
    phone: Phone | None = None
    name: Label = ""
    locale: Locale | None = None


class Lot(Part):
    """Points of one earning with one date of expiry."""

    lot_id: Id
    points: Points
    active_from: AwareDatetime | None = None
    """From when they can be spent; absent: at once."""
    expires_at: AwareDatetime | None = None
    """The first moment at which they are no longer spendable; absent: never."""


class Balance(Part):
    """A member's points after the event."""

    active: SignedPoints = 0
    """Spendable; negative where points already spent were taken back."""
    pending: Points = 0
    reserved: Points = 0


class Product(Part, use_attribute_docstrings=True):
    """Which product, in the words of the Segment e-commerce spec V2; money in minor units."""

    product_id: Id
    sku: Annotated[str, Field(max_length=200)] = ""
    """The variant, where one was chosen."""
    name: Label = ""
    category: Label = ""
    brand: Label = ""
    variant: Label = ""
    price_minor: Minor | None = None
    """Price of one piece, in minor units of the event's currency."""
    quantity: Quantity = 1
    coupon: ShortCode = ""
    position: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Where in the list it stood, from 0."""
    url: Url = ""
    image_url: Url = ""
