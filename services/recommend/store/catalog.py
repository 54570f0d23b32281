"""Products and offers. They are not keyed by customer: the newest event by (time, source, id) wins.

Each save takes the newest event of each key. Rows are written in key order.
"""

from collections.abc import Collection

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.catalog import ProductWithdrawn
from shared.events.envelope import Event

SAVE_PRODUCTS = text("""
    INSERT INTO product (
        product_id, kind, withdrawn, name, category, brand, url, image_url, attributes, variants,
        skus, stores, published_at, changed_at, source, event_id
    )
    SELECT * FROM jsonb_to_recordset(CAST(:products AS jsonb)) AS new (
        product_id text, kind text, withdrawn boolean, name text, category text[], brand text,
        url text, image_url text, attributes jsonb, variants jsonb, skus text[], stores text[],
        published_at timestamptz, changed_at timestamptz, source text, event_id text
    )
    ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE
    SET kind = excluded.kind, withdrawn = excluded.withdrawn, name = excluded.name,
        category = excluded.category, brand = excluded.brand, url = excluded.url,
        image_url = excluded.image_url, attributes = excluded.attributes,
        variants = excluded.variants, skus = excluded.skus, stores = excluded.stores,
        published_at = excluded.published_at, changed_at = excluded.changed_at,
        source = excluded.source, event_id = excluded.event_id
    WHERE (product.changed_at, product.source, product.event_id)
        < (excluded.changed_at, excluded.source, excluded.event_id)
""")
SAVE_OFFERS = text("""
    INSERT INTO offer (
        sku, store, product_id, currency, price_minor, list_price_minor, stock, on_sale_from,
        on_sale_until, withdrawn, changed_at, source, event_id
    )
    SELECT * FROM jsonb_to_recordset(CAST(:offers AS jsonb)) AS new (
        sku text, store text, product_id text, currency text, price_minor bigint,
        list_price_minor bigint, stock int, on_sale_from timestamptz, on_sale_until timestamptz,
        withdrawn boolean, changed_at timestamptz, source text, event_id text
    )
    ORDER BY sku, store
    ON CONFLICT (sku, store) DO UPDATE
    SET product_id = excluded.product_id, currency = excluded.currency,
        price_minor = excluded.price_minor, list_price_minor = excluded.list_price_minor,
        stock = excluded.stock, on_sale_from = excluded.on_sale_from,
        on_sale_until = excluded.on_sale_until, withdrawn = excluded.withdrawn,
        changed_at = excluded.changed_at, source = excluded.source, event_id = excluded.event_id
    WHERE (offer.changed_at, offer.source, offer.event_id)
        < (excluded.changed_at, excluded.source, excluded.event_id)
""")

PRODUCT_FIELDS = {
    "product_id", "kind", "name", "category", "brand", "url", "image_url", "attributes",
    "variants", "stores", "published_at",
}  # fmt: skip


async def save_products(conn: AsyncConnection, events: Collection[Event]) -> None:
    """The products of these catalogue events, one event for each product."""
    rows = [
        event.data.model_dump(mode="json", include=PRODUCT_FIELDS)
        | {
            "withdrawn": isinstance(event.data, ProductWithdrawn),
            "skus": [variant.sku for variant in event.data.variants],
        }
        | _stamp(event)
        for event in events
    ]
    await conn.execute(SAVE_PRODUCTS, {"products": to_json(rows).decode()})


async def save_offers(conn: AsyncConnection, events: Collection[Event]) -> None:
    """The offers of these events, one event for each sku in each store."""
    rows = [event.data.model_dump(mode="json") | _stamp(event) for event in events]
    await conn.execute(SAVE_OFFERS, {"offers": to_json(rows).decode()})


def _stamp(event: Event) -> dict[str, object]:
    return {"changed_at": event.time, "source": event.source, "event_id": event.id}
