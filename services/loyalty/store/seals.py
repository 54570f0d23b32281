"""Blocks of sealed journals, and the journals that wait to be sealed."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books import chain
from services.loyalty.books.chain import Block, Record
from shared import db

TAKE_UNSEALED = text("""
    DELETE FROM unsealed WHERE journal_id IN (
        SELECT journal_id FROM unsealed ORDER BY journal_id LIMIT :journals_max
    )
    RETURNING journal_id
""")
# The store came with the accounting date, so what was sealed before is sealed without either.
LIST_JOURNALS = text("""
    SELECT id, account_id, source, document, revision, kind, event_time, recorded_at,
        cause_source, cause_id, cause_topic, cause_partition, cause_offset, accounting_date,
        refers_to, CASE WHEN accounting_date IS NOT NULL THEN store END AS store
    FROM journal WHERE id = ANY(CAST(:ids AS uuid[]))
""")
JOURNAL = (
    *("id", "account_id", "source", "document", "revision", "kind", "event_time", "recorded_at"),
    *("cause_source", "cause_id", "cause_topic", "cause_partition", "cause_offset"),
    *("accounting_date", "refers_to", "store"),
)
LIST_POSTINGS = text("""
    SELECT journal_id, position, account_id, line, lot_id, debit, credit, points
    FROM posting WHERE journal_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY journal_id, position
""")
GET_LAST = text("""
    SELECT block, previous, head, journal_ids FROM seal ORDER BY block DESC LIMIT 1
""")
GET_NEXT = text("""
    SELECT block, previous, head, journal_ids, sealed_at
    FROM seal WHERE block > :after ORDER BY block LIMIT 1
""")
ADD = text("""
    INSERT INTO seal (block, previous, head, journal_ids)
    VALUES (:block, :previous, :head, CAST(:journal_ids AS uuid[]))
""")
LIST_NEWEST = text("""
    SELECT block, head, cardinality(journal_ids) AS journals, sealed_at
    FROM seal WHERE block < :before ORDER BY block DESC LIMIT :blocks_max
""")


class Sealed(NamedTuple):
    """A block without its journals."""

    block: int
    head: bytes
    journals: int
    sealed_at: datetime


async def take_unsealed(conn: AsyncConnection, journals_max: int) -> list[UUID]:
    """Journals that are committed and in no block, in the order of their ids."""
    taken = await conn.execute(TAKE_UNSEALED, {"journals_max": journals_max})
    return sorted(taken.scalars())


async def list_records(conn: AsyncConnection, ids: Sequence[UUID]) -> list[Record]:
    """These journals with their postings, in the order of `ids`; one that is gone is left out."""
    postings: defaultdict[UUID, list[Sequence[Any]]] = defaultdict(list)
    for journal_id, *posting in await db.run(conn, LIST_POSTINGS, ids=list(ids)):
        postings[journal_id].append(posting)
    rows = await db.run(conn, LIST_JOURNALS, ids=list(ids))
    found = {row[0]: chain.record(zip(JOURNAL, row, strict=True), postings[row[0]]) for row in rows}
    return [found[id_] for id_ in ids if id_ in found]


async def get_last(conn: AsyncConnection) -> Block | None:
    row = (await conn.execute(GET_LAST)).one_or_none()
    return Block(row.block, row.previous, row.head, tuple(row.journal_ids)) if row else None


async def get_next(conn: AsyncConnection, after: int) -> tuple[Block, datetime] | None:
    """The block that comes after this number, and when it was sealed."""
    row = (await conn.execute(GET_NEXT, {"after": after})).one_or_none()
    if row is None:
        return None
    return Block(row.block, row.previous, row.head, tuple(row.journal_ids)), row.sealed_at


async def add(conn: AsyncConnection, block: Block) -> None:
    """Append the block; a number that is there already is an error."""
    bound = {"block": block.number, "previous": block.previous, "head": block.head}
    await conn.execute(ADD, bound | {"journal_ids": list(block.journal_ids)})


async def list_newest(conn: AsyncConnection, before: int, count: int) -> list[Sealed]:
    return await db.fetch(conn, LIST_NEWEST, Sealed, before=before, blocks_max=count)
