"""Paid orders of who was no member, until he joins or it is too late.

What an order's event holds for others is not kept: no contact, no parcel.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.earning.admission import Waiting
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot

COLUMNS = (
    "order_id",
    "customer_id",
    "paid_at",
    "revision",
    "type",
    "event_source",
    "event_id",
    "event_time",
    "topic",
    "partition",
    "log_offset",
    "snapshot",
)
_NEW = """
    FROM unnest(
        CAST(:order_id AS text[]), CAST(:customer_id AS text[]), CAST(:paid_at AS timestamptz[]),
        CAST(:revision AS bigint[]), CAST(:type AS text[]), CAST(:event_source AS text[]),
        CAST(:event_id AS text[]), CAST(:event_time AS timestamptz[]), CAST(:topic AS text[]),
        CAST(:partition AS int[]), CAST(:log_offset AS bigint[]), CAST(:snapshot AS jsonb[])
    ) AS new (
        order_id, customer_id, paid_at, revision, type, event_source, event_id, event_time, topic,
        partition, log_offset, snapshot
    )
"""
ADD = text(f"""
    INSERT INTO waiting_order (
        order_id, customer_id, paid_at, revision, type, event_source, event_id, event_time, topic,
        partition, log_offset, snapshot
    )
    SELECT new.* {_NEW}
    ON CONFLICT (order_id) DO UPDATE
    SET customer_id = excluded.customer_id, paid_at = excluded.paid_at,
        revision = excluded.revision, type = excluded.type, event_source = excluded.event_source,
        event_id = excluded.event_id, event_time = excluded.event_time, topic = excluded.topic,
        partition = excluded.partition, log_offset = excluded.log_offset,
        snapshot = excluded.snapshot
""")  # noqa: S608  our own list of columns
# When it was paid stays as it was first heard.
MOVE = text(f"""
    UPDATE waiting_order
    SET customer_id = new.customer_id, revision = new.revision, type = new.type,
        event_source = new.event_source, event_id = new.event_id, event_time = new.event_time,
        topic = new.topic, partition = new.partition, log_offset = new.log_offset,
        snapshot = new.snapshot
    {_NEW}
    WHERE waiting_order.order_id = new.order_id AND waiting_order.revision < new.revision
""")  # noqa: S608  as above
LIST_OF_PERSON = text("""
    SELECT order_id, customer_id, paid_at, revision, type, event_source, event_id, event_time,
        topic, partition, log_offset, snapshot
    FROM waiting_order WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY paid_at, order_id
""")
REMOVE = text("DELETE FROM waiting_order WHERE order_id = ANY(CAST(:order_ids AS text[]))")
PRUNE = text("""
    DELETE FROM waiting_order WHERE order_id = ANY(ARRAY(
        SELECT order_id FROM waiting_order WHERE paid_at < :before ORDER BY paid_at LIMIT :count
    ))
""")
FORGET = text("""
    DELETE FROM waiting_order WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")


async def save(
    conn: AsyncConnection, first: Mapping[str, Waiting], again: Mapping[str, Waiting]
) -> None:
    """Keep orders that are new to us, and newer revisions of those that wait already."""
    if first:
        await conn.execute(ADD, _bound(first))
    if again:
        await conn.execute(MOVE, _bound(again))


async def list_of_person(conn: AsyncConnection, customer_ids: Collection[str]) -> list[Waiting]:
    rows = await conn.execute(LIST_OF_PERSON, {"customer_ids": sorted(customer_ids)})
    return [_waiting(row) for row in rows]


async def remove(conn: AsyncConnection, order_ids: Collection[str]) -> None:
    await conn.execute(REMOVE, {"order_ids": sorted(order_ids)})


async def prune(conn: AsyncConnection, before: datetime, count: int) -> int:
    """Delete up to `count` that were paid before; how many there were."""
    return (await conn.execute(PRUNE, {"before": before, "count": count})).rowcount


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Delete the customers' orders; how many there were."""
    return (await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})).rowcount


def _bound(waiting: Mapping[str, Waiting]) -> dict[str, list[Any]]:
    rows = [_row(each) for each in waiting.values()]
    return dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


def _row(waiting: Waiting) -> tuple[Any, ...]:
    """In the order of COLUMNS."""
    event = waiting.event
    order = event.data.model_copy(update={"contact": None, "shipment": None, "identifiers": ()})
    return (
        order.order_id,
        waiting.customer_id,
        waiting.paid_at,
        order.revision,
        event.type,
        event.source,
        event.id,
        event.time,
        event.topic,
        event.partition,
        event.offset,
        order.model_dump_json(exclude_unset=True),
    )


def _waiting(row: Any) -> Waiting:
    order = OrderSnapshot.model_validate(row.snapshot)
    event = Event(
        id=row.event_id,
        source=row.event_source,
        type=row.type,
        time=row.event_time,
        topic=row.topic,
        key=order.customer_id,
        data=order,
        partition=row.partition,
        offset=row.log_offset,
    )
    return Waiting(row.customer_id, row.paid_at, event)
