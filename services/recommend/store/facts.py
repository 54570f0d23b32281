"""What is told of one product, one order, one event: no hot reads."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

GET_PRODUCT = text("""
    SELECT asked.product_id, product.kind, product.withdrawn, product.name, product.category,
        product.brand, product.url, product.image_url,
        CAST(product.attributes AS text), CAST(product.variants AS text),
        product.stores, product.published_at, product.changed_at,
        popularity.orders, popularity.units, popularity.views
    FROM (VALUES (CAST(:product_id AS text))) AS asked (product_id)
    LEFT JOIN product USING (product_id)
    LEFT JOIN popularity USING (product_id)
    WHERE product.product_id IS NOT NULL OR popularity.product_id IS NOT NULL
""")
LIST_OFFERS = text("""
    SELECT offer.sku, offer.store, offer.currency, offer.price_minor, offer.list_price_minor,
        offer.stock, offer.on_sale_from, offer.on_sale_until, offer.withdrawn, offer.changed_at
    FROM (
        SELECT unnest(skus) AS sku FROM product WHERE product_id = :product_id
        UNION
        SELECT sku FROM offer WHERE product_id = :product_id
    ) AS own
    JOIN offer USING (sku)
    WHERE coalesce(offer.product_id, :product_id) = :product_id
    ORDER BY offer.sku, offer.store
    LIMIT 1000
""")
GET_ORDER = text("""
    SELECT order_id, customer_id, revision, bought_at, changed_at, source, event_id,
        products, units, skus
    FROM order_seen
    WHERE order_id = :order_id
""")
LIST_CAUSED = text("""
    SELECT 'product', product_id, CAST(NULL AS bigint), changed_at FROM product
    WHERE event_id = :event_id AND source = :source
    UNION ALL
    SELECT 'offer', store || ':' || sku, NULL, changed_at FROM offer
    WHERE event_id = :event_id AND source = :source
    UNION ALL
    SELECT 'order', order_id, revision, changed_at FROM order_seen
    WHERE event_id = :event_id AND source = :source
""")


@dataclass(frozen=True, slots=True)
class Known:
    """A product as the catalogue has it, and how popular it is; None where neither says."""

    product_id: str
    kind: str | None
    withdrawn: bool | None
    name: str | None
    category: list[str] | None
    brand: str | None
    url: str | None
    image_url: str | None
    attributes: dict[str, Any] | None
    variants: list[dict[str, Any]] | None
    stores: list[str] | None
    published_at: datetime | None
    changed_at: datetime | None
    orders: int | None
    units: int | None
    views: int | None


@dataclass(frozen=True, slots=True)
class Stocked:
    """One variant in one store."""

    sku: str
    store: str
    currency: str
    price_minor: int
    list_price_minor: int | None
    stock: int | None
    on_sale_from: datetime | None
    on_sale_until: datetime | None
    withdrawn: bool
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """An order at its last revision; the last three run in step."""

    order_id: str
    customer_id: str
    revision: int
    bought_at: datetime
    changed_at: datetime
    source: str
    event_id: str
    products: list[str]
    units: list[int]
    skus: list[str]


async def get_product(conn: AsyncConnection, product_id: str) -> Known | None:
    return await db.fetch_one(conn, GET_PRODUCT, _known, product_id=product_id)


async def list_offers(conn: AsyncConnection, product_id: str) -> list[Stocked]:
    return await db.fetch(conn, LIST_OFFERS, Stocked, product_id=product_id)


async def get_order(conn: AsyncConnection, order_id: str) -> Counted | None:
    return await db.fetch_one(conn, GET_ORDER, Counted, order_id=order_id)


def _known(*row: Any) -> Known:
    """jsonb arrives as text."""
    parsed = [json.loads(each) if each else None for each in row[8:10]]
    return Known(*row[:8], *parsed, *row[10:])


async def caused(conn: AsyncConnection, source: str, id_: str) -> list[dict[str, Any]]:
    """What is as it is because of this event: it was the newest of its product, offer or order."""
    rows = await conn.execute(LIST_CAUSED, {"event_id": id_, "source": source})
    names = ("kind", "id", "revision", "at")
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in rows
    ]
