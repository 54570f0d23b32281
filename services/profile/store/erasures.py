"""Forgetting a person up to a time, and the receipts of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.envelope import Event
from shared.events.erasures import ErasureCompleted
from shared.events.profiles import ErasureRequested

ALWAYS = datetime.max.replace(tzinfo=UTC)

MARK_ERASING = text("""
    UPDATE profile AS p SET erasing_until = greatest(p.erasing_until, new.until)
    FROM (
        SELECT customer_id, max(until) AS until
        FROM unnest(CAST(:customer_ids AS text[]), CAST(:untils AS timestamptz[]))
            AS asked (customer_id, until)
        GROUP BY customer_id
    ) AS new
    WHERE p.customer_id = new.customer_id
""")

DISSOLVE = text("""
    DELETE FROM identity WHERE member_id = ANY(CAST(:customer_ids AS text[]))
""")

# Until when each id is erased: as told, else as this service asked for, else altogether.
LOCK_UNTIL = text("""
    SELECT customer_id, coalesce(CAST(:until AS timestamptz), erasing_until) FROM profile
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY customer_id
    FOR UPDATE
""")

ERASE = {
    "timeline": text("""
        DELETE FROM timeline WHERE customer_id = :customer_id AND time <= :until
    """),
    "order_state": text("""
        DELETE FROM order_state WHERE customer_id = :customer_id AND time <= :until
    """),
    "consent": text("""
        DELETE FROM consent WHERE customer_id = :customer_id AND time <= :until
    """),
    "identity_link": text("""
        DELETE FROM identity_link
        WHERE (member_id = :customer_id OR other_id = :customer_id) AND time <= :until
    """),
    "identity": text("""
        DELETE FROM identity
        WHERE (member_id = :customer_id OR home_id = :customer_id) AND time <= :until
    """),
}

ERASE_PROFILES = text("""
    DELETE FROM profile WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")

SETTLE = text("UPDATE profile SET erasing_until = NULL WHERE customer_id = :customer_id")

ADD_REQUESTS = text("""
    INSERT INTO erasure_request (request_id, requested_at, deadline, members)
    SELECT * FROM unnest(
        CAST(:request_ids AS text[]), CAST(:times AS timestamptz[]),
        CAST(:deadlines AS timestamptz[]), CAST(:members AS int[])
    )
    ON CONFLICT DO NOTHING
""")

ADD_RECEIPTS = text("""
    INSERT INTO erasure_receipt (request_id, service, event_id, completed_at, erased, gone_by)
    SELECT request_id, service, event_id, completed_at,
        CAST(erased AS jsonb), CAST(gone_by AS jsonb)
    FROM unnest(
        CAST(:request_ids AS text[]), CAST(:services AS text[]), CAST(:event_ids AS text[]),
        CAST(:times AS timestamptz[]), CAST(:erased AS text[]), CAST(:gone_by AS text[])
    ) AS new (request_id, service, event_id, completed_at, erased, gone_by)
    ON CONFLICT DO NOTHING
""")

GET_REQUEST = text("""
    SELECT request_id, requested_at, deadline, members FROM erasure_request
    WHERE request_id = :request_id
""")

LIST_RECEIPTS = text("""
    SELECT service, completed_at, erased, gone_by FROM erasure_receipt
    WHERE request_id = :request_id
    ORDER BY service, completed_at, event_id
""")


@dataclass(frozen=True, slots=True)
class Request:
    """An erasure, without a name."""

    request_id: str
    requested_at: datetime
    deadline: datetime
    members: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one service erased of one member."""

    service: str
    completed_at: datetime
    erased: dict[str, int]
    gone_by: dict[str, str]


async def ask(conn: AsyncConnection, requests: Collection[Event]) -> None:
    """An erasure begins: what is known up to its time will go, and the ids are one no more."""
    ids = sorted({event.key for event in requests})
    await add_requests(conn, requests)
    await mark_erasing(conn, requests)
    await conn.execute(DISSOLVE, {"customer_ids": ids})


async def mark_erasing(conn: AsyncConnection, requests: Collection[Event]) -> None:
    facts: list[ErasureRequested] = [event.data for event in requests]
    await conn.execute(
        MARK_ERASING,
        {
            "customer_ids": [fact.customer_id for fact in facts],
            "untils": [fact.erased_until for fact in facts],
        },
    )


async def lock_until(
    conn: AsyncConnection, customer_ids: Collection[str], until: datetime | None
) -> dict[str, datetime]:
    """Until when each of these ids is erased."""
    rows = await conn.execute(LOCK_UNTIL, {"customer_ids": sorted(customer_ids), "until": until})
    known = {customer_id: limit for customer_id, limit in rows if limit}
    return {id_: known.get(id_) or until or ALWAYS for id_ in customer_ids}


async def erase(conn: AsyncConnection, customer_id: str, until: datetime) -> dict[str, int]:
    """Delete what is known of an id up to `until`; the rows gone, by table."""
    bound = {"customer_id": customer_id, "until": until}
    return {
        table: (await conn.execute(statement, bound)).rowcount for table, statement in ERASE.items()
    }


async def erase_profiles(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    ids = sorted(customer_ids)
    return (await conn.execute(ERASE_PROFILES, {"customer_ids": ids})).rowcount


async def settle(conn: AsyncConnection, customer_id: str) -> None:
    """The erasure is carried out; what the row holds now is a new person's."""
    await conn.execute(SETTLE, {"customer_id": customer_id})


async def add_requests(conn: AsyncConnection, events: Collection[Event]) -> None:
    """Remember what was asked for, but not about whom."""
    facts: list[tuple[Event, ErasureRequested]] = [(event, event.data) for event in events]
    await conn.execute(
        ADD_REQUESTS,
        {
            "request_ids": [fact.request_id for _, fact in facts],
            "times": [event.time for event, _ in facts],
            "deadlines": [fact.deadline for _, fact in facts],
            "members": [len(fact.members) for _, fact in facts],
        },
    )


async def add_receipts(conn: AsyncConnection, events: Collection[Event]) -> None:
    """Keep what `erasure.completed` says, but for whose it was."""
    facts: list[tuple[Event, ErasureCompleted]] = [(event, event.data) for event in events]
    await conn.execute(
        ADD_RECEIPTS,
        {
            "request_ids": [fact.request_id for _, fact in facts],
            "services": [fact.service for _, fact in facts],
            "event_ids": [event.id for event, _ in facts],
            "times": [event.time for event, _ in facts],
            "erased": [to_json(fact.erased).decode() for _, fact in facts],
            "gone_by": [to_json(fact.gone_by).decode() for _, fact in facts],
        },
    )


async def get_request(conn: AsyncConnection, request_id: str) -> Request | None:
    return await db.fetch_one(conn, GET_REQUEST, Request, request_id=request_id)


async def list_receipts(conn: AsyncConnection, request_id: str) -> list[Receipt]:
    return await db.fetch(conn, LIST_RECEIPTS, Receipt, request_id=request_id)
