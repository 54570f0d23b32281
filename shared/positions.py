"""Where a consumer stands in the log, kept with the effects: the fence.

Kafka's committed offset is a hint for lag exporters; the truth is `consumer_offset`. The
first statement of every batch moves it from the offset that this worker believes is next
to the one after the batch. If another worker has moved it meanwhile (a rebalance, a
worker that slept through its session and woke), fewer rows match, and the whole batch is
rolled back. If the reply to a COMMIT was lost, the retry finds the position moved and
does nothing. So a batch has its effects once, whoever believes to own the partition.

A position that the log no longer has, or a log that is not the one we read (another
append time at the record before the position) is loud: `Gap` ends the worker and names
the command that accepts the loss. Nothing is skipped in silence.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import Fatal

LOAD_POSITIONS = text("""
    SELECT o.topic, o.partition, o.next_offset, o.last_timestamp_ms
    FROM consumer_offset AS o
    JOIN unnest(CAST(:topics AS text[]), CAST(:partitions AS int[])) AS wanted (topic, partition)
        USING (topic, partition)
    WHERE o.consumer = :consumer
""")

START_POSITIONS = text("""
    INSERT INTO consumer_offset (consumer, topic, partition, next_offset, last_timestamp_ms)
    SELECT :consumer, topic, partition, next_offset, -1
    FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[]))
        AS start (topic, partition, next_offset)
    ON CONFLICT DO NOTHING
""")

FENCE = text("""
    UPDATE consumer_offset AS o
    SET next_offset = move.next_offset, last_timestamp_ms = move.stamp, updated_at = now()
    FROM unnest(
        CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:expected AS bigint[]),
        CAST(:next_offsets AS bigint[]), CAST(:stamps AS bigint[])
    ) AS move (topic, partition, expected, next_offset, stamp)
    WHERE o.consumer = :consumer AND o.topic = move.topic AND o.partition = move.partition
        AND o.next_offset = move.expected
""")

# Of an empty row; several waiters queue behind the first, so one tells of all.
AWAITED = text("""
    SELECT FROM pg_locks AS held JOIN pg_locks AS wanted USING (transactionid)
    WHERE held.pid = pg_backend_pid() AND NOT wanted.granted LIMIT 1
""")

ACCEPT_GAP = text("""
    DELETE FROM consumer_offset
    WHERE consumer = :consumer AND topic = :topic AND partition = :partition
""")


class Gap(Fatal):
    """The log does not continue where this consumer stands."""

    def __init__(self, service: str, tp: TopicPartition, what: str) -> None:
        super().__init__(
            f"{tp.topic}/{tp.partition}: {what}. Nothing was skipped. If the loss is understood and"
            f" accepted, run: python -m services.{service} accept-gap {tp.topic} {tp.partition}"
            " and start the worker again; it then reads from the log's start, and what was handled"
            " before is recognised by its id."
        )


class Fenced(Exception):
    """Another worker has moved on: this batch is no longer ours."""


@dataclass(frozen=True, slots=True)
class Position:
    """The offset to read next, and the append time of the record before it (-1: none)."""

    next_offset: int
    last_timestamp_ms: int = -1


Positions = Mapping[TopicPartition, Position]


async def load(
    conn: AsyncConnection, consumer: str, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Position]:
    """The stored positions; a partition never read before is missing."""
    rows = await conn.execute(LOAD_POSITIONS, {"consumer": consumer, **_arrays(partitions)})
    return {
        TopicPartition(topic, partition): Position(next_offset, stamp)
        for topic, partition, next_offset, stamp in rows
    }


async def start(conn: AsyncConnection, consumer: str, starts: Mapping[TopicPartition, int]) -> None:
    """Make the rows of partitions never read before."""
    offsets = list(starts.values())
    await conn.execute(
        START_POSITIONS, {"consumer": consumer, "offsets": offsets, **_arrays(starts)}
    )


async def fence(conn: AsyncConnection, consumer: str, before: Positions, after: Positions) -> None:
    """Move from `before` to `after`, all of them or Fenced."""
    result = await conn.execute(
        FENCE,
        {
            "consumer": consumer,
            "expected": [before[tp].next_offset for tp in after],
            "next_offsets": [position.next_offset for position in after.values()],
            "stamps": [position.last_timestamp_ms for position in after.values()],
            **_arrays(after),
        },
    )
    if result.rowcount != len(after):
        raise Fenced


async def accept_gap(conn: AsyncConnection, consumer: str, topic: str, partition: int) -> bool:
    """Forget the position: the worker begins at the log's start. Whether there was one."""
    result = await conn.execute(
        ACCEPT_GAP, {"consumer": consumer, "topic": topic, "partition": partition}
    )
    return result.rowcount == 1


def _arrays(partitions: Collection[TopicPartition] | Positions) -> dict[str, list[object]]:
    return {
        "topics": [tp.topic for tp in partitions],
        "partitions": [tp.partition for tp in partitions],
    }
