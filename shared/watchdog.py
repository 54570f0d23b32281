"""Measures lag, and ends a worker that is stuck.

aiokafka's consumer can wedge after a rebalance or a broker's restart and gives no public
sign of it (aiokafka issues 1154 and 1037). So: there is lag, Kafka and PostgreSQL answer,
and nothing has moved for `stall_timeout_s`. A restart is safe and mends it.
"""

import asyncio
import time
from collections.abc import Mapping
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
    def positions(self) -> Mapping[TopicPartition, Position]:
        """Where it stands."""


async def watch(consumer: Watched) -> None:
    """Raises Stalled; runs until cancelled."""
    while True:
        await asyncio.sleep(WATCH_INTERVAL_S)
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
