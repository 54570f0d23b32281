"""What the catalogue says of products: the newest by the event's time."""

from collections.abc import Collection
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.earning.carts import Product
from services.loyalty.earning.shoppers import Stamp

# In key order, as every batch does it.
SAVE_PRODUCTS = text("""
    INSERT INTO product
        (product_id, category, brand, attributes, variants, event_time, event_source, event_id)
    SELECT * FROM unnest(
        CAST(:product_id AS text[]), CAST(:category AS jsonb[]), CAST(:brand AS text[]),
        CAST(:attributes AS jsonb[]), CAST(:variants AS jsonb[]),
        CAST(:event_time AS timestamptz[]), CAST(:event_source AS text[]),
        CAST(:event_id AS text[])
    ) AS new (id)
    ORDER BY id
    ON CONFLICT (product_id) DO UPDATE
    SET category = excluded.category, brand = excluded.brand, attributes = excluded.attributes,
        variants = excluded.variants, event_time = excluded.event_time,
        event_source = excluded.event_source, event_id = excluded.event_id
    WHERE (product.event_time, product.event_source, product.event_id)
        < (excluded.event_time, excluded.event_source, excluded.event_id)
""")
LOAD_PRODUCTS = text("""
    SELECT product_id, category, brand, attributes, variants FROM product
    WHERE product_id = ANY(CAST(:product_ids AS text[]))
""")


async def save(conn: AsyncConnection, products: Collection[tuple[Product, Stamp]]) -> None:
    """Write each product, unless a newer snapshot of it is there; each id once."""
    if not products:
        return
    rows = [
        {
            "product_id": one.product_id,
            "category": to_json(one.category).decode(),
            "brand": one.brand,
            "attributes": to_json(one.attributes).decode(),
            "variants": to_json(one.variants).decode(),
            "event_time": stamp[0],
            "event_source": stamp[1],
            "event_id": stamp[2],
        }
        for one, stamp in products
    ]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    await conn.execute(SAVE_PRODUCTS, columns)


async def load(conn: AsyncConnection, product_ids: Collection[str]) -> dict[str, Product]:
    """Those that the catalogue has told of, by id."""
    if not product_ids:
        return {}
    rows = await conn.execute(LOAD_PRODUCTS, {"product_ids": sorted(product_ids)})
    return {
        product_id: Product(product_id, tuple(category), brand, attributes, variants)
        for product_id, category, brand, attributes, variants in rows
    }
