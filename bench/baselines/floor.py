"""The floor: a bare loop of aiokafka and asyncpg, with the same decoding and the same rows.

No inbox, no outbox, no fence, no metrics, no retries: it loses nothing only if nothing ever
goes wrong. What we are slower than this is the price of the promises.
"""

import os

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.reference import (
    ADD_MISSING,
    ADD_POSTINGS,
    LOCK_ACCOUNTS,
    SAVE_ACCOUNTS,
    points_of,
)
from shared.events import codec
from shared.events.envelope import Event, derived_id
from shared.message import Message
from shared.service import spare_the_collector

_IDS = {"ids": "$1"}


async def main() -> None:
    """Consume the whole topic, for ever; the measurer kills us."""
    spare_the_collector()
    conn = await asyncpg.connect(os.environ["DATABASE_URL"])
    kafka = AIOKafkaConsumer(
        bootstrap_servers=os.environ["KAFKA_SERVERS"],
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=1024 * 1024,
    )
    await kafka.start()
    kafka.assign([TopicPartition("shop.orders.v1", p) for p in range(12)])
    while True:
        polled = await kafka.getmany(timeout_ms=100, max_records=1000)
        events = [decode(record) for records in polled.values() for record in records]
        if events:
            async with conn.transaction():
                await store(conn, events)


def decode(r: object) -> Event:
    """The same decoding as the worker's."""
    event = codec.decode(Message.of(r))
    assert isinstance(event, Event)
    return event


async def store(conn: asyncpg.Connection, events: list[Event]) -> None:
    """The same account and posting rows."""
    ids = sorted({event.key for event in events})
    await conn.execute(ADD_MISSING.format_map(_IDS), ids)
    balances = dict(await conn.fetch(LOCK_ACCOUNTS.format_map(_IDS), ids))
    for event in events:
        balances[event.key] += points_of(event)
    await conn.execute(
        ADD_POSTINGS.format(ids="$1", customers="$2", orders="$3", points="$4"),
        [derived_id(event, "posting") for event in events],
        [event.key for event in events],
        [event.data.order_id for event in events],
        [points_of(event) for event in events],
    )
    await conn.execute(
        SAVE_ACCOUNTS.format(ids="$1", points="$2"), list(balances), list(balances.values())
    )


if __name__ == "__main__":
    uvloop.run(main())
