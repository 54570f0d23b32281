"""What each order counts for, and the way from a product to the orders that hold it.

An order not seen before is inserted; one that was is locked, compared and saved. An order
may pass from one customer to another, so from one partition to another: the lock on its own
row, in key order, is what keeps its difference right.
"""

from collections.abc import Collection
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.recommend.baskets import Basket, Change, Purchase
from shared import db

COLUMNS = """
    order_id, customer_id, revision, bought_at, products, units, skus, changed_at, source, event_id
"""
RECORD = """
    jsonb_to_recordset(CAST(:orders AS jsonb)) AS new (
        order_id text, customer_id text, revision bigint, bought_at timestamptz,
        products text[], units int[], skus text[],
        changed_at timestamptz, source text, event_id text
    )
"""
ADD_NEW = text(f"""
    INSERT INTO order_seen ({COLUMNS})
    SELECT * FROM {RECORD}
    ORDER BY order_id
    ON CONFLICT DO NOTHING
    RETURNING order_id
""")  # noqa: S608  constants of ours
LOCK = text(f"""
    SELECT {COLUMNS}
    FROM order_seen
    WHERE order_id = ANY(CAST(:order_ids AS text[]))
    ORDER BY order_id
    FOR UPDATE
""")  # noqa: S608
# Most revisions change no product: what stays is not sent again.
SAVE = text(f"""
    UPDATE order_seen
    SET customer_id = new.customer_id, revision = new.revision, bought_at = new.bought_at,
        products = coalesce(new.products, order_seen.products),
        units = coalesce(new.units, order_seen.units),
        skus = coalesce(new.skus, order_seen.skus),
        changed_at = new.changed_at, source = new.source, event_id = new.event_id
    FROM {RECORD}
    WHERE order_seen.order_id = new.order_id
        AND order_seen.order_id = ANY(CAST(:order_ids AS text[]))
""")  # noqa: S608
ADD_PURCHASES = text("""
    INSERT INTO purchase (product_id, bought_at, order_id)
    SELECT * FROM unnest(
        CAST(:product_ids AS text[]), CAST(:bought_ats AS timestamptz[]),
        CAST(:order_ids AS text[])
    ) AS new (product_id, bought_at, order_id)
    ORDER BY product_id, bought_at
""")
REMOVE_PURCHASES = text("""
    DELETE FROM purchase
    USING unnest(
        CAST(:product_ids AS text[]), CAST(:bought_ats AS timestamptz[]),
        CAST(:order_ids AS text[])
    ) AS gone (product_id, bought_at, order_id)
    WHERE purchase.product_id = gone.product_id AND purchase.bought_at = gone.bought_at
        AND purchase.order_id = gone.order_id
""")
LOCK_OF_CUSTOMERS = text(f"""
    SELECT {COLUMNS}
    FROM order_seen
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY order_id
    FOR UPDATE
""")  # noqa: S608
FORGET = text("DELETE FROM order_seen WHERE customer_id = ANY(CAST(:customer_ids AS text[]))")


async def add_new(conn: AsyncConnection, baskets: Collection[Basket]) -> set[str]:
    """Insert the orders that were not seen before; which they were."""
    rows = [_row(basket) for basket in baskets]
    return set(await conn.scalars(ADD_NEW, {"orders": to_json(rows).decode()}))


async def lock(conn: AsyncConnection, order_ids: Collection[str]) -> dict[str, Basket]:
    found = await db.fetch(conn, LOCK, _basket, order_ids=sorted(order_ids))
    return {basket.order_id: basket for basket in found}


async def save(conn: AsyncConnection, changes: Collection[Change]) -> None:
    """Newer revisions of orders that were locked."""
    rows = [
        _row(after, whole=before is None or before.content != after.content)
        for before, after in changes
    ]
    order_ids = [after.order_id for _, after in changes]
    await conn.execute(SAVE, {"orders": to_json(rows).decode(), "order_ids": order_ids})


async def move_purchases(
    conn: AsyncConnection, gone: Collection[Purchase], new: Collection[Purchase]
) -> None:
    if gone:
        await conn.execute(REMOVE_PURCHASES, _arrays(gone))
    if new:
        await conn.execute(ADD_PURCHASES, _arrays(new))


async def lock_of_customers(conn: AsyncConnection, customer_ids: Collection[str]) -> list[Basket]:
    return await db.fetch(conn, LOCK_OF_CUSTOMERS, _basket, customer_ids=sorted(customer_ids))


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    return (await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})).rowcount


def _row(basket: Basket, *, whole: bool = True) -> dict[str, Any]:
    return {
        "order_id": basket.order_id,
        "customer_id": basket.customer_id,
        "revision": basket.revision,
        "bought_at": basket.bought_at,
        "products": basket.products if whole else None,
        "units": basket.units if whole else None,
        "skus": basket.skus if whole else None,
        "changed_at": basket.changed_at,
        "source": basket.source,
        "event_id": basket.event_id,
    }


def _basket(*row: Any) -> Basket:
    order_id, customer_id, revision, bought_at, products, units, skus, *version = row
    contents = (tuple(products), tuple(units), tuple(skus))
    return Basket(order_id, customer_id, revision, bought_at, *contents, *version)


def _arrays(purchases: Collection[Purchase]) -> dict[str, list[Any]]:
    product_ids, bought_ats, order_ids = zip(*purchases, strict=True)
    return {
        "product_ids": list(product_ids),
        "bought_ats": list(bought_ats),
        "order_ids": list(order_ids),
    }
