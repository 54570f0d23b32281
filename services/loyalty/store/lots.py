"""Dated points: loaded by what earned them or by who spends them, saved with the books.

A lot is only changed by who holds its account's lock, so it needs none of its own.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.lots import Lot
from shared import db

LOT = Lot._fields

SPENDABLE_MAX = 1_000
"""Lots of one account at once: a thousand earnings, the next to expire first."""
LAST = UUID(int=(1 << 128) - 1)
"""Above every account's id."""

LOAD_OF_DOCUMENTS = text("""
    SELECT id, account_id, source, document, store, earned_at, expires_at, points, remaining,
        reserved, used, expired, taken_back
    FROM lot
    WHERE document = ANY(CAST(:documents AS text[])) AND source = :source
""")
LOAD_BY_IDS = text("""
    SELECT id, account_id, source, document, store, earned_at, expires_at, points, remaining,
        reserved, used, expired, taken_back
    FROM lot
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")
LOAD_SPENDABLE = text("""
    SELECT own.*
    FROM unnest(CAST(:account_ids AS uuid[])) AS wanted (account_id)
    CROSS JOIN LATERAL (
        SELECT id, account_id, source, document, store, earned_at, expires_at, points, remaining,
            reserved, used, expired, taken_back
        FROM lot
        WHERE lot.account_id = wanted.account_id AND remaining > 0
        ORDER BY expires_at, earned_at, id
        LIMIT :lots_max
    ) AS own
""")
SAVE_LOTS = text("""
    UPDATE lot
    SET points = new.points, remaining = new.remaining, reserved = new.reserved, used = new.used,
        expired = new.expired, taken_back = new.taken_back
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:points AS bigint[]), CAST(:remaining AS bigint[]),
        CAST(:reserved AS bigint[]), CAST(:used AS bigint[]), CAST(:expired AS bigint[]),
        CAST(:taken_back AS bigint[])
    ) AS new (id, points, remaining, reserved, used, expired, taken_back)
    WHERE lot.id = new.id
""")
LIST_OVER = text("""
    SELECT account_id FROM lot
    WHERE remaining > 0 AND expires_at <= :now
    ORDER BY expires_at, account_id
    LIMIT :lots_max
""")
LOAD_OVER = text("""
    SELECT id, account_id, source, document, store, earned_at, expires_at, points, remaining,
        reserved, used, expired, taken_back
    FROM lot
    WHERE account_id = ANY(CAST(:account_ids AS uuid[])) AND remaining > 0 AND expires_at <= :now
    ORDER BY expires_at, id
""")
LIST_EXPIRING = text("""
    SELECT lot.expires_at, lot.account_id, m.customer_id, sum(lot.remaining)::bigint
    FROM lot JOIN member AS m USING (account_id)
    WHERE remaining > 0 AND expires_at <= :until
        AND (expires_at, account_id) > (CAST(:after AS timestamptz), CAST(:account_id AS uuid))
    GROUP BY lot.expires_at, lot.account_id, m.customer_id
    ORDER BY lot.expires_at, lot.account_id
    LIMIT :accounts_max
""")
GET_SWEEP = text("SELECT until, account_id FROM sweep WHERE name = :name")
SAVE_SWEEP = text("""
    INSERT INTO sweep (name, until, account_id) VALUES (:name, :until, :account_id)
    ON CONFLICT (name) DO UPDATE SET until = excluded.until, account_id = excluded.account_id
""")


@dataclass(frozen=True, slots=True)
class Expiring:
    """Points of one member that expire at one moment."""

    expires_at: datetime
    account_id: UUID
    customer_id: str
    points: int


async def load_of_documents(
    conn: AsyncConnection, source: str, documents: Iterable[str]
) -> list[Lot]:
    """The lots that these documents have earned."""
    wanted = sorted(set(documents))
    return await db.fetch(conn, LOAD_OF_DOCUMENTS, Lot, source=source, documents=wanted)


async def load(conn: AsyncConnection, ids: Iterable[UUID]) -> list[Lot]:
    return await db.fetch(conn, LOAD_BY_IDS, Lot, ids=sorted(set(ids)))


async def load_spendable(
    conn: AsyncConnection, account_ids: Iterable[UUID], lots_max: int = SPENDABLE_MAX
) -> list[Lot]:
    """What remains under each of these accounts, the next to expire first."""
    wanted = sorted(set(account_ids))
    return await db.fetch(conn, LOAD_SPENDABLE, Lot, account_ids=wanted, lots_max=lots_max)


async def save(conn: AsyncConnection, lots: Iterable[Lot], known: Collection[UUID]) -> None:
    """Write lots: those in `known` are there already."""
    by_age = sorted(lots, key=lambda lot: lot.id)
    if new := [lot for lot in by_age if lot.id not in known]:
        await db.copy_rows(conn, "lot", LOT, new)
    if old := [lot for lot in by_age if lot.id in known]:
        columns = ("points", "remaining", "reserved", "used", "expired", "taken_back")
        bound = {name: [getattr(lot, name) for lot in old] for name in columns}
        await conn.execute(SAVE_LOTS, bound | {"ids": [lot.id for lot in old]})


async def list_over(conn: AsyncConnection, now: datetime, lots_max: int) -> list[UUID]:
    """The accounts of the lots that were over first and still hold points."""
    rows = await conn.execute(LIST_OVER, {"now": now, "lots_max": lots_max})
    return sorted(set(rows.scalars()))


async def load_over(conn: AsyncConnection, account_ids: Iterable[UUID], now: datetime) -> list[Lot]:
    """The lots of these accounts that are over and still hold points."""
    wanted = sorted(set(account_ids))
    return await db.fetch(conn, LOAD_OVER, Lot, account_ids=wanted, now=now)


async def list_expiring(
    conn: AsyncConnection, after: tuple[datetime, UUID], until: datetime, accounts_max: int
) -> list[Expiring]:
    """Who will lose points, in the order of dates and accounts, after a place in that order."""
    return await db.fetch(
        conn,
        LIST_EXPIRING,
        Expiring,
        after=after[0],
        account_id=after[1],
        until=until,
        accounts_max=accounts_max,
    )


async def get_sweep(conn: AsyncConnection, name: str) -> tuple[datetime, UUID] | None:
    """How far a sweep has come."""
    row = (await conn.execute(GET_SWEEP, {"name": name})).one_or_none()
    return (row.until, row.account_id) if row else None


async def save_sweep(conn: AsyncConnection, name: str, until: datetime, account_id: UUID) -> None:
    await conn.execute(SAVE_SWEEP, {"name": name, "until": until, "account_id": account_id})
