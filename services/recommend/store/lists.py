"""What the job reads and writes for `also_bought`.

A list may be built while orders come in: `changes` is read before the baskets, and the
product stays stale if it has grown since, so no basket is ever missed for good.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.recommend.baskets import PAIRED_MAX
from services.recommend.lists import RECENT_MAX, AlsoBought
from shared import db

# `<= now()` lets the index of stale products serve; none is marked in the future.
LIST_STALE = text("""
    SELECT product_id, changes
    FROM popularity
    WHERE stale_since <= now()
    ORDER BY stale_since
    LIMIT :many
""")
LIST_BASKETS = text("""
    SELECT wanted.product_id, basket.products[1:CAST(:paired AS int)]
    FROM unnest(CAST(:product_ids AS text[])) AS wanted (product_id)
    CROSS JOIN LATERAL (
        SELECT order_id
        FROM purchase
        WHERE purchase.product_id = wanted.product_id
        ORDER BY bought_at DESC, order_id DESC
        LIMIT :recent
    ) AS recent
    JOIN order_seen AS basket USING (order_id)
""")
LIST_ORDERS = text("""
    SELECT product_id, orders FROM popularity WHERE product_id = ANY(CAST(:product_ids AS text[]))
""")
SAVE = text("""
    INSERT INTO also_bought (product_id, others, orders, scores, built_at)
    SELECT product_id, others, orders, scores, now()
    FROM jsonb_to_recordset(CAST(:lists AS jsonb))
        AS new (product_id text, others text[], orders int[], scores real[])
    ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE
    SET others = excluded.others, orders = excluded.orders, scores = excluded.scores,
        built_at = excluded.built_at
""")
# In key order, as whoever counts an order locks them. What has changed since goes to the end
# of the queue: products that are always being bought must not hold up the others.
SETTLE = text("""
    WITH built AS (
        SELECT popularity.product_id, popularity.changes = seen.changes AS knows_all
        FROM popularity
        JOIN unnest(CAST(:product_ids AS text[]), CAST(:changes AS bigint[]))
            AS seen (product_id, changes) USING (product_id)
        ORDER BY product_id
        FOR UPDATE OF popularity
    )
    UPDATE popularity SET stale_since = CASE WHEN NOT built.knows_all THEN now() END
    FROM built
    WHERE popularity.product_id = built.product_id
""")
# What was all taken back leaves no row, whether it was ever counted or not.
FORGET_NOTHINGS = text("""
    WITH nothing AS (
        DELETE FROM popularity
        WHERE product_id = ANY(CAST(:product_ids AS text[])) AND stale_since IS NULL
            AND orders = 0 AND units = 0 AND views = 0
        RETURNING product_id
    )
    DELETE FROM also_bought USING nothing WHERE also_bought.product_id = nothing.product_id
""")
COUNT_STALE = text("""
    SELECT count(*), min(stale_since) FROM popularity WHERE stale_since <= now()
""")


@dataclass(frozen=True, slots=True)
class Backlog:
    """Products whose list does not know all orders yet, and since when the first of them."""

    products: int
    since: datetime | None


async def list_stale(conn: AsyncConnection, many: int) -> dict[str, int]:
    """Products whose list is to be built, longest waiting first, with their changes so far."""
    rows = await conn.execute(LIST_STALE, {"many": many})
    return {row[0]: row[1] for row in rows}


async def list_baskets(
    conn: AsyncConnection, product_ids: Collection[str]
) -> list[tuple[str, list[str]]]:
    """Each product with the products of each of its newest orders."""
    bound = {"product_ids": list(product_ids), "paired": PAIRED_MAX, "recent": RECENT_MAX}
    return [(row[0], row[1]) for row in await conn.execute(LIST_BASKETS, bound)]


async def list_orders(conn: AsyncConnection, product_ids: Collection[str]) -> dict[str, int]:
    """In how many orders each product was bought."""
    rows = await conn.execute(LIST_ORDERS, {"product_ids": list(product_ids)})
    return {row[0]: row[1] for row in rows}


async def save(conn: AsyncConnection, built: Sequence[AlsoBought]) -> None:
    await conn.execute(SAVE, {"lists": to_json(built).decode()})


async def settle(conn: AsyncConnection, seen: Mapping[str, int]) -> None:
    """These lists know all, but for products that have changed since they were `seen`."""
    await conn.execute(SETTLE, {"product_ids": list(seen), "changes": list(seen.values())})
    await conn.execute(FORGET_NOTHINGS, {"product_ids": list(seen)})


async def count_stale(conn: AsyncConnection) -> Backlog:
    backlog = await db.fetch_one(conn, COUNT_STALE, Backlog)
    assert backlog, "an aggregate has one row"
    return backlog
