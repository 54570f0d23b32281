"""Publishing: everything, once, in order, where murmur2 puts it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.events import codec
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot
from shared.partition import partition_of
from stack.errors import StackError
from stack.infra import Infra
from stack.publish import publisher

NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)
PARTITIONS = 3


@pytest.fixture
async def topic(infra: Infra) -> AsyncIterator[str]:
    name = f"publish.{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=infra.kafka_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    yield name
    await admin.delete_topics([name])
    await admin.close()


def orders(topic: str, count: int, *, lines: int = 1, name: str = "Mug") -> list[Event]:
    """Orders of seven customers."""
    return [replace(order(number, lines, name), topic=topic) for number in range(count)]


def order(number: int, lines: int, name: str) -> Event:
    snapshot = OrderSnapshot(
        customer_id=f"c-{number % 7}",
        order_id=f"o-{number}",
        revision=1,
        store="uk",
        currency="GBP",
        total_minor=100 * lines,
        lines=tuple(
            Line(line_id=str(n), product_id="mug", name=name, quantity=1, unit_price_minor=100,
                 total_minor=100)
            for n in range(lines)
        ),
    )  # fmt: skip
    return codec.make("order.placed", snapshot, id=f"o-{number}/1", source="shop", time=NOON)


async def read(servers: str, topic: str, count: int) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    async with consumer:
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        async with asyncio.timeout(30):
            return [await consumer.getone() for _ in range(count)]


async def test_all_events_arrive_in_order_in_their_partitions(infra: Infra, topic: str) -> None:
    events = [*orders(topic, 2_000), replace(order(9_999, 1_200, "A long name"), topic=topic)]
    told: list[int] = []

    async with publisher(infra.kafka_servers) as publishing:
        done = await publishing.publish(events, told.append)

    records = await read(infra.kafka_servers, topic, len(events))
    assert done.events == sum(told) == len(events)
    assert done.bytes == sum(len(record.value) for record in records)
    assert all(partition_of(record.key, PARTITIONS) == record.partition for record in records)
    for key in {event.key for event in events}:
        names = [dict(r.headers)["ce_id"].decode() for r in records if r.key == key.encode()]
        assert names == [event.id for event in events if event.key == key]


async def test_a_pace_is_kept(infra: Infra, topic: str) -> None:
    began = time.monotonic()

    async with publisher(infra.kafka_servers) as publishing:
        done = await publishing.publish(orders(topic, 50), per_second=100)

    assert done.events == 50
    assert time.monotonic() - began > 0.45


async def test_an_event_that_is_too_large_is_named(infra: Infra, topic: str) -> None:
    events = orders(topic, 1, lines=9_000, name="x" * 120)

    async with publisher(infra.kafka_servers) as publishing:
        with pytest.raises(StackError, match=r"order\.placed o-0/1: over 1048576 bytes"):
            await publishing.publish(events)


async def test_without_a_broker_it_says_what_to_do() -> None:
    with pytest.raises(StackError, match="python -m stack up"):
        async with publisher("127.0.0.1:9"):
            pass
