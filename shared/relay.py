"""From the outbox to Kafka: at least once, in the order of each key.

A relay holds its shards by session advisory locks, on a direct connection, and no
transaction while it publishes. It takes rows in order, publishes them with `acks=all` and
idempotence, waits for every acknowledgement, then deletes. A crash between the two
publishes again under the same ids, which every consumer's inbox recognises.

A relay that was paused loses its session after SESSION_IDLE_MS, and with it its shards;
when it wakes, its delete fails and it begins anew.

A row that the broker refuses for good (too large, topic unknown or forbidden) becomes a dead
letter. That a topic is unknown is never concluded from silence: a broker that is away ends
the turn, and buries nothing. When brokers do answer, and for ABSENT_S each answer is without
the topic, its rows are buried; meanwhile they stay, and the rows of other topics go out.
"""

import asyncio
import contextlib
import json
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from shared import db, metrics
from shared.events import codec
from shared.kafka import client_options
from shared.outbox import CHANNEL, POLL_S, SHARDS
from shared.partition import partition_of
from shared.settings import Settings

log = structlog.get_logger()

BATCH_MAX = 2_000
PUBLISH_DEADLINE_S = 30  # an idempotent producer never gives up by itself
SESSION_IDLE_MS = 20_000
ABSENT_S = 60.0  # one broker learns of a new topic later than another; people delete and create
RETRY_DELAY_MAX_S = 5.0
SHARD_LOCK = 0x0B0C_0000  # the shards' locks are this plus the shard's number
REFUSED = (MessageSizeTooLargeError, InvalidTopicError, TopicAuthorizationFailedError)
ABSENT = "no such topic, or it is hidden from us"

TRY_LOCK = """
    SELECT shard FROM generate_series(0, $1::int) AS shard
    WHERE NOT shard = ANY($2::int[]) AND pg_try_advisory_lock($3::bigint + shard)
"""
TAKE = """
    SELECT r.* FROM unnest($1::smallint[]) AS held (shard)
    CROSS JOIN LATERAL (
        SELECT shard, seq, id, aggregatetype, aggregateid, type, payload, source, time,
            backfill, traceparent
        FROM outbox WHERE outbox.shard = held.shard ORDER BY seq LIMIT $2
    ) AS r
"""
DELETE = """
    DELETE FROM outbox USING unnest($1::smallint[], $2::bigint[]) AS done (shard, seq)
    WHERE outbox.shard = done.shard AND outbox.seq = done.seq
"""
BURY = """
    INSERT INTO dead_letter (direction, consumer, topic, partition, log_offset, key, value,
        headers, event_source, event_id, reason, state)
    VALUES ('out', $1, $2, -1, $3, $4, $5, $6, $7, $8, $9, 'open')
"""


