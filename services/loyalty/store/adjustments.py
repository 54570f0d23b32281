"""Adjustments by hand: asked for, waiting, decided."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.adjusting import Adjustment
from shared import db

COLUMNS = (
    "id, customer_id, points, reason, note, store, expires_at, state, waits_for, inputs,"
    " requested_by, requested_at, decided_by, decided_at, comment"
)
ADD = text(f"""
    INSERT INTO adjustment ({COLUMNS})
    VALUES (:id, :customer_id, :points, :reason, :note, :store, :expires_at, :state,
        CAST(:waits_for AS text[]), CAST(:inputs AS jsonb), :requested_by, :requested_at,
        :decided_by, :decided_at, :comment)
""")  # noqa: S608 -- constants
GET = text(f"SELECT {COLUMNS} FROM adjustment WHERE id = :id")  # noqa: S608
LOCK = text(f"SELECT {COLUMNS} FROM adjustment WHERE id = :id FOR UPDATE")  # noqa: S608
LIST_NEWEST = text(f"""
    SELECT {COLUMNS} FROM adjustment
    WHERE (requested_at, id) < (:before, :before_id)
    ORDER BY requested_at DESC, id DESC LIMIT :rows_max
""")  # noqa: S608
LIST_WAITING = text(f"""
    SELECT {COLUMNS} FROM adjustment
    WHERE state = 'waiting' AND (requested_at, id) < (:before, :before_id)
    ORDER BY requested_at DESC, id DESC LIMIT :rows_max
""")  # noqa: S608
DECIDE = text("""
    UPDATE adjustment
    SET state = :state, decided_by = :decided_by, decided_at = :decided_at, comment = :comment,
        expires_at = :expires_at
    WHERE id = :id
""")
# One caller's requests take turns, or two at once would each see a day without the other.
LOCK_CALLER = text("SELECT pg_advisory_xact_lock(hashtext('adjustments by ' || :caller))")
SUM_DAY = text("""
    SELECT coalesce(sum(abs(points)), 0)::bigint FROM adjustment
    WHERE requested_by = :caller AND requested_at >= :since AND requested_at < :until
        AND state <> 'declined'
""")
FORGET = text("""
    UPDATE adjustment SET customer_id = NULL, note = '', comment = '',
        state = CASE state WHEN 'waiting' THEN 'declined' ELSE state END
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")


async def add(conn: AsyncConnection, adjustment: Adjustment) -> None:
    await conn.execute(ADD, _row(adjustment))


async def get(conn: AsyncConnection, id_: UUID) -> Adjustment | None:
    return await db.fetch_one(conn, GET, _adjustment, id=id_)


async def lock(conn: AsyncConnection, id_: UUID) -> Adjustment | None:
    """As it is now, locked until commit; the customer's accounts are locked before it."""
    return await db.fetch_one(conn, LOCK, _adjustment, id=id_)


async def list_newest(
    conn: AsyncConnection, before: tuple[datetime, UUID], count: int, *, waiting: bool
) -> list[Adjustment]:
    at, id_ = before
    sql = LIST_WAITING if waiting else LIST_NEWEST
    return await db.fetch(conn, sql, _adjustment, before=at, before_id=id_, rows_max=count)


async def save_decision(conn: AsyncConnection, decided: Adjustment) -> None:
    row = _row(decided)
    names = ("id", "state", "decided_by", "decided_at", "comment", "expires_at")
    await conn.execute(DECIDE, {name: row[name] for name in names})


async def lock_caller(conn: AsyncConnection, caller: str) -> None:
    await conn.execute(LOCK_CALLER, {"caller": caller})


async def sum_day(conn: AsyncConnection, caller: str, since: datetime, until: datetime) -> int:
    """Points that the caller asked to give or take in that time, but for what was declined."""
    found = await conn.execute(SUM_DAY, {"caller": caller, "since": since, "until": until})
    return int(found.scalar_one())


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    done = await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})
    return done.rowcount


def _row(adjustment: Adjustment) -> dict[str, Any]:
    return {
        "id": adjustment.id,
        "customer_id": adjustment.customer_id,
        "points": adjustment.points,
        "reason": adjustment.reason,
        "note": adjustment.note,
        "store": adjustment.store,
        "expires_at": adjustment.expires_at,
        "state": adjustment.state,
        "waits_for": list(adjustment.waits_for),
        "inputs": to_json(adjustment.inputs).decode(),
        "requested_by": adjustment.requested_by,
        "requested_at": adjustment.requested_at,
        "decided_by": adjustment.decided_by,
        "decided_at": adjustment.decided_at,
        "comment": adjustment.comment,
    }


def _adjustment(*row: Any) -> Adjustment:
    told = list(row)
    told[8] = tuple(told[8])
    return Adjustment(*told)
