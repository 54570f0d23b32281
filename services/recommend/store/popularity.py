"""What all customers share: increments, in key order, last in the transaction.

Increments commute, so the order of batches does not matter; the key order keeps two batches
that share products from waiting for each other in a circle.
"""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.recommend.baskets import Count

ADD = text("""
    INSERT INTO popularity (product_id, orders, units, views, changes, stale_since)
    SELECT product_id, orders, units, views, CAST(touched AS int), CASE WHEN touched THEN now() END
    FROM unnest(
        CAST(:product_ids AS text[]), CAST(:orders AS int[]), CAST(:units AS bigint[]),
        CAST(:views AS bigint[]), CAST(:touched AS boolean[])
    ) AS new (product_id, orders, units, views, touched)
    ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE
    SET orders = popularity.orders + excluded.orders, units = popularity.units + excluded.units,
        views = popularity.views + excluded.views,
        changes = popularity.changes + excluded.changes,
        stale_since = coalesce(popularity.stale_since, excluded.stale_since)
""")


async def add(conn: AsyncConnection, counts: Mapping[str, Count]) -> None:
    """Add the counts to what is there."""
    await conn.execute(
        ADD,
        {
            "product_ids": list(counts),
            "orders": [count.orders for count in counts.values()],
            "units": [count.units for count in counts.values()],
            "views": [count.views for count in counts.values()],
            "touched": [count.touched for count in counts.values()],
        },
    )
