"""Notices: as they arise, as they are read, and as they are forgotten."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.notices import Channel, Notice, State
from services.notify.policy import Kind, Reason
from shared import db

LIST_KNOWN = text("""
    SELECT id, reason FROM notice WHERE id = ANY(CAST(:ids AS uuid[]))
""")
# An order that two customers' events name may arise under both at once: one notice stays.
# What was only superseded may be told after all, by a newer revision.
ADD_NOTICES = text("""
    INSERT INTO notice (
        id, customer_id, kind, channel, order_id, store, state, reason, event_time,
        cause_source, cause_id, content, traceparent, due_at, settled_at
    )
    SELECT id, customer_id, kind, channel, order_id, store,
        CASE WHEN reason IS NULL THEN 'created' ELSE 'suppressed' END, reason, event_time,
        cause_source, cause_id, content, traceparent, now(),
        CASE WHEN reason IS NULL THEN NULL ELSE now() END
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:customer_ids AS text[]), CAST(:kinds AS text[]),
        CAST(:channels AS text[]), CAST(:order_ids AS text[]), CAST(:stores AS text[]),
        CAST(:reasons AS text[]), CAST(:event_times AS timestamptz[]),
        CAST(:cause_sources AS text[]), CAST(:cause_ids AS text[]), CAST(:contents AS jsonb[]),
        CAST(:traceparents AS text[])
    ) AS new (
        id, customer_id, kind, channel, order_id, store, reason, event_time,
        cause_source, cause_id, content, traceparent
    )
    ORDER BY id
    ON CONFLICT (id) DO UPDATE
    SET customer_id = excluded.customer_id, state = excluded.state, reason = excluded.reason,
        event_time = excluded.event_time, cause_source = excluded.cause_source,
        cause_id = excluded.cause_id, content = excluded.content,
        traceparent = excluded.traceparent, due_at = excluded.due_at,
        settled_at = excluded.settled_at
    WHERE notice.reason = 'superseded' AND excluded.reason IS DISTINCT FROM 'superseded'
    RETURNING id
""")

_VIEW = """id, customer_id, kind, channel, state, reason, order_id, store, template,
        template_version, locale, address, message_id, attempts, decision, event_time,
        cause_source, cause_id, due_at, created_at, settled_at"""
# Each member's newest first, so a page costs its own length however long the history is.
LIST_NOTICES = text(f"""
    SELECT own.* FROM unnest(CAST(:customer_ids AS text[])) AS member (customer_id)
    CROSS JOIN LATERAL (
        SELECT {_VIEW} FROM notice
        WHERE notice.customer_id = member.customer_id
            AND (event_time, id) < (CAST(:before AS timestamptz), CAST(:before_id AS uuid))
        ORDER BY event_time DESC, id DESC
        LIMIT :limit
    ) AS own
    ORDER BY own.event_time DESC, own.id DESC
    LIMIT :limit
""")  # noqa: S608  no value but our own list of columns
GET_NOTICE = text(f"SELECT {_VIEW} FROM notice WHERE id = :id")  # noqa: S608  as above
LIST_OF_ORDER = text(f"""
    SELECT {_VIEW} FROM notice WHERE order_id = :order_id ORDER BY event_time, id LIMIT 200
""")  # noqa: S608  as above
LIST_ATTEMPTS = text("""
    SELECT number, at, provider, outcome, code, took_ms FROM attempt
    WHERE notice_id = :id ORDER BY number
""")
LIST_CAUSED = text("""
    SELECT id, customer_id, kind, order_id, state, reason FROM notice
    WHERE cause_id = :id AND cause_source = :source
    LIMIT 100
""")

# The id and the state stay, so that a replay sends nothing twice; everything that names
# anybody goes. What has not gone out never will.
FORGET_NOTICES = text("""
    UPDATE notice
    SET customer_id = NULL, order_id = NULL, cause_source = NULL, cause_id = NULL,
        content = NULL, address = NULL, decision = NULL, traceparent = '',
        lease = CASE WHEN state IN ('created', 'leased') THEN NULL ELSE lease END,
        reason = CASE WHEN state IN ('created', 'leased') THEN 'erased' ELSE reason END,
        settled_at = CASE WHEN state IN ('created', 'leased') THEN now() ELSE settled_at END,
        state = CASE WHEN state IN ('created', 'leased') THEN 'suppressed' ELSE state END
    WHERE customer_id = ANY(CAST(:ids AS text[]))
