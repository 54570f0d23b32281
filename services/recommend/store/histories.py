"""The newest interactions of each customer id, in one row.

Who is new is inserted with what is there; who was there is locked, folded and saved.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Histories = dict[str, list[str]]
"""By customer id, the lines that `interactions` makes."""

ADD_NEW = text("""
    INSERT INTO history (customer_id, interactions)
    SELECT * FROM unnest(CAST(:customer_ids AS text[]), CAST(:interactions AS text[]))
        AS new (customer_id, interactions)
    ORDER BY customer_id
    ON CONFLICT DO NOTHING
    RETURNING customer_id
""")
# Locked in key order, so two batches that share customers cannot deadlock.
LOCK = text("""
    SELECT customer_id, interactions
    FROM history
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY customer_id
    FOR UPDATE
""")
SAVE = text("""
    UPDATE history SET interactions = new.interactions
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:interactions AS text[]))
        AS new (customer_id, interactions)
    WHERE history.customer_id = new.customer_id
""")
FORGET = text("DELETE FROM history WHERE customer_id = ANY(CAST(:customer_ids AS text[]))")


async def add_new(conn: AsyncConnection, histories: Histories) -> set[str]:
    """Insert the histories of the ids that have none; whose they were."""
    return set(await conn.scalars(ADD_NEW, _arrays(histories)))


async def lock(conn: AsyncConnection, customer_ids: Collection[str]) -> Histories:
    rows = await conn.execute(LOCK, {"customer_ids": sorted(customer_ids)})
    return {customer_id: lines.split("\n") for customer_id, lines in rows}


async def save(conn: AsyncConnection, histories: Histories) -> None:
    """Histories that were locked."""
    await conn.execute(SAVE, _arrays(histories))


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    return (await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})).rowcount


def _arrays(histories: Mapping[str, list[str]]) -> dict[str, list[str]]:
    ordered = sorted(histories)
    return {
        "customer_ids": ordered,
        "interactions": ["\n".join(histories[customer_id]) for customer_id in ordered],
    }
