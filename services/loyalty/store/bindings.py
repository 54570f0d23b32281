"""Whom external ids stand for: one customer each, whoever binds at the same time."""

from collections.abc import Collection
from typing import NamedTuple

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.members.bindings import Binding, ExternalId
from shared import db

FIND_HOT = """
    SELECT type, issuer, value, customer_id, bound_at
    FROM binding WHERE value = $1 AND issuer = $2 AND type = $3
"""
FIND = text("""
    SELECT type, issuer, value, customer_id, bound_at
    FROM binding WHERE value = :value AND issuer = :issuer AND type = :type
""")
# Of two at once the later waits here for the earlier to commit, and then adds nothing. What is
# added and its record in the audit log are one statement, hence one transaction.
ADD_HOT = """
    WITH added AS (
        INSERT INTO binding (value, issuer, type, customer_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING
        RETURNING type, issuer, value, customer_id, bound_at
    ), recorded AS (
        INSERT INTO audit (caller, action, subject, request_id, detail)
        SELECT $5, $6, customer_id, $7, jsonb_build_object('type', type, 'issuer', issuer)
        FROM added
    )
    SELECT type, issuer, value, customer_id, bound_at FROM added
"""
REMOVE = text("""
    DELETE FROM binding
    WHERE value = :value AND issuer = :issuer AND type = :type
        AND customer_id = ANY(CAST(:customer_ids AS text[]))
""")
LIST_OF_PERSON = text("""
    SELECT type, issuer, value, customer_id, bound_at
    FROM binding WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY type, issuer, value
""")
FORGET = text("DELETE FROM binding WHERE customer_id = ANY(CAST(:customer_ids AS text[]))")


class Asked(NamedTuple):
    """Who asked for a change, for the audit log."""

    caller: str
    action: str
    request_id: str


async def find_hot(pool: asyncpg.Pool, wanted: ExternalId) -> Binding | None:
    row = await pool.fetchrow(FIND_HOT, wanted.value, wanted.issuer, wanted.type)
    return Binding(*row) if row else None


async def find(conn: AsyncConnection, wanted: ExternalId) -> Binding | None:
    return await db.fetch_one(conn, FIND, Binding, **wanted.model_dump())


async def add_hot(
    pool: asyncpg.Pool, wanted: ExternalId, customer_id: str, asked: Asked
) -> Binding | None:
    """The new binding, committed and recorded; None if the id stands for somebody already."""
    key = (wanted.value, wanted.issuer, wanted.type)
    row = await pool.fetchrow(ADD_HOT, *key, customer_id, *asked)
    return Binding(*row) if row else None


async def remove(conn: AsyncConnection, wanted: ExternalId, customer_ids: Collection[str]) -> bool:
    """Whether it stood for one of these, and now for nobody."""
    bound = wanted.model_dump() | {"customer_ids": sorted(customer_ids)}
    return bool((await conn.execute(REMOVE, bound)).rowcount)


async def list_of_person(conn: AsyncConnection, customer_ids: Collection[str]) -> list[Binding]:
    return await db.fetch(conn, LIST_OF_PERSON, Binding, customer_ids=sorted(customer_ids))


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Delete what stands for these customers; how many there were."""
    return (await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})).rowcount
