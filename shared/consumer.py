"""From Kafka to a handler, a batch at a time, from explicit positions.

    assignment -> load positions, check them against the log, seek
    poll -> batch (one transaction, `shared/batch.py`) -> hint to Kafka -> poll

aiokafka hands us records; where we stand is ours (`shared/positions.py`). A partition
whose position is not loaded is not handled. On assignment we seek to the record *before*
the position: it must come back with the append time that we stored, or this is another
log. `auto_offset_reset` is none: with `earliest`, a log that was cut by retention is
skipped in silence.

Nothing is polled while a batch is in hand, which is all the backpressure there is. A batch
holds its customers' rows until it commits; if a request waited for one, the next batches
are small. While Kafka or PostgreSQL are away the batch is retried; meanwhile the partitions
are paused but polled, so the group keeps us, and only `/readyz` fails.
`shared/watchdog.py` ends a worker that has lag and makes no progress although both answer.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from shared import db, kafka, metrics, positions, watchdog
from shared.batch import Batches
from shared.kafka import client_options, rebalance_timeout_ms
from shared.message import Message
from shared.positions import Fenced, Gap, Position
from shared.relay import Relay

log = structlog.get_logger()

HINT_INTERVAL_S = 1.0
BATCH_MIN = 100
HEARTBEAT_MS = 1_000  # by it a member learns that another has left, and takes its partitions
METADATA_MAX_AGE_MS = 5_000  # so long a topic that is made anew is not missed
FETCH_BYTES_MAX = 1024 * 1024  # for each partition; 48 of them stay below 50 MB


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """One for each worker process."""

    def __init__(self, batches: Batches, relay: Relay) -> None:
        self.batches = batches
        self.engine = batches.engine
        self.topics = batches.handler.topics
        self.settings = batches.world.settings
        self.stall_timeout_s = self.settings.stall_timeout_s
        self.batch_max = self.settings.batch_events_max
        self.relay = relay
        self.positions: dict[TopicPartition, Position] = {}
        self.progress_at = time.monotonic()
        self.healthy = True  # false while a batch is being retried
        self.joined = False  # false while the group shares out its partitions
        self._generation = 0
        self._in_hand = asyncio.Lock()
        self._hinted_at = 0.0
        self.kafka = AIOKafkaConsumer(
            **client_options(self.settings),
            group_id=self.settings.consumer_name,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            partition_assignment_strategy=[RangePartitionAssignor],
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            session_timeout_ms=self.settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=min(HEARTBEAT_MS, self.settings.kafka_session_timeout_ms // 4),
            rebalance_timeout_ms=rebalance_timeout_ms(self.settings),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until stopped; the batch in hand is finished first."""
        await db.reach("postgresql", self.batches.start, stop)
        self.kafka.subscribe(topics=list(self.topics), listener=self)
        await kafka.reach(self.kafka, self.topics, stop)
        turning = asyncio.create_task(self._turn_until(stop))
        watching = asyncio.create_task(watchdog.watch(self))
        try:
            await asyncio.wait({turning, watching}, return_when=asyncio.FIRST_COMPLETED)
            (watching if watching.done() else turning).result()
        finally:
            for task in (turning, watching):
                task.cancel()
            await asyncio.gather(turning, watching, return_exceptions=True)
            await self._hint()
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(self.kafka.stop(), timeout=10)

    async def _turn_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._turn()

    async def _turn(self) -> None:
        """Settle a new assignment, poll once, handle what came."""
        try:
            await self._settle_assignment()
        except Exception as error:
            if not db.passes(error):
                raise
            await self._wait(error, 0.2)
            return
        if not self.positions:
            await asyncio.sleep(0.05)
            return
        try:
            polled = await self.kafka.getmany(
                *self.positions,
                timeout_ms=self.settings.batch_wait_ms,
                max_records=self.batch_max,
            )
        except NoOffsetForPartitionError:
            return  # assigned and not yet sought: the seek has overtaken this answer
        except OffsetOutOfRangeError as error:
            tp = next(iter(error.args[0]))
            raise Gap(self.settings.service, tp, "the log no longer has the position") from error
        if polled:
            await self._handle(polled)
        if time.monotonic() - self._hinted_at > HINT_INTERVAL_S:
            await self._pass_markers()
            await self._hint()

    async def _handle(self, polled: Mapping[TopicPartition, Sequence[object]]) -> None:
        async with self._in_hand:
            messages = self._messages(polled)
            generation, delay_s, started = self._generation, 0.05, time.monotonic()
            while messages:
                try:
                    after = await self.batches.handle(messages, self.positions)
                except Fenced:
                    metrics.FENCED.inc()
                    log.warning("fenced: another worker has moved on", records=len(messages))
                    self._forget({TopicPartition(m.topic, m.partition) for m in messages})
                    break
                except Exception as error:
                    if not db.passes(error):
                        raise
                    await self._wait(error, delay_s)
                    delay_s = min(2 * delay_s, db.RETRY_DELAY_MAX_S)
                    if generation != self._generation:
                        break  # partitions were taken from us meanwhile
                else:
                    self.positions.update(
                        {tp: p for tp, p in after.items() if tp in self.positions}
                    )
                    self.progress_at = time.monotonic()
                    self.healthy = True
                    self._give_way()
                    metrics.BATCH_SECONDS.observe(self.progress_at - started)
                    self.relay.wake()
                    break

    def _give_way(self) -> None:
        """Small batches as soon as a request waits for rows of one; then larger ones, slowly."""
        most = self.settings.batch_events_max
        larger = BATCH_MIN if self.batches.awaited else self.batch_max + 1 + self.batch_max // 128
        self.batch_max = min(most, larger)

    def _messages(self, polled: Mapping[TopicPartition, Sequence[object]]) -> list[Message]:
        """The polled records from each position on, once the record before it is recognised."""
        messages: list[Message] = []
        for tp, records in polled.items():
            position = self.positions.get(tp)
            if position is None:
                continue
            for record in records:
                message = Message.of(record)
                if message.offset >= position.next_offset:
                    messages.append(message)
                elif message.offset == position.next_offset - 1 and position.last_timestamp_ms >= 0:
                    self._recognise(tp, message, position)
        return messages

    def _recognise(self, tp: TopicPartition, message: Message, position: Position) -> None:
        if message.timestamp_ms != position.last_timestamp_ms:
            what = (
                f"the record at offset {message.offset} is not the one that was handled:"
                " the topic was recreated, or this is another cluster"
            )
            raise Gap(self.settings.service, tp, what)

    async def _settle_assignment(self) -> None:
        """Load, check and seek the partitions that have no position yet."""
        generation = self._generation
        new = self.kafka.assignment() - self.positions.keys()
        if not new:
            return
        consumer = self.settings.consumer_name
        starts = await self.kafka.beginning_offsets(new)
        ends = await self.kafka.end_offsets(new)
        async with self.engine.begin() as conn:
            stored = await positions.load(conn, consumer, new)
            fresh = {tp: starts[tp] for tp in new if tp not in stored}
            if fresh:
                await positions.start(conn, consumer, fresh)
        for tp in new:
            position = stored.get(tp) or Position(starts[tp])
            self._check(tp, position, starts[tp], ends[tp])
            if generation != self._generation or tp not in self.kafka.assignment():
                return
            known = position.last_timestamp_ms >= 0 and position.next_offset > starts[tp]
            self.kafka.seek(tp, position.next_offset - known)
            self.positions[tp] = position
        log.info("partitions settled", partitions=len(new))

    def _check(self, tp: TopicPartition, position: Position, start: int, end: int) -> None:
        if position.next_offset < start:
            what = f"offset {position.next_offset} is wanted, the log begins at {start}"
            raise Gap(self.settings.service, tp, f"{what}: retention was faster than this consumer")
        if position.next_offset > end:
            what = f"offset {position.next_offset} is wanted, the log ends at {end}"
            raise Gap(self.settings.service, tp, f"{what}: it was recreated or truncated")

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        for tp in partitions:
            self.positions.pop(tp, None)

    async def _wait(self, error: BaseException, delay_s: float) -> None:
        """Back off, polling with everything paused so that the group keeps us."""
        metrics.BATCH_RETRIES.inc()
        self.healthy = False
        log.warning(
            "transient failure, again soon",
            error=type(error).__name__,
            sqlstate=db.sqlstate(error),
            delay_s=delay_s,
        )
        until = time.monotonic() + delay_s
        while (left := until - time.monotonic()) > 0:
            paused = self.kafka.assignment()
            self.kafka.pause(*paused)
            with contextlib.suppress(KafkaError):
                await self.kafka.getmany(timeout_ms=0)
            await asyncio.sleep(min(1.0, left))
            self.kafka.resume(*(paused & self.kafka.assignment()))

    async def _pass_markers(self) -> None:
        """Move over what no consumer is given: a transaction's marker, or its aborted records.

        Without it they would be lag for ever. A restart cannot recognise a marker.
        """
        async with self._in_hand:
            ahead = {}
            for tp, position in tuple(self.positions.items()):
                # It is taken from us; or has no place for now, and would keep us waiting for one.
                with contextlib.suppress(IllegalStateError, TimeoutError):
                    async with asyncio.timeout(0.1):
                        offset = await self.kafka.position(tp)
                    if offset > position.next_offset:
                        ahead[tp] = Position(offset)
            if not ahead or not ahead.keys() <= self.positions.keys():
                return
            try:
                async with self.engine.begin() as conn:
                    await positions.fence(conn, self.settings.consumer_name, self.positions, ahead)
            except Fenced:
                self._forget(ahead)
            except Exception as error:
                if not db.passes(error):
                    raise
            else:
                self.positions.update(ahead)

    async def _hint(self) -> None:
        """Tell Kafka where we stand, for lag exporters and autoscalers; it decides nothing."""
        if not self.positions:
            return
        self._hinted_at = time.monotonic()
        offsets = {tp: position.next_offset for tp, position in self.positions.items()}
        with contextlib.suppress(KafkaError, TimeoutError):
            await asyncio.wait_for(self.kafka.commit(offsets), timeout=2)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish the batch in hand, so that the next owner is not fenced by it."""
        drain_s = 0.7 * rebalance_timeout_ms(self.settings) / 1000
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s), self._in_hand:
                await self._hint()
        self._generation += 1
        self.positions.clear()
        self.joined = False
        self.progress_at = time.monotonic()
        if revoked:
            log.info("partitions revoked", partitions=len(revoked))

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        metrics.REBALANCES.inc()
        self.joined = True
        self.progress_at = time.monotonic()
        log.info("partitions assigned", partitions=len(assigned))
