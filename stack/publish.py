"""Publishes events to Kafka, as fast as they can be encoded or at a given pace.

As every producer should: `acks=all`, idempotent, and each event in the partition that
murmur2 gives its key, so the events of one customer stay in order. Records are packed into
batches here, one open batch for each partition: a future for each record would cost more
than all else. What is held in memory is the open batches and those under way, however
many events come. `publish` returns when all are acknowledged; whoever is killed before
that publishes all of it again, and the consumers know each event by its id.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.events.codec import EVENT_BYTES_MAX, encode
from shared.events.envelope import Event
from shared.partition import partition_of
from stack.errors import StackError

BATCH_BYTES = 256 * 1024
UNDER_WAY_MAX = 48  # batches; with the open ones some 30 MB
BREATH_EVENTS = 100  # between two turns of the event loop, which sends what is packed
ACK_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 3.0
TICK_S = 0.02  # of paced publishing: the grain of its latency

Progress = Callable[[int], None]
Lane = tuple[str, int]


def no_progress(_events: int) -> None:
    """For who does not want to know."""


@dataclass(slots=True)
class Published:
    """What was acknowledged, and in how long; `bytes` before compression."""

    events: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Publisher:
    """See the module; made by `publisher`."""

    kafka: AIOKafkaProducer
    _open: dict[Lane, BatchBuilder] = field(default_factory=dict)
    _under_way: deque[asyncio.Future[Any]] = field(default_factory=deque)
    _partitions: dict[str, int] = field(default_factory=dict)

    async def publish(
        self,
        events: Iterable[Event],
        progress: Progress = no_progress,
        *,
        per_second: float | None = None,
    ) -> Published:
        """Publish them all; `progress` is told of how many more were packed."""
        done = Published()
        began = time.monotonic()
        try:
            for event in events:
                if per_second:
                    await self._keep_pace(began + done.events / per_second)
                done.bytes += await self._pack(event)
                done.events += 1
                if done.events % BREATH_EVENTS == 0:
                    progress(BREATH_EVENTS)
                    await asyncio.sleep(0)
            await self._send_open()
            await self._await_all()
        except (KafkaError, TimeoutError) as error:
            name = type(error).__name__
            text = f"Kafka does not take the events ({name}); look at `python -m stack logs kafka`."
            raise StackError(text) from error
        progress(done.events % BREATH_EVENTS)
        done.seconds = time.monotonic() - began
        return done

    async def _keep_pace(self, due: float) -> None:
        if due - time.monotonic() > TICK_S:
            await self._send_open()
            await asyncio.sleep(due - time.monotonic())

    async def _pack(self, event: Event) -> int:
        """Into its lane's batch; one that is full goes out first. The size of the value."""
        value, headers = encode(event)
        if len(value) > EVENT_BYTES_MAX:
            raise StackError(f"{event.type} {event.id}: over {EVENT_BYTES_MAX} bytes")
        key = event.key.encode()
        if event.topic not in self._partitions:
            self._partitions[event.topic] = len(await self.kafka.partitions_for(event.topic))
        lane = (event.topic, partition_of(key, self._partitions[event.topic]))
        record = {"key": key, "value": value, "timestamp": None, "headers": headers}
        batch = self._open.get(lane)
        if batch is None or batch.append(**record) is None:
            if batch is not None:
                await self._send(lane, batch)
            batch = self._open[lane] = self.kafka.create_batch()
            packed = batch.append(**record)
            assert packed is not None, "an empty batch takes a record of any size"
        return len(value)

    async def _send(self, lane: Lane, batch: BatchBuilder) -> None:
        topic, partition = lane
        self._under_way.append(await self.kafka.send_batch(batch, topic, partition=partition))
        while len(self._under_way) > UNDER_WAY_MAX:
            await asyncio.wait_for(self._under_way.popleft(), ACK_TIMEOUT_S)

    async def _send_open(self) -> None:
        batches, self._open = self._open, {}
        for lane, batch in batches.items():
            await self._send(lane, batch)

    async def _await_all(self) -> None:
        while self._under_way:
            await asyncio.wait_for(self._under_way.popleft(), ACK_TIMEOUT_S)


@contextlib.asynccontextmanager
async def publisher(servers: str) -> AsyncIterator[Publisher]:
    """Connected to the brokers, until the end of the block."""
    kafka = AIOKafkaProducer(
        bootstrap_servers=servers,
        client_id="regulars-stack",
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=BATCH_BYTES,
    )
    try:
        await kafka.start()
    except KafkaError as error:
        await kafka.stop()
        raise StackError(f"No Kafka answers at {servers}; start it: python -m stack up") from error
    try:
        yield Publisher(kafka)
    finally:
        with contextlib.suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(kafka.stop(), STOP_TIMEOUT_S)
