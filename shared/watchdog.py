"""Measures lag, and ends a worker that is stuck, or whose topic is gone.

aiokafka's consumer can wedge after a rebalance or a broker's restart and gives no public
sign of it (aiokafka issues 1154 and 1037). So: there is lag, Kafka and PostgreSQL answer,
and nothing has moved for `stall_timeout_s`. A restart is safe and mends it.

A group that is shared out without a topic has no lag there. So a topic that stays away as
long ends the worker, too; one that is made anew is another log, and a `Gap`.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import db, metrics
from shared.errors import Fatal
from shared.kafka import client_options, rebalance_timeout_ms
from shared.positions import Position
from shared.settings import Settings

WATCH_INTERVAL_S = 5.0
UNKNOWN = -1


class Stalled(Fatal):
    """There is lag, Kafka and PostgreSQL answer, and nothing moves: the client is stuck."""


class Watched(Protocol):
    """What the watchdog looks at: a consumer."""

    kafka: Any
    engine: AsyncEngine
    settings: Settings
    joined: bool
    progress_at: float
    stall_timeout_s: float

    @property
    def topics(self) -> Collection[str]:
        """All that it is to read."""

    @property
    def positions(self) -> Mapping[TopicPartition, Position]:
        """Where it stands."""


async def watch(consumer: Watched) -> None:
    """Raises Stalled; runs until cancelled."""
    seen_at = time.monotonic()
    while True:
        await asyncio.sleep(WATCH_INTERVAL_S)
        seen_at = _seen(consumer, seen_at)
        try:
            async with asyncio.timeout(WATCH_INTERVAL_S):
                behind = await lag(consumer)
                async with consumer.engine.connect() as conn:
                    await conn.exec_driver_sql("SELECT 1")
        except Exception as error:
            if not db.passes(error):
                raise
            behind = UNKNOWN
        if behind == UNKNOWN and not await _answer(consumer):
            consumer.progress_at = time.monotonic()  # they are away: that is no stall
            continue
        stalled_s = time.monotonic() - consumer.progress_at
        patience_s = consumer.stall_timeout_s
        if not consumer.joined:  # the group may be waiting for its slowest member
            patience_s += rebalance_timeout_ms(consumer.settings) / 1000
        if behind == 0:
            consumer.progress_at = time.monotonic()
        elif stalled_s > patience_s:
            raise Stalled(
                f"no progress for {stalled_s:.0f} s, {behind} records to go (-1: unknown)"
            )


def _seen(consumer: Watched, before: float) -> float:
    """When the cluster last had all topics: now, or before."""
    missing = [name for name in consumer.topics if not consumer.kafka.partitions_for_topic(name)]
    if not missing:
        return time.monotonic()
    if time.monotonic() - before > consumer.stall_timeout_s:
        raise Stalled(f"no such topics any more: {missing}; run: python -m shared.topics apply")
    return before


async def _answer(consumer: Watched) -> bool:
    """Whether Kafka and PostgreSQL answer a client that is not stuck: a fresh one."""
    fresh = AIOKafkaConsumer(**client_options(consumer.settings))
    try:
        async with asyncio.timeout(WATCH_INTERVAL_S):
            await fresh.start()
            async with consumer.engine.connect() as conn:
                await conn.exec_driver_sql("SELECT 1")
    except Exception as error:
        if not db.passes(error):
            raise
        return False
    finally:
        await fresh.stop()
    return True


async def lag(consumer: Watched) -> int:
    """Records between the positions and the log's ends, over the assigned partitions.

    UNKNOWN while the group is being joined, or a partition's position is not loaded.
    """
    assigned = consumer.kafka.assignment()
    if not consumer.joined or not assigned <= consumer.positions.keys():
        return UNKNOWN
    total = 0
    for tp, end in (await consumer.kafka.end_offsets(assigned)).items() if assigned else ():
        position = consumer.positions.get(tp)
        behind = max(0, end - position.next_offset) if position else 0
        metrics.LAG.labels(tp.topic, str(tp.partition)).set(behind)
        total += behind
    return total
