"""What happened, by customer and time."""

from collections.abc import Collection, Sequence
from datetime import datetime

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.profile.timeline import Entry, Span
from shared import db

ADD_ENTRIES = text("""
    INSERT INTO timeline (customer_id, time, source, id, type, topic, summary)
    SELECT customer_id, time, source, id, type, topic, CAST(summary AS jsonb)
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:times AS timestamptz[]), CAST(:sources AS text[]),
        CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:topics AS text[]),
        CAST(:summaries AS text[])
    ) AS new (customer_id, time, source, id, type, topic, summary)
    ON CONFLICT DO NOTHING
""")

# Newest first. Each span reads at most a page from its place in the key.
LIST_ENTRIES = text("""
    SELECT t.customer_id, t.time, t.source, t.id, t.type, t.topic, t.summary
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[])
    ) AS span (customer_id, since, until)
    CROSS JOIN LATERAL (
        SELECT * FROM timeline AS own
        WHERE own.customer_id = span.customer_id
            AND own.time >= span.since AND own.time < span.until
            AND (own.time, own.source, own.id) < (:time, :source, :id)
        ORDER BY own.time DESC, own.source DESC, own.id DESC
        LIMIT :limit
    ) AS t
    ORDER BY t.time DESC, t.source DESC, t.id DESC
    LIMIT :limit
""")

LIST_OF_ORDER = text("""
    SELECT customer_id, time, source, id, type, topic, summary
    FROM timeline
    WHERE customer_id = :customer_id AND topic = 'shop.orders.v1'
        AND summary ->> 'order_id' = :order_id
    ORDER BY time, source, id
    LIMIT 100
""")

FIND_EVENT = text("""
    SELECT customer_id, time, source, id, type, topic, summary
    FROM timeline
    WHERE id = :id AND source = :source
    LIMIT 20
""")

# What an erasure leaves, for the counters.
COUNT_TYPES = text("""
    SELECT type, count(*), min(time), max(time) FROM timeline
    WHERE customer_id = :customer_id AND topic LIKE 'shop.%'
    GROUP BY type
""")


async def add(conn: AsyncConnection, entries: Collection[Entry]) -> None:
    await conn.execute(
        ADD_ENTRIES,
        {
            "customer_ids": [entry.customer_id for entry in entries],
            "times": [entry.time for entry in entries],
            "sources": [entry.source for entry in entries],
            "ids": [entry.id for entry in entries],
            "types": [entry.type for entry in entries],
            "topics": [entry.topic for entry in entries],
            "summaries": [to_json(entry.summary).decode() for entry in entries],
        },
    )


async def list_before(
    conn: AsyncConnection, spans: Sequence[Span], before: tuple[datetime, str, str], limit: int
) -> list[Entry]:
    """The newest entries in `spans` that are older than `before`."""
    time, source, id_ = before
    return await db.fetch(
        conn,
        LIST_ENTRIES,
        Entry,
        customer_ids=[span.customer_id for span in spans],
        since=[span.since for span in spans],
        until=[span.until for span in spans],
        time=time,
        source=source,
        id=id_,
        limit=limit,
    )


async def list_of_order(conn: AsyncConnection, customer_id: str, order_id: str) -> list[Entry]:
    """The first events of one order, in their order."""
    return await db.fetch(conn, LIST_OF_ORDER, Entry, customer_id=customer_id, order_id=order_id)


async def find(conn: AsyncConnection, source: str, id_: str) -> list[Entry]:
    """The entry of an event."""
    return await db.fetch(conn, FIND_EVENT, Entry, source=source, id=id_)


async def count_types(
    conn: AsyncConnection, customer_id: str
) -> list[tuple[str, int, datetime, datetime]]:
    """Of one id's own acts, by type: how many, the first and the last."""
    rows = await conn.execute(COUNT_TYPES, {"customer_id": customer_id})
    return [(type_, count, first, last) for type_, count, first, last in rows]
