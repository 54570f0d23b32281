"""Orders, as far as notices need them."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.orders import Order
from shared import db

# Locked after the customers: an order that two customers' events name is changed by one.
LOCK_ORDERS = text("""
    SELECT order_id, customer_id, revision, store, cancelled, shipped, contact FROM shop_order
    WHERE order_id = ANY(CAST(:order_ids AS text[]))
    ORDER BY order_id
    FOR UPDATE
""")
SAVE_ORDERS = text("""
    INSERT INTO shop_order (order_id, customer_id, revision, store, cancelled, shipped, contact)
    SELECT * FROM unnest(
        CAST(:order_ids AS text[]), CAST(:customer_ids AS text[]), CAST(:revisions AS bigint[]),
        CAST(:stores AS text[]), CAST(:cancelled AS boolean[]), CAST(:shipped AS jsonb[]),
        CAST(:contacts AS jsonb[])
    ) AS new (order_id, customer_id, revision, store, cancelled, shipped, contact)
    ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE
    SET customer_id = excluded.customer_id, revision = excluded.revision,
        store = excluded.store, cancelled = excluded.cancelled, shipped = excluded.shipped,
        contact = excluded.contact
    WHERE shop_order.revision < excluded.revision
""")
GET_ORDER = text("""
    SELECT order_id, customer_id, revision, store, cancelled, shipped, contact FROM shop_order
    WHERE order_id = :order_id
""")


async def lock(conn: AsyncConnection, order_ids: Collection[str]) -> dict[str, Order]:
    """The orders that we know, locked until commit."""
    orders = await db.fetch(conn, LOCK_ORDERS, Order, order_ids=sorted(order_ids))
    return {order.order_id: order for order in orders}


async def save(conn: AsyncConnection, orders: Sequence[Order]) -> None:
    await conn.execute(
        SAVE_ORDERS,
        {
            "order_ids": [order.order_id for order in orders],
            "customer_ids": [order.customer_id for order in orders],
            "revisions": [order.revision for order in orders],
            "stores": [order.store for order in orders],
            "cancelled": [order.cancelled for order in orders],
            "shipped": [json.dumps(order.shipped) for order in orders],
            "contacts": [_json(order.contact) for order in orders],
        },
    )


async def get(conn: AsyncConnection, order_id: str) -> Order | None:
    return await db.fetch_one(conn, GET_ORDER, Order, order_id=order_id)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)
