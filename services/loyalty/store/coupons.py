"""Coupons: one row each, found by owner, by the digest of its code, or by its order.

A row is locked by whoever changes it; who locks accounts as well locks those first.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.benefits.coupons import Coupon, Step
from services.loyalty.books.lots import Part
from shared import db

COUPON = (
    "id",
    "customer_id",
    "reward_id",
    "reward_version",
    "issued_at",
    "expires_at",
    "state",
    "code",
    "digest",
    "points",
    "parts",
    "order_id",
    "reserved_until",
    "step",
)
STEP = (
    "coupon_id",
    "step",
    "action",
    "state",
    "refused",
    "order_id",
    "at",
    "cause_source",
    "cause_id",
)

LOAD = text("""
    SELECT id, customer_id, reward_id, reward_version, issued_at, expires_at, state, code, digest,
        points, parts, order_id, reserved_until, step
    FROM coupon WHERE id = ANY(CAST(:ids AS uuid[]))
""")
LOAD_BY_DIGEST = text("""
    SELECT id, customer_id, reward_id, reward_version, issued_at, expires_at, state, code, digest,
        points, parts, order_id, reserved_until, step
    FROM coupon WHERE digest = ANY(CAST(:digests AS bytea[]))
""")
# In the order of their ids, so that two batches or checkouts cannot deadlock.
LOCK = text("""
    SELECT id, customer_id, reward_id, reward_version, issued_at, expires_at, state, code, digest,
        points, parts, order_id, reserved_until, step
    FROM coupon
    WHERE id IN (
        SELECT id FROM coupon WHERE digest = ANY(CAST(:digests AS bytea[]))
        UNION ALL
        SELECT id FROM coupon WHERE order_id = ANY(CAST(:order_ids AS text[]))
    )
    ORDER BY id
    FOR UPDATE
""")
LOCK_BY_ID = text("""
    SELECT id, customer_id, reward_id, reward_version, issued_at, expires_at, state, code, digest,
        points, parts, order_id, reserved_until, step
    FROM coupon WHERE id = ANY(CAST(:ids AS uuid[]))
    ORDER BY id
    FOR UPDATE
""")
LIST_USED = text("""
    SELECT id, customer_id, reward_id, reward_version, issued_at, expires_at, state, code, digest,
        points, parts, order_id, reserved_until, step
    FROM coupon WHERE order_id = ANY(CAST(:order_ids AS text[])) AND state = 'used'
""")
RELEASE = text("""
    UPDATE coupon SET code = NULL, digest = NULL
    WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'void'
""")
LIST_OF_PERSON = text("""
    SELECT own.*
    FROM unnest(CAST(:customer_ids AS text[])) AS wanted (customer_id)
    CROSS JOIN LATERAL (
        SELECT id, customer_id, reward_id, reward_version, issued_at, expires_at, state, code,
            digest, points, parts, order_id, reserved_until, step
        FROM coupon
        WHERE coupon.customer_id = wanted.customer_id
            AND (issued_at, id) < (CAST(:issued_before AS timestamptz), CAST(:before AS uuid))
        ORDER BY issued_at DESC, id DESC
        LIMIT :coupons_max
    ) AS own
    ORDER BY own.issued_at DESC, own.id DESC
    LIMIT :coupons_max
""")
COUNT_GOT = text("""
    SELECT wanted.reward_id, count(coupon.id)
    FROM unnest(CAST(:reward_ids AS text[]), CAST(:since AS timestamptz[]))
        AS wanted (reward_id, since)
    JOIN coupon ON coupon.customer_id = ANY(CAST(:customer_ids AS text[]))
        AND coupon.reward_id = wanted.reward_id AND coupon.issued_at >= wanted.since
    WHERE coupon.state <> 'void'
    GROUP BY wanted.reward_id
""")
LIST_HAD = text("""
    SELECT DISTINCT customer_id, reward_id FROM coupon
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
        AND reward_id = ANY(CAST(:reward_ids AS text[]))
        AND issued_at >= CAST(:since AS timestamptz) AND issued_at < CAST(:until AS timestamptz)
""")
SAVE = text("""
    UPDATE coupon
    SET state = new.state, order_id = new.order_id, reserved_until = new.reserved_until,
        step = new.step, code = CASE WHEN new.state = 'void' THEN NULL ELSE coupon.code END
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:order_ids AS text[]),
        CAST(:reserved_until AS timestamptz[]), CAST(:steps AS int[])
    ) AS new (id, state, order_id, reserved_until, step)
    WHERE coupon.id = new.id AND coupon.step < new.step
""")
# Nobody's any more: what was not used is worth nothing, what a checkout holds runs its course.
FORGET = text("""
    UPDATE coupon
    SET customer_id = NULL, code = NULL,
        state = CASE WHEN state = 'issued' THEN 'void' ELSE state END
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)
LAST_ID = UUID(int=(1 << 128) - 1)


async def load(conn: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Coupon]:
    """Coupons by id."""
    found = await db.fetch(conn, LOAD, _coupon, ids=sorted(set(ids)))
    return {one.id: one for one in found}


