"""The hot GET: one indexed statement on asyncpg's own pool."""

import asyncpg

_COLUMNS = """
    p.customer_id, p.attributes, p.orders, p.units, p.spend_minor, p.placed_orders,
    p.placed_minor, p.orders_left_out, p.first_order_at, p.last_order_at, p.browse,
    p.first_seen_at, p.last_seen_at
"""

# The stamps are only needed to tell which member's attribute is the newest.
GET_PERSON = f"""
    SELECT {_COLUMNS}, a.canonical_id, a.members,
        CASE WHEN a.members IS NULL THEN NULL ELSE p.stamps END AS stamps
    FROM (VALUES ($1::text)) AS asked (id)
    LEFT JOIN alias AS a ON a.customer_id = asked.id
    JOIN profile AS p ON p.customer_id = ANY(coalesce(a.members, ARRAY[asked.id]))
"""  # noqa: S608  constants of ours

GET_OWN = f"SELECT {_COLUMNS} FROM profile AS p WHERE p.customer_id = $1"  # noqa: S608

HOT = (GET_PERSON, GET_OWN)


async def get_person(pool: asyncpg.Pool, customer_id: str) -> list[asyncpg.Record]:
    """The rows of all members of whoever has this id."""
    rows: list[asyncpg.Record] = await pool.fetch(GET_PERSON, customer_id)
    return rows


async def get_own(pool: asyncpg.Pool, customer_id: str) -> list[asyncpg.Record]:
    """The row of this id alone."""
    rows: list[asyncpg.Record] = await pool.fetch(GET_OWN, customer_id)
    return rows