""")
FORGET = {
    "shop_order": text("DELETE FROM shop_order WHERE customer_id = ANY(CAST(:ids AS text[]))"),
    "contact": text("DELETE FROM contact WHERE customer_id = ANY(CAST(:ids AS text[]))"),
    "consent": text("DELETE FROM consent WHERE customer_id = ANY(CAST(:ids AS text[]))"),
    "customer": text("DELETE FROM customer WHERE customer_id = ANY(CAST(:ids AS text[]))"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A notice as it is shown."""

    id: UUID
    customer_id: str | None
    kind: Kind
    channel: Channel
    state: State
    reason: str | None
    order_id: str | None
    store: str
    template: str | None
    template_version: str | None
    locale: str | None
    address: str | None
    message_id: str | None
    attempts: int
    decision: Mapping[str, Any] | None
    event_time: datetime
    cause_source: str | None
    cause_id: str | None
    due_at: datetime
    created_at: datetime
    settled_at: datetime | None


async def known(conn: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, Reason | None]:
    """Those of these notices that are there, with the reason of the suppressed."""
    rows = await conn.execute(LIST_KNOWN, {"ids": sorted(ids)})
    return {row.id: row.reason for row in rows}


async def add(conn: AsyncConnection, notices: Sequence[Notice]) -> set[UUID]:
    """Which of them are new."""
    rows = await conn.execute(
        ADD_NOTICES,
        {
            "ids": [notice.about.notice_id for notice in notices],
            "customer_ids": [notice.about.customer_id for notice in notices],
            "kinds": [notice.about.kind for notice in notices],
            "channels": [notice.about.channel for notice in notices],
            "order_ids": [notice.about.order_id for notice in notices],
            "stores": [notice.about.store for notice in notices],
            "reasons": [notice.reason for notice in notices],
            "event_times": [notice.time for notice in notices],
            "cause_sources": [notice.cause_source for notice in notices],
            "cause_ids": [notice.cause_id for notice in notices],
            "contents": [
                None if notice.content is None else json.dumps(notice.content) for notice in notices
            ],
            "traceparents": [notice.about.traceparent for notice in notices],
        },
    )
    return set(rows.scalars())


async def list_notices(
    conn: AsyncConnection, members: Collection[str], before: tuple[datetime, UUID], limit: int
) -> list[Row]:
    """The members' notices, newest first, older than `before`."""
    return await db.fetch(
        conn,
        LIST_NOTICES,
        Row,
        customer_ids=sorted(members),
        before=before[0],
        before_id=before[1],
        limit=limit,
    )


async def get(conn: AsyncConnection, notice_id: UUID) -> Row | None:
    return await db.fetch_one(conn, GET_NOTICE, Row, id=notice_id)


async def list_of_order(conn: AsyncConnection, order_id: str) -> list[Row]:
    return await db.fetch(conn, LIST_OF_ORDER, Row, order_id=order_id)


async def list_attempts(conn: AsyncConnection, notice_id: UUID) -> list[dict[str, Any]]:
    rows = await conn.execute(LIST_ATTEMPTS, {"id": notice_id})
    return [dict(row) for row in rows.mappings()]


async def caused(conn: AsyncConnection, source: str, event_id: str) -> list[dict[str, Any]]:
    """The notices that the event gave rise to."""
    rows = await conn.execute(LIST_CAUSED, {"source": source, "id": event_id})
    return [{"what": "notice"} | dict(row) for row in rows.mappings()]


async def erase(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, int]:
    """Forget customers; how many rows went or were made nameless, by table."""
    ids = {"ids": sorted(customer_ids)}
    gone = {"notice": (await conn.execute(FORGET_NOTICES, ids)).rowcount}
    for table, statement in FORGET.items():
        gone[table] = (await conn.execute(statement, ids)).rowcount
    return gone