class SpoiltProducer(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """After a refusal the broker misses a sequence number: another producer has to go on."""


class Row(NamedTuple):
    """One outbox row, as TAKE selects it."""

    shard: int
    seq: int
    id: str
    topic: str
    key: str
    type: str
    payload: bytes
    source: str
    time: str
    backfill: bool
    traceparent: str

    def headers(self) -> list[tuple[str, bytes]]:
        return codec.binary_headers(
            self.id,
            self.source,
            self.type,
            self.time,
            backfill=self.backfill,
            traceparent=self.traceparent,
        )


class Relay:
    """One for each worker process; relays of other processes take the shards it has not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wake = asyncio.Event()
        self._held: list[int] = []
        self._absent_since: dict[str, float] = {}

    def wake(self) -> None:
        """This process has committed something."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until stopped; whatever fails is tried again, from what the table holds."""
        delay_s = 0.1
        while not stop.is_set():
            try:
                async with contextlib.AsyncExitStack() as stack:
                    conn = await self._session(stack)
                    kafka = await self._producer(stack)
                    while not stop.is_set():
                        moved = await self.relay_once(conn, kafka)
                        delay_s = 0.1
                        if moved == 0:
                            await self._idle()
            except (KafkaError, OSError, TimeoutError, asyncpg.PostgresError) as error:
                log.warning("relay interrupted", error=type(error).__name__)
            except db.LOST as error:
                log.warning("relay lost its session", error=type(error).__name__)
            if not stop.is_set():
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_DELAY_MAX_S)

    async def relay_once(self, conn: asyncpg.Connection, kafka: AIOKafkaProducer) -> int:
        """Publish one batch of the shards that we hold; how many rows left the table."""
        free = await conn.fetch(TRY_LOCK, SHARDS - 1, self._held, SHARD_LOCK)
        self._held += [record["shard"] for record in free]
        limit = max(1, BATCH_MAX // max(1, len(self._held)))
        rows = [Row._make(record) for record in await conn.fetch(TAKE, self._held, limit)]
        if not rows:
            return 0
        async with asyncio.timeout(PUBLISH_DEADLINE_S):
            absent = await self._absent(kafka, rows)
            refused, unsent = await publish(kafka, [row for row in rows if row.topic not in absent])
        unsent |= {row for row in rows if absent.get(row.topic) is False}
        lost = [(row, ABSENT) for row in rows if absent.get(row.topic)]
        done = [row for row in rows if row not in unsent] if unsent else rows
        async with conn.transaction():
            for row, reason in (*refused, *lost):
                await self._bury(conn, row, reason)
            await conn.execute(DELETE, [row.shard for row in done], [row.seq for row in done])
        for topic, count in Counter(row.topic for row in done).items():
            metrics.OUTBOX_PUBLISHED.labels(topic).inc(count)
        if refused:
            raise SpoiltProducer
        return len(done)

    async def _absent(self, kafka: AIOKafkaProducer, rows: Sequence[Row]) -> dict[str, bool]:
        """Topics that the brokers do not list when asked now, and whether that is for good."""
        cached = kafka.client.cluster
        asked = {row.topic for row in rows if cached.partitions_for_topic(row.topic) is None}
        absent = asked - (await kafka.client.fetch_all_metadata()).topics() if asked else asked
        for topic in absent - self._absent_since.keys():
            log.error(ABSENT, topic=topic)
        now = time.monotonic()
        self._absent_since = {topic: self._absent_since.get(topic, now) for topic in absent}
        return {topic: now - since >= ABSENT_S for topic, since in self._absent_since.items()}

    async def _session(self, stack: contextlib.AsyncExitStack) -> asyncpg.Connection:
        self._held = []
        self._absent_since = {}  # whoever was interrupted has not heard every answer
        conn = await db.direct(self._settings, idle_session_timeout=str(SESSION_IDLE_MS))
        stack.callback(conn.terminate)
        await conn.add_listener(CHANNEL, lambda *_: self._wake.set())
        return conn

    async def _producer(self, stack: contextlib.AsyncExitStack) -> AIOKafkaProducer:
        kafka = AIOKafkaProducer(
            **client_options(self._settings),
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            linger_ms=0,
            max_batch_size=256 * 1024,
        )
        await kafka.start()
        stack.push_async_callback(_stop, kafka)
        return kafka

    async def _idle(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), POLL_S)
        self._wake.clear()

    async def _bury(self, conn: asyncpg.Connection, row: Row, reason: str) -> None:
        log.error("outbox row refused", topic=row.topic, event_id=row.id, reason=reason)
        metrics.DEAD_LETTERS.labels("refused").inc()
        headers = [[name, b64encode(value).decode()] for name, value in row.headers()]
        values: list[Any] = [self._settings.consumer_name, row.topic, row.seq, row.key.encode()]
        values += [row.payload, json.dumps(headers), row.source, row.id, reason]
        await conn.execute(BURY, *values)


async def publish(
    kafka: AIOKafkaProducer, rows: Sequence[Row]
) -> tuple[list[tuple[Row, str]], set[Row]]:
    """Send in order and await every acknowledgement: rows refused for good, rows to send again.

    By the batch: a future for each message would cost more than all else that we do.
    """
    lanes: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        partitions = len(await kafka.partitions_for(row.topic))
        lanes.setdefault((row.topic, partition_of(row.key.encode(), partitions)), []).append(row)
    results = await asyncio.gather(
        *(_send(kafka, *lane, batch) for lane, batch in lanes.items()), return_exceptions=True
    )
    refused: list[tuple[Row, str]] = []
    unsent: set[Row] = set()
    for result in results:
        if isinstance(result, BaseException):
            raise result
        refused += result[0]
        unsent |= result[1]
    return refused, unsent


async def _send(
    kafka: AIOKafkaProducer, topic: str, partition: int, rows: Sequence[Row]
) -> tuple[list[tuple[Row, str]], set[Row]]:
    """One partition's rows, batch after batch; those refused, and those that fail behind one."""
    waiting: list[tuple[Sequence[Row], asyncio.Future[Any]]] = []
    start = 0
    while start < len(rows):
        batch, end = kafka.create_batch(), start
        while end < len(rows) and batch.append(
            key=rows[end].key.encode(),
            value=rows[end].payload,
            timestamp=None,
            headers=rows[end].headers(),
        ):
            end += 1
        future = await kafka.send_batch(batch, topic, partition=partition)
        waiting.append((rows[start:end], future))
        start = end
    refused: list[tuple[Row, str]] = []
    unsent: set[Row] = set()
    for part, future in waiting:
        try:
            await future
        except REFUSED as error:
            reason = f"{type(error).__name__}: the broker refuses it for good"
            refused += [(row, reason) for row in part]
        except KafkaError:
            if not refused:
                raise
            unsent.update(part)
    return refused, unsent


async def _stop(kafka: AIOKafkaProducer) -> None:
    """A producer that cannot reach the broker must not hold up the process."""
    with contextlib.suppress(TimeoutError, KafkaError):
        await asyncio.wait_for(kafka.stop(), timeout=3)
