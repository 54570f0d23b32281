"""What offers and coupons cost on each order.

An order's rows are written by whoever has saved its newest revision, so its `order_state` is
their lock.
"""

from collections.abc import Iterable
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.promotions.costs import Cost
from shared import db

TAKE = text("""
    DELETE FROM promotion_cost WHERE order_id = ANY(CAST(:order_ids AS text[]))
    RETURNING order_id, day
""")


async def take(conn: AsyncConnection, order_ids: Iterable[str]) -> dict[str, date]:
    """Take the orders' rows away; the day that each order counted for."""
    rows = await conn.execute(TAKE, {"order_ids": sorted(order_ids)})
    return dict(map(tuple, rows))


async def add(conn: AsyncConnection, costs: Iterable[Cost]) -> None:
    """Rows of orders that have none."""
    if rows := list(costs):
        await db.copy_rows(conn, "promotion_cost", Cost._fields, rows)
