"""The last revision of each order. Its customer's profile row is the lock."""

from collections.abc import Collection
from dataclasses import fields

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.profile.orders import OrderState
from services.profile.traits import OrderKey
from shared import db

FIELDS = [field.name for field in fields(OrderState)]
COLUMNS = """
    order_id, customer_id, revision, type, time, source, id, store, channel, currency, test,
    placed_at, pieces, units, total_minor, kept_minor, base_total_minor, base_kept_minor, standing
"""

LOAD_ORDERS = text(f"""
    SELECT {COLUMNS}
    FROM order_state
    JOIN unnest(CAST(:order_ids AS text[]), CAST(:customer_ids AS text[]))
        AS wanted (order_id, customer_id) USING (order_id, customer_id)
""")  # noqa: S608  a constant of ours

SAVE_ORDERS = text(f"""
    INSERT INTO order_state ({COLUMNS})
    SELECT * FROM unnest(
        CAST(:order_id AS text[]), CAST(:customer_id AS text[]), CAST(:revision AS bigint[]),
        CAST(:type AS text[]), CAST(:time AS timestamptz[]), CAST(:source AS text[]),
        CAST(:id AS text[]), CAST(:store AS text[]), CAST(:channel AS text[]),
        CAST(:currency AS text[]), CAST(:test AS boolean[]), CAST(:placed_at AS timestamptz[]),
        CAST(:pieces AS bigint[]), CAST(:units AS bigint[]), CAST(:total_minor AS bigint[]),
        CAST(:kept_minor AS bigint[]), CAST(:base_total_minor AS bigint[]),
        CAST(:base_kept_minor AS bigint[]), CAST(:standing AS boolean[])
    )
    ON CONFLICT (order_id, customer_id) DO UPDATE
    SET revision = excluded.revision, type = excluded.type, time = excluded.time,
        source = excluded.source, id = excluded.id, store = excluded.store,
        channel = excluded.channel, currency = excluded.currency, test = excluded.test,
        placed_at = excluded.placed_at, pieces = excluded.pieces, units = excluded.units,
        total_minor = excluded.total_minor, kept_minor = excluded.kept_minor,
        base_total_minor = excluded.base_total_minor,
        base_kept_minor = excluded.base_kept_minor, standing = excluded.standing
""")  # noqa: S608  a constant of ours

LIST_OF_ORDER = text(f"SELECT {COLUMNS} FROM order_state WHERE order_id = :order_id")  # noqa: S608

LIST_OF_CUSTOMER = text(f"""
    SELECT {COLUMNS} FROM order_state WHERE customer_id = :customer_id
""")  # noqa: S608  a constant of ours


async def load(conn: AsyncConnection, keys: Collection[OrderKey]) -> dict[OrderKey, OrderState]:
    """Those of these orders that were seen before."""
    rows = await db.fetch(
        conn,
        LOAD_ORDERS,
        OrderState,
        order_ids=[order_id for order_id, _ in keys],
        customer_ids=[customer_id for _, customer_id in keys],
    )
    return {(row.order_id, row.customer_id): row for row in rows}


async def save(conn: AsyncConnection, orders: Collection[OrderState]) -> None:
    columns = {name: [getattr(order, name) for order in orders] for name in FIELDS}
    await conn.execute(SAVE_ORDERS, columns)


async def list_of_order(conn: AsyncConnection, order_id: str) -> list[OrderState]:
    """The order under each id that carried events of it: nearly always one."""
    return await db.fetch(conn, LIST_OF_ORDER, OrderState, order_id=order_id)


async def list_of_customer(conn: AsyncConnection, customer_id: str) -> list[OrderState]:
    """All orders of one id."""
    return await db.fetch(conn, LIST_OF_CUSTOMER, OrderState, customer_id=customer_id)
