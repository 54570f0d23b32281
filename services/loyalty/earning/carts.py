"""The cart that an order is, with what the catalogue knows of its lines. Pure.

Of what the catalogue does not know, an order's line tells its own category and brand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

from services.loyalty.books.points import apportion
from services.loyalty.terms.cart import Cart, Item
from shared.events.orders import Line, OrderSnapshot
from shared.stores import Stores


@dataclass(frozen=True, slots=True)
class Product:
    """What rules may ask of a product."""

    product_id: str
    category: tuple[str, ...] = ()
    brand: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What sets each variant apart, by SKU."""


Products = Mapping[str, Product]


def of_order(order: OrderSnapshot, placed_at: datetime, stores: Stores, products: Products) -> Cart:
    """In the base currency; another one is converted by the order's own base total."""
    paid, amounts = _in_base(order, stores)
    store = stores.get(order.store)
    return Cart(
        store=order.store,
        at=placed_at,
        zone=store.tz,
        currency=order.currency,
        items=tuple(
            _known(_item(line, *minor), products)
            for line, minor in zip(order.lines, amounts, strict=True)
        ),
        channel=order.channel or store.channel,
        order_id=order.order_id,
        paid_in_points_minor=paid,
    )


def mark_of(order: OrderSnapshot, stores: Stores) -> str:
    """Of what the customer bought and how he pays, whatever becomes of it; not of what the
    catalogue says of it."""
    paid, amounts = _in_base(order, stores)
    channel = order.channel or stores.get(order.store).channel
    lines = [
        (line.line_id, line.kind, line.quantity, *minor, line.product_id or "", line.sku or "")
        for line, minor in zip(order.lines, amounts, strict=True)
    ]
    told = ((order.store, channel, order.currency, paid), lines)
    return blake2b(repr(told).encode(), digest_size=12).hexdigest()


def _in_base(order: OrderSnapshot, stores: Stores) -> tuple[int, list[tuple[int, int, int]]]:
    """What is paid in points, and of each line its total, discount and tax, in minor units."""
    paid = sum(tender.amount_minor for tender in order.tenders if tender.kind == "points")
    whole, base = order.total_minor, order.base_total_minor
    if order.currency == stores.base_currency:
        return paid, [
            (line.total_minor, line.discount_minor, line.tax_minor) for line in order.lines
        ]
    assert base is not None, "judge() lets no such order earn"
    totals = apportion(base, {line.line_id: line.total_minor for line in order.lines})

    def in_base(minor: int) -> int:
        return minor * base // whole if whole > 0 else minor

    return in_base(paid), [
        (totals[line.line_id], in_base(line.discount_minor), in_base(line.tax_minor))
        for line in order.lines
    ]


def known(cart: Cart, products: Products) -> Cart:
    """The cart with what the catalogue says of its lines."""
    return replace(cart, items=tuple(_known(item, products) for item in cart.items))


def _item(line: Line, total_minor: int, discount_minor: int, tax_minor: int) -> Item:
    return Item(
        line.line_id,
        line.quantity,
        total_minor,
        line.kind,
        discount_minor,
        tax_minor,
        line.product_id or "",
        line.sku or "",
        (line.category,) if line.category else (),
        line.brand,
    )


def _known(item: Item, products: Products) -> Item:
    product = products.get(item.product_id)
    if product is None:
        return item
    return item._replace(
        category=product.category or item.category,
        brand=product.brand or item.brand,
        attributes={**product.attributes, **product.variants.get(item.sku, {})},
    )
