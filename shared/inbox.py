"""Which events this service has already handled.

Kafka delivers at least once, and a producer may publish an event twice, also into another
partition and also weeks later. The inbox row and the handler's writes commit together, so
an event has its effect once. Offsets catch redelivery, ids catch republication; both are
needed.

A row lies in the partition of its event's own day, so that all copies of an event meet.
Days are made ahead by a job, and dropped when their newest claim is older than any copy
can be: the longest retention of a topic plus a margin. Older days, and history, share the
default partition, which is pruned by the time of the claim.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.envelope import Event

DAYS_AHEAD = 3
KEEP = timedelta(days=30 + 15)  # no topic is kept longer than 30 days; 15 to mend and replay
PRUNE_MAX = 50_000

# In key order, so that two batches with the same events cannot deadlock. Answers with what
# was *not* new: nearly always nothing, and nothing is cheap to send.
CLAIM = text("""
    WITH wanted AS (
        SELECT * FROM unnest(
            CAST(:days AS date[]), CAST(:sources AS text[]), CAST(:ids AS text[]),
            CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[])
        ) AS w (day, source, id, topic, partition, log_offset)
    ), claimed AS (
        INSERT INTO inbox (day, consumer, source, id, topic, partition, log_offset)
        SELECT day, :consumer, source, id, topic, partition, log_offset FROM wanted
        ORDER BY day, source, id
        ON CONFLICT DO NOTHING
        RETURNING source, id
    )
    SELECT source, id FROM wanted EXCEPT SELECT source, id FROM claimed
""")

RELEASE = text("""
    DELETE FROM inbox
    USING unnest(CAST(:days AS date[]), CAST(:sources AS text[]), CAST(:ids AS text[]))
        AS gone (day, source, id)
    WHERE inbox.day = gone.day AND inbox.consumer = :consumer
        AND inbox.source = gone.source AND inbox.id = gone.id
""")

MAKE_DAYS = text("SELECT make_inbox_days(:ahead)")
DROP_DAYS = text("SELECT drop_inbox_days(CAST(:keep AS interval))")
PRUNE_DEFAULT = text("""
    DELETE FROM inbox_default WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM inbox_default WHERE claimed_at < now() - CAST(:keep AS interval)
        LIMIT :prune_max
    ))
""")


async def claim(conn: AsyncConnection, consumer: str, events: Sequence[Event]) -> list[Event]:
    """The events not handled before, in the order given, each once."""
    by_id = {(event.source, event.id): event for event in reversed(events)}
    firsts = [event for event in events if by_id[event.source, event.id] is event]
    rows = await db.run(
        conn,
        CLAIM,
        consumer=consumer,
        topics=[event.topic for event in firsts],
        partitions=[event.partition for event in firsts],
        offsets=[event.offset for event in firsts],
        **_names(firsts),
    )
    repeated = {(source, id_) for source, id_ in rows}
    return [event for event in firsts if (event.source, event.id) not in repeated]


async def release(conn: AsyncConnection, consumer: str, events: Sequence[Event]) -> None:
    """Give back claims: a buried event has had no effect, and may be replayed."""
    await conn.execute(RELEASE, {"consumer": consumer, **_names(events)})


async def keep_days(conn: AsyncConnection) -> None:
    """Make the next days, drop the dead ones, prune the default: the daily job."""
    await conn.execute(MAKE_DAYS, {"ahead": DAYS_AHEAD})
    await conn.execute(DROP_DAYS, {"keep": KEEP})
    await conn.execute(PRUNE_DEFAULT, {"keep": KEEP, "prune_max": PRUNE_MAX})


def _names(events: Sequence[Event]) -> dict[str, list[object]]:
    return {
        "days": [event.time.date() for event in events],
        "sources": [event.source for event in events],
        "ids": [event.id for event in events],
    }
