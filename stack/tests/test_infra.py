"""Kafka and PostgreSQL, started, killed and started again."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack.infra import Infra, erase_leftovers
from stack.processes import Daemon

TOPIC = "stack.test"


async def make_topic(infra: Infra) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=infra.kafka_servers)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    await admin.close()


async def publish(infra: Infra, value: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=infra.kafka_servers, acks="all", enable_idempotence=True
    )
    await producer.start()
    await producer.send_and_wait(TOPIC, value, timestamp_ms=1_300_000_000_000)
    await producer.stop()


async def test_a_killed_kafka_comes_back_with_what_it_acknowledged(infra: Infra) -> None:
    await make_topic(infra)
    await publish(infra, b"before")

    await asyncio.to_thread(infra.kafka.kill)
    assert not infra.kafka.answers()
    await asyncio.to_thread(infra.kafka.start)
    await publish(infra, b"after")

    consumer = AIOKafkaConsumer(bootstrap_servers=infra.kafka_servers, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(TOPIC, 0)])
    values = [(await consumer.getone()).value for _ in range(2)]
    await consumer.stop()
    assert values == [b"before", b"after"]


async def test_a_killed_postgres_comes_back_with_what_it_committed(
    infra: Infra, make_database: Any
) -> None:
    database = await make_database("profile")
    conn = await asyncpg.connect(database.owner_url)
    await conn.execute("CREATE TABLE note (text text)")
    await conn.execute("INSERT INTO note VALUES ('committed')")

    await asyncio.to_thread(infra.postgres.kill)
    gone = (asyncpg.PostgresError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    try:
        with pytest.raises(gone):
            await conn.fetch("SELECT 1")
    finally:
        await asyncio.to_thread(infra.postgres.start)

    again = await asyncpg.connect(database.url)
    assert await again.fetchval("SELECT text FROM note") == "committed"
    await again.close()
    conn.terminate()


def test_what_a_dead_run_left_is_ended_and_a_living_run_is_left_alone(tmp_path: Path) -> None:
    living = tmp_path / f"{os.getpid()}-{int(psutil.Process().create_time())}"
    dead = tmp_path / f"{os.getpid()}-1"  # our pid, somebody else's start time
    parts = [Daemon("kafka", living), Daemon("kafka", dead)]
    for part in parts:
        part.start([sys.executable, "-c", "import time; time.sleep(60)"])

    erase_leftovers(tmp_path)

    assert parts[0].process() is not None
    assert parts[1].process() is None
    assert [folder.name for folder in tmp_path.iterdir()] == [living.name]
    parts[0].kill()