async def load_by_digest(conn: AsyncConnection, digests: Iterable[bytes]) -> dict[bytes, Coupon]:
    """Coupons by the digests of their codes; not locked."""
    found = await db.fetch(conn, LOAD_BY_DIGEST, _coupon, digests=sorted(set(digests)))
    return {one.digest: one for one in found if one.digest}


async def lock(
    conn: AsyncConnection, digests: Iterable[bytes], order_ids: Iterable[str] = ()
) -> list[Coupon]:
    """The coupons with these codes, and those that these orders hold or have used; locked."""
    wanted, orders = sorted(set(digests)), sorted(set(order_ids))
    return await db.fetch(conn, LOCK, _coupon, digests=wanted, order_ids=orders)


async def lock_by_id(conn: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Coupon]:
    """The coupons, locked in the order of their ids."""
    found = await db.fetch(conn, LOCK_BY_ID, _coupon, ids=sorted(set(ids)))
    return {one.id: one for one in found}


async def list_used(conn: AsyncConnection, order_ids: Iterable[str]) -> list[Coupon]:
    """The coupons that these orders have used; not locked."""
    return await db.fetch(conn, LIST_USED, _coupon, order_ids=sorted(order_ids))


async def release(conn: AsyncConnection, ids: Iterable[UUID]) -> None:
    """Forget the codes of these void coupons, so that they can be brought once more."""
    await conn.execute(RELEASE, {"ids": sorted(ids)})


async def list_of_person(
    conn: AsyncConnection,
    customer_ids: Iterable[str],
    before: tuple[datetime, UUID],
    count: int,
) -> list[Coupon]:
    """The newest `count` coupons of these ids that were issued before a place in that order."""
    return await db.fetch(
        conn,
        LIST_OF_PERSON,
        _coupon,
        customer_ids=sorted(customer_ids),
        issued_before=before[0],
        before=before[1],
        coupons_max=count,
    )


async def count_got(
    conn: AsyncConnection, customer_ids: Iterable[str], since: dict[str, datetime]
) -> dict[str, int]:
    """How many of each reward these ids have got since its time, but for void ones."""
    if not since:
        return {}
    bound = {
        "customer_ids": sorted(customer_ids),
        "reward_ids": list(since),
        "since": list(since.values()),
    }
    rows = await conn.execute(COUNT_GOT, bound)
    return dict(map(tuple, rows))


async def list_had(
    conn: AsyncConnection,
    customer_ids: Iterable[str],
    reward_ids: Iterable[str],
    since: datetime = BEGINNING,
    until: datetime = END,
) -> set[tuple[str, str]]:
    """Which of these ids have been issued which of these rewards, also if it is void now."""
    bound = {
        "customer_ids": sorted(customer_ids),
        "reward_ids": sorted(reward_ids),
        "since": since,
        "until": until,
    }
    return {tuple(row) for row in await conn.execute(LIST_HAD, bound)}


async def add(conn: AsyncConnection, new: Collection[Coupon]) -> None:
    """Coupons that are not there yet."""
    if new:
        await db.copy_rows(conn, "coupon", COUPON, map(_row, new))


async def save(conn: AsyncConnection, changed: Collection[Coupon]) -> None:
    """The next steps of locked coupons."""
    if changed:
        saved = await conn.execute(
            SAVE,
            {
                "ids": [one.id for one in changed],
                "states": [one.state for one in changed],
                "order_ids": [one.order_id for one in changed],
                "reserved_until": [one.reserved_until for one in changed],
                "steps": [one.step for one in changed],
            },
        )
        assert saved.rowcount == len(changed), "a locked coupon makes its next step"


async def add_steps(conn: AsyncConnection, steps: Collection[Step]) -> None:
    """Append to the coupons' histories."""
    if steps:
        await db.copy_rows(conn, "coupon_step", STEP, map(_step, steps))


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Take the customers' names and codes from their coupons; how many there were."""
    done = await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})
    return done.rowcount


def _coupon(*row: Any) -> Coupon:
    """From a row, whose parts are a list."""
    parts = tuple(Part(UUID(lot), points) for lot, points in row[10])
    one = Coupon(
        id=row[0],
        customer_id=row[1],
        reward_id=row[2],
        reward_version=row[3],
        issued_at=row[4],
        expires_at=row[5],
        state=row[6],
        code=row[7],
        digest=row[8],
        points=row[9],
    )
    return replace(one, parts=parts, order_id=row[11], reserved_until=row[12], step=row[13])


def _row(one: Coupon) -> tuple[Any, ...]:
    """In the order of COUPON."""
    parts = to_json([[str(part.lot_id), part.points] for part in one.parts]).decode()
    values = {name: getattr(one, name) for name in COUPON} | {"parts": parts}
    return tuple(values[name] for name in COUPON)


def _step(step: Step) -> tuple[Any, ...]:
    """In the order of STEP."""
    one, cause = step.coupon, step.cause
    return (
        one.id,
        one.step,
        step.action,
        one.state,
        step.refused,
        step.order_id,
        cause.time,
        cause.source,
        cause.id,
    )
