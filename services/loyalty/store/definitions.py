"""What the store has laid down: read whole, kept in memory, and read again when it has grown.

There are hundreds of definitions and millions of orders, so a process asks once for each
batch or request whether there is a newer one.
"""

from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.kinds import KINDS
from services.loyalty.terms.definitions import Book, Definition, Version
from shared import db

GET_LAST = text("SELECT seq FROM definition ORDER BY seq DESC LIMIT 1")
LIST_ALL = text("SELECT kind, id, version, starts_at, document FROM definition ORDER BY seq")
# One at a time: whoever has read a `seq` has then read all before it.
LOCK = text("SELECT pg_advisory_xact_lock(hashtext('loyalty definitions'))")
ADD = text("""
    INSERT INTO definition (kind, id, version, document, starts_at, created_by)
    VALUES (:kind, :id, :version, CAST(:document AS jsonb), :starts_at, :created_by)
""")

_books: WeakKeyDictionary[Engine, tuple[int, Book]] = WeakKeyDictionary()


class Superseded(Exception):
    """Somebody else laid down this version meanwhile."""


async def book(conn: AsyncConnection) -> Book:
    """All definitions, as committed now."""
    rows = await db.run(conn, GET_LAST)
    last = rows[0][0] if rows else 0
    engine = conn.engine.sync_engine
    known, found = _books.get(engine, (-1, Book()))
    if known != last:
        rows = await db.run(conn, LIST_ALL)
        found = Book(_version(*row) for row in rows if row[0] in KINDS)
        _books[engine] = (last, found)
    return found


async def hot_book(pool: asyncpg.Pool, engine: AsyncEngine) -> Book:
    """The same for a hot read: one statement on its pool, unless there is something new."""
    last = await pool.fetchval(GET_LAST.text) or 0
    known, found = _books.get(engine.sync_engine, (-1, Book()))
    if known == last:
        return found
    async with engine.connect() as conn:
        return await book(conn)


async def add(conn: AsyncConnection, version: Version[Definition], created_by: str) -> None:
    """Append a version; Superseded if it is there already."""
    kind = type(version.body).__name__
    await conn.execute(LOCK)
    try:
        async with conn.begin_nested():
            await conn.execute(
                ADD,
                {
                    "kind": kind,
                    "id": version.id,
                    "version": version.version,
                    "document": version.body.model_dump_json(),
                    "starts_at": version.starts_at,
                    "created_by": created_by,
                },
            )
    except IntegrityError as error:
        raise Superseded from error


def _version(
    kind: str, id_: str, number: int, starts_at: datetime, document: dict[str, Any]
) -> tuple[str, Version[Definition]]:
    return kind, Version(id_, number, starts_at, KINDS[kind].model_validate(document))
