"""Points set aside for checkouts. A row is only changed under the locks of its accounts."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.ledger import Account
from services.loyalty.books.lots import Part
from services.loyalty.spending.reservations import Reservation, Shortfall
from shared import db

LOAD = text("""
    SELECT id, customer_id, account_ids, store, points, amount_minor, currency, expires_at, parts,
        order_id, state, confirmed, given_back, step, points_per_unit
    FROM reservation
    WHERE id = ANY(CAST(:ids AS text[]))
""")
# In the order of customer ids, as every lock on balances.
LOCK_ACCOUNTS = text("""
    SELECT coalesce(m.customer_id, ''), b.account_id, b.pending, b.active, b.reserved, b.owed,
        b.version
    FROM balance AS b LEFT JOIN member AS m USING (account_id)
    WHERE b.account_id = ANY(
        (SELECT account_ids FROM reservation WHERE id = CAST(:id AS text))::uuid[]
    )
    ORDER BY m.customer_id NULLS LAST, b.account_id
    FOR UPDATE OF b
""")
LOAD_OVERDUE = text("""
    SELECT id, customer_id, account_ids, store, points, amount_minor, currency, expires_at, parts,
        order_id, state, confirmed, given_back, step, points_per_unit
    FROM reservation
    WHERE customer_id = ANY(CAST(:customer_ids AS text[])) AND state = 'reserved'
        AND expires_at <= :now
    ORDER BY id
""")
LIST_DUE = text("""
    SELECT id, account_ids FROM reservation
    WHERE state = 'reserved' AND expires_at <= :now
    ORDER BY expires_at
    LIMIT :reservations_max
""")
ADD = text("""
    INSERT INTO reservation (id, customer_id, account_ids, store, points, amount_minor, currency,
        expires_at, parts, order_id, state, confirmed, given_back, step, points_per_unit)
    VALUES (:id, :customer_id, CAST(:account_ids AS uuid[]), :store, :points, :amount_minor,
        :currency, :expires_at, CAST(:parts AS jsonb), :order_id, :state, :confirmed, :given_back,
        :step, :points_per_unit)
""")
SAVE = text("""
    UPDATE reservation
    SET order_id = new.order_id, state = new.state, confirmed = new.confirmed,
        given_back = new.given_back, step = new.step, parts = new.parts
    FROM unnest(
        CAST(:ids AS text[]), CAST(:order_ids AS text[]), CAST(:states AS text[]),
        CAST(:confirmed AS bigint[]), CAST(:given_back AS bigint[]), CAST(:steps AS int[]),
        CAST(:parts AS jsonb[])
    ) AS new (id, order_id, state, confirmed, given_back, step, parts)
    WHERE reservation.id = new.id AND reservation.step < new.step
""")
OWNERS = text("""
    SELECT customer_id FROM member WHERE account_id = ANY(CAST(:account_ids AS uuid[]))
""")
LOAD_SHORTFALLS = text("""
    SELECT order_id, reservation_id FROM shortfall WHERE order_id = ANY(CAST(:order_ids AS text[]))
""")
SHORTFALL = ("order_id", "reservation_id", "points", "reason")
FORGET = text("""
    UPDATE reservation SET customer_id = NULL
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")


async def load(conn: AsyncConnection, ids: Iterable[str]) -> dict[str, Reservation]:
    """Reservations by id."""
    found = await db.fetch(conn, LOAD, _reservation, ids=sorted(set(ids)))
    return {one.id: one for one in found}


async def lock_accounts(conn: AsyncConnection, id_: str) -> list[Account]:
    """The accounts that a reservation is booked on, locked; none if there is no such."""
    return await db.fetch(conn, LOCK_ACCOUNTS, Account, id=id_)


async def load_overdue(
    conn: AsyncConnection, customer_ids: Iterable[str], now: datetime
) -> list[Reservation]:
    """Those of a person whose time is over, and which the job has not come to."""
    ids = sorted(customer_ids)
    return await db.fetch(conn, LOAD_OVERDUE, _reservation, customer_ids=ids, now=now)


async def list_due(
    conn: AsyncConnection, now: datetime, reservations_max: int
) -> list[tuple[str, list[UUID]]]:
    """The reservations that have been overdue the longest, and their accounts."""
    rows = await conn.execute(LIST_DUE, {"now": now, "reservations_max": reservations_max})
    return [(row.id, row.account_ids) for row in rows]


async def add(conn: AsyncConnection, new: Reservation) -> None:
    await db.run(
        conn,
        ADD,
        id=new.id,
        customer_id=new.customer_id,
        account_ids=list(new.account_ids),
        store=new.store,
        points=new.points,
        amount_minor=new.amount_minor,
        currency=new.currency,
        expires_at=new.expires_at,
        parts=_parts(new),
        order_id=new.order_id,
        state=new.state,
        confirmed=new.confirmed,
        given_back=new.given_back,
        step=new.step,
        points_per_unit=new.points_per_unit,
    )


async def save(conn: AsyncConnection, changed: Collection[Reservation]) -> None:
    """The next steps of reservations; one that made none is left as it is."""
    if changed:
        ordered = sorted(changed, key=lambda one: one.id)
        await db.run(
            conn,
            SAVE,
            ids=[one.id for one in ordered],
            order_ids=[one.order_id for one in ordered],
            states=[one.state for one in ordered],
            confirmed=[one.confirmed for one in ordered],
            given_back=[one.given_back for one in ordered],
            steps=[one.step for one in ordered],
            parts=[_parts(one) for one in ordered],
        )


async def owners_of(conn: AsyncConnection, account_ids: Iterable[UUID]) -> list[str]:
    """The customer ids of accounts: whom to lock."""
    rows = await conn.execute(OWNERS, {"account_ids": sorted(set(account_ids))})
    return list(rows.scalars())


async def load_shortfalls(conn: AsyncConnection, order_ids: Iterable[str]) -> set[tuple[str, str]]:
    rows = await conn.execute(LOAD_SHORTFALLS, {"order_ids": sorted(set(order_ids))})
    return {(row.order_id, row.reservation_id) for row in rows}


async def add_shortfalls(conn: AsyncConnection, new: Collection[Shortfall]) -> None:
    if new:
        rows = [(one.order_id, one.reservation_id, one.points, one.reason) for one in new]
        await db.copy_rows(conn, "shortfall", SHORTFALL, rows)


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Take the customers' names from their reservations; how many there were."""
    done = await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})
    return done.rowcount


def _reservation(*row: Any) -> Reservation:
    """From a row, whose arrays and parts are lists."""
    one = Reservation(*row)
    parts = tuple(Part(UUID(lot), points) for lot, points in row[8])
    return replace(one, account_ids=tuple(row[2]), parts=parts)


def _parts(one: Reservation) -> str:
    return to_json([[str(part.lot_id), part.points] for part in one.parts]).decode()
