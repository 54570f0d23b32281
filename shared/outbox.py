"""Events waiting to be published, in the transaction that caused them.

A row that is still here is still owed, so the table is empty when all is well. Only the
relay (`shared/relay.py`) publishes, and deletes what the broker has acknowledged.

Order. A key always falls into the same of SHARDS shards, and one relay holds a shard at a
time. `seq` is drawn before commit, so two open transactions may commit out of its order;
events of one key still keep theirs, because a writer locks the customer's row before it
enqueues, hence draws its numbers only after the previous writer has committed.

Waking. NOTIFY inside a transaction takes a server-wide lock at commit. So `Bell` sends it
after the commit, on a connection of its own, at most every BELL_INTERVAL_S; the relay
also looks every POLL_S, so a lost ring costs that and nothing more.
"""

import asyncio
import contextlib
import zlib
from collections.abc import Sequence

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db, tracing
from shared.events import codec
from shared.events.envelope import Event
from shared.settings import Settings

SHARDS = 16  # for ever: another number would let two relays hold one key
CHANNEL = "outbox"
BELL_INTERVAL_S = 0.02
POLL_S = 0.2
STOP_LOOK_S = 0.5

COLUMNS = (
    "shard",
    "id",
    "aggregatetype",
    "aggregateid",
    "type",
    "payload",
    "source",
    "time",
    "backfill",
    "traceparent",
)

# For a statement that saves a few rows of several tables at once; bound by `bound`.
ENQUEUE_FEW = """
    INSERT INTO outbox (shard, id, aggregatetype, aggregateid, type, payload, source, time,
        backfill, traceparent)
    SELECT * FROM unnest(
        CAST(:told_shards AS smallint[]), CAST(:told_ids AS text[]), CAST(:told_topics AS text[]),
        CAST(:told_keys AS text[]), CAST(:told_types AS text[]), CAST(:told_payloads AS bytea[]),
        CAST(:told_sources AS text[]), CAST(:told_times AS text[]),
        CAST(:told_backfills AS boolean[]), CAST(:told_traceparents AS text[])
    )
"""
TOLD = (
    *("told_shards", "told_ids", "told_topics", "told_keys", "told_types", "told_payloads"),
    *("told_sources", "told_times", "told_backfills", "told_traceparents"),
)


def shard_of(key: str) -> int:
    return zlib.crc32(key.encode()) % SHARDS


async def enqueue(conn: AsyncConnection, events: Sequence[Event]) -> None:
    """Publish `events` when this transaction has committed. Lock the customers' rows first."""
    if events:
        await db.copy_rows(conn, "outbox", COLUMNS, rows_of(events))


def rows_of(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """The events as rows of COLUMNS."""
    trace = tracing.current()
    return [_row(event, trace) for event in events]


def _row(event: Event, trace: str) -> tuple[object, ...]:
    """The event in the order of COLUMNS."""
    return (
        shard_of(event.key),
        event.id,
        event.topic,
        event.key,
        event.type,
        codec.encode_data(event.data),
        event.source,
        event.time.isoformat(),
        event.backfill,
        event.traceparent or trace,
    )


class Bell:
    """Wakes the relays of all processes, soon after a commit and not too often."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """After a commit that may have enqueued."""
        self._rung.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Pass the rings on until stopped. A ring that fails is made good by the poll."""
        conn: asyncpg.Connection | None = None
        try:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._rung.wait(), STOP_LOOK_S)
                if not self._rung.is_set():
                    continue
                self._rung.clear()
                try:
                    if conn is None or conn.is_closed():
                        conn = await db.direct(self._settings)
                    await conn.execute(f"NOTIFY {CHANNEL}")
                except (OSError, TimeoutError, asyncpg.PostgresError, *db.LOST):
                    conn = None
                await asyncio.sleep(BELL_INTERVAL_S)
        finally:
            if conn is not None:
                conn.terminate()
