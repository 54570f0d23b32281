"""What counts for a tier, day by day; and every tier that was told, with its reason."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.levels.ladder import Entry
from services.loyalty.levels.tiers import Bucket
from shared import db

# The accounts are locked, so a day that is not there stays so until it is inserted.
ADD_TO_DAYS = text("""
    WITH new AS (
        SELECT * FROM unnest(
            CAST(:account_ids AS uuid[]), CAST(:days AS date[]), CAST(:spend_minor AS bigint[]),
            CAST(:orders AS int[]), CAST(:points AS bigint[])
        ) AS new (account_id, day, spend_minor, orders, points)
    ), known AS (
        UPDATE qualifying AS q
        SET spend_minor = q.spend_minor + new.spend_minor, orders = q.orders + new.orders,
            points = q.points + new.points
        FROM new
        WHERE q.account_id = new.account_id AND q.day = new.day
        RETURNING q.account_id, q.day
    )
    INSERT INTO qualifying (account_id, day, spend_minor, orders, points)
    SELECT account_id, day, spend_minor, orders, points FROM new
    WHERE (account_id, day) NOT IN (SELECT account_id, day FROM known)
""")
HISTORY = (
    "account_id",
    "version",
    "tier",
    "before",
    "direction",
    "reason",
    "at",
    "valid_until",
    "qualifying",
    "document",
    "cause_source",
    "cause_id",
)
LIST_HISTORY = text("""
    SELECT h.* FROM unnest(ARRAY(
        SELECT account_id FROM member WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    )) AS own (account_id)
    CROSS JOIN LATERAL (
        SELECT seq, version, tier, before, direction, reason, at, valid_until, qualifying,
            document, cause_source, cause_id, recorded_at
        FROM tier_history
        WHERE tier_history.account_id = own.account_id AND seq < :before
        ORDER BY seq DESC LIMIT :limit
    ) AS h
    ORDER BY seq DESC LIMIT :limit
""")
LIST_DAYS = text("""
    SELECT m.customer_id, q.day, q.spend_minor, q.orders, q.points
    FROM member AS m JOIN qualifying AS q USING (account_id)
    WHERE m.customer_id = ANY(CAST(:customer_ids AS text[])) AND q.day >= :since
    ORDER BY q.day, m.customer_id
""")
FORGET_STANDINGS = text("""
    DELETE FROM standing USING member AS m
    WHERE m.account_id = standing.account_id
        AND m.customer_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET_DAYS = text("""
    DELETE FROM qualifying USING member AS m
    WHERE m.account_id = qualifying.account_id
        AND m.customer_id = ANY(CAST(:customer_ids AS text[]))
""")


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of the history."""

    seq: int
    version: int
    tier: str
    before: str
    direction: str
    reason: str
    at: datetime
    valid_until: datetime | None
    qualifying: int
    document: str
    cause_source: str
    cause_id: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Day:
    """What one business day of one id counts for."""

    customer_id: str
    day: date
    spend_minor: int
    orders: int
    points: int


async def add_to_days(conn: AsyncConnection, changes: Mapping[tuple[UUID, date], Bucket]) -> None:
    """What the days count for more, or less; the accounts are locked."""
    if changes:
        await conn.execute(
            ADD_TO_DAYS,
            {
                "account_ids": [account_id for account_id, _ in changes],
                "days": [day for _, day in changes],
                "spend_minor": [bucket.spend_minor for bucket in changes.values()],
                "orders": [bucket.orders for bucket in changes.values()],
                "points": [bucket.points for bucket in changes.values()],
            },
        )


async def append(conn: AsyncConnection, entries: Collection[Entry]) -> None:
    """Add to the history; the order of writing is its order."""
    if entries:
        await db.copy_rows(conn, "tier_history", HISTORY, map(_row, entries))


def _row(entry: Entry) -> tuple[Any, ...]:
    """In the order of HISTORY."""
    move = entry.move
    return (
        entry.account_id,
        move.version,
        move.tier,
        move.before,
        move.direction,
        move.why,
        move.at,
        move.valid_until,
        move.counter,
        entry.document,
        entry.cause_source,
        entry.cause_id,
    )


async def list_history(
    conn: AsyncConnection, customer_ids: Iterable[str], before: int, limit: int
) -> list[Told]:
    """What was told of these ids, the last first."""
    wanted = sorted(set(customer_ids))
    return await db.fetch(conn, LIST_HISTORY, Told, customer_ids=wanted, before=before, limit=limit)


async def list_days(conn: AsyncConnection, customer_ids: Iterable[str], since: date) -> list[Day]:
    """What counts, by day and id."""
    wanted = sorted(set(customer_ids))
    return await db.fetch(conn, LIST_DAYS, Day, customer_ids=wanted, since=since)


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, int]:
    """Delete what counts and what is had; the history stays, of an account that is nobody's.

    Before the links to the accounts are deleted.
    """
    wanted = {"customer_ids": sorted(customer_ids)}
    return {
        "standing": (await conn.execute(FORGET_STANDINGS, wanted)).rowcount,
        "qualifying": (await conn.execute(FORGET_DAYS, wanted)).rowcount,
    }
