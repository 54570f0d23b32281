"""The profile rows: the first lock of every transaction, all at once, in key order."""

from collections.abc import Collection

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.profile.attributes import Attributes
from services.profile.traits import Traits
from shared import db

ADD_MISSING = text("""
    INSERT INTO profile (customer_id)
    SELECT customer_id FROM unnest(CAST(:customer_ids AS text[])) AS missing (customer_id)
    ORDER BY customer_id
    ON CONFLICT DO NOTHING
""")

# Locked in key order, so two batches that share customers cannot deadlock.
LOCK_TRAITS = text("""
    SELECT customer_id, orders, units, spend_minor, placed_orders, placed_minor, orders_left_out,
        first_order_at, last_order_at, first_seen_at, last_seen_at, browse
    FROM profile
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY customer_id
    FOR UPDATE
""")

SAVE_TRAITS = text("""
    UPDATE profile AS p
    SET orders = new.orders, units = new.units, spend_minor = new.spend_minor,
        placed_orders = new.placed_orders, placed_minor = new.placed_minor,
        orders_left_out = new.orders_left_out, first_order_at = new.first_order_at,
        last_order_at = new.last_order_at, browse = CAST(new.browse AS jsonb),
        first_seen_at = new.first_seen_at, last_seen_at = new.last_seen_at
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:orders AS bigint[]), CAST(:units AS bigint[]),
        CAST(:spend_minor AS bigint[]), CAST(:placed_orders AS bigint[]),
        CAST(:placed_minor AS bigint[]), CAST(:orders_left_out AS bigint[]),
        CAST(:first_order_at AS timestamptz[]), CAST(:last_order_at AS timestamptz[]),
        CAST(:browse AS text[]), CAST(:first_seen_at AS timestamptz[]),
        CAST(:last_seen_at AS timestamptz[])
    ) AS new (
        customer_id, orders, units, spend_minor, placed_orders, placed_minor, orders_left_out,
        first_order_at, last_order_at, browse, first_seen_at, last_seen_at
    )
    WHERE p.customer_id = new.customer_id
""")

# The first and the last standing order: two steps into an index for each customer.
RESET_BOUNDS = text("""
    UPDATE profile AS p
    SET first_order_at = (
            SELECT o.placed_at FROM order_state AS o
            WHERE o.customer_id = p.customer_id AND o.standing ORDER BY o.placed_at LIMIT 1
        ), last_order_at = (
            SELECT o.placed_at FROM order_state AS o
            WHERE o.customer_id = p.customer_id AND o.standing ORDER BY o.placed_at DESC LIMIT 1
        )
    WHERE p.customer_id = ANY(CAST(:customer_ids AS text[]))
""")

LOAD_ATTRIBUTES = text("""
    SELECT customer_id, attributes, stamps FROM profile
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")

SAVE_ATTRIBUTES = text("""
    UPDATE profile AS p
    SET attributes = CAST(new.attributes AS jsonb), stamps = CAST(new.stamps AS jsonb)
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:attributes AS text[]), CAST(:stamps AS text[])
    ) AS new (customer_id, attributes, stamps)
    WHERE p.customer_id = new.customer_id
""")

EXISTS = text("""
    SELECT count(*) FROM profile WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")


async def add_missing(conn: AsyncConnection, customer_ids: Collection[str]) -> None:
    """An empty row for whoever has none yet."""
    await conn.execute(ADD_MISSING, {"customer_ids": sorted(customer_ids)})


async def lock(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, Traits]:
    """The rows that there are, locked until commit."""
    rows = await db.fetch(conn, LOCK_TRAITS, Traits, customer_ids=sorted(customer_ids))
    return {row.customer_id: row for row in rows}


async def save(conn: AsyncConnection, rows: Collection[Traits]) -> None:
    ordered = sorted(rows, key=lambda row: row.customer_id)
    await conn.execute(
        SAVE_TRAITS,
        {
            "customer_ids": [row.customer_id for row in ordered],
            "orders": [row.orders for row in ordered],
            "units": [row.units for row in ordered],
            "spend_minor": [row.spend_minor for row in ordered],
            "placed_orders": [row.placed_orders for row in ordered],
            "placed_minor": [row.placed_minor for row in ordered],
            "orders_left_out": [row.orders_left_out for row in ordered],
            "first_order_at": [row.first_order_at for row in ordered],
            "last_order_at": [row.last_order_at for row in ordered],
            "browse": [to_json(row.browse).decode() for row in ordered],
            "first_seen_at": [row.first_seen_at for row in ordered],
            "last_seen_at": [row.last_seen_at for row in ordered],
        },
    )


async def reset_bounds(conn: AsyncConnection, customer_ids: Collection[str]) -> None:
    """Look the first and last orders up again, after the orders are saved."""
    await conn.execute(RESET_BOUNDS, {"customer_ids": sorted(customer_ids)})


async def load_attributes(
    conn: AsyncConnection, customer_ids: Collection[str]
) -> dict[str, Attributes]:
    rows = await db.fetch(conn, LOAD_ATTRIBUTES, Attributes, customer_ids=sorted(customer_ids))
    return {row.customer_id: row for row in rows}


async def save_attributes(conn: AsyncConnection, rows: Collection[Attributes]) -> None:
    await conn.execute(
        SAVE_ATTRIBUTES,
        {
            "customer_ids": [row.customer_id for row in rows],
            "attributes": [to_json(row.values).decode() for row in rows],
            "stamps": [to_json(row.stamps).decode() for row in rows],
        },
    )


async def exists(conn: AsyncConnection, customer_ids: Collection[str]) -> bool:
    """Whether anything was heard of one of these ids."""
    rows = await conn.execute(EXISTS, {"customer_ids": sorted(customer_ids)})
    return bool(rows.scalar_one())
