"""What is bought, and by whom, as rules and offers see it. Pure data.

A cart that is only asked about and an order that was placed have one form, so a quote and
an award are the same function of the same thing. Money is in minor units of the base
currency; what an order in another currency comes to in it is settled before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Literal, NamedTuple

NONE: Mapping[str, object] = {}
Kind = Literal["product", "shipping", "fee", "gift_card", "gift"]


class Item(NamedTuple):
    """One line. `total_minor` is what the customer owes for it: after discounts, tax included."""

    line_id: str
    quantity: int
    total_minor: int
    kind: Kind = "product"
    discount_minor: int = 0
    """On the whole line; `total_minor + discount_minor` is the line before discounts."""
    tax_minor: int = 0
    """Contained in `total_minor`."""
    product_id: str = ""
    sku: str = ""
    category: tuple[str, ...] = ()
    """The path from the root, as the catalogue has it."""
    brand: str = ""
    attributes: Mapping[str, object] = NONE


@dataclass(frozen=True, slots=True)
class Cart:
    """What is bought in one order. `at`, in the store's zone, is when it was placed."""

    store: str
    at: datetime
    zone: tzinfo
    currency: str
    """The order's own, which may be another than the base currency."""
    items: tuple[Item, ...]
    channel: str = ""
    order_id: str = ""
    """Empty: a cart that is only asked about."""
    paid_in_points_minor: int = 0
    """The part that is paid in points: it earns nothing."""
    rewards: frozenset[str] = frozenset()
    """The rewards whose coupons are used on it."""


@dataclass(frozen=True, slots=True)
class Shopper:
    """Who buys, as known at the moment of the decision."""

    customer_id: str
    tier: str = ""
    """Empty: no tier."""
    segments: frozenset[str] = frozenset()
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Those that the store publishes of him."""
    birthday: str = ""
    """`1990-02-28`, or `--02-28` where the year is not known; empty: not known."""
    orders_before: int = 0
    """Paid orders before this one: 0 makes it his first."""
    joined_at: datetime | None = None
    tier_percent: int = 100
    """What the base points come to by the tier; 150: half as many again."""
