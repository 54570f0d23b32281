"""Files brought from elsewhere: how far each has come, and what became of each row."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.arrivals.opening import Award, Brought
from services.loyalty.store.books import longer
from shared import db

State = Literal["importing", "open", "reversing", "reversed", "closed"]

SUM_TIMEOUT_S = 300  # a million postings are read in seconds, on a busy machine in tens of them

ADD_BATCH = text("""
    INSERT INTO import_batch
        (kind, file, digest, terms, state, rows, points, minor, customers, rows_left_out, at,
            created_by)
    VALUES (:kind, :file, :digest, :terms, 'importing', :rows, :points, :minor, :customers,
        :rows_left_out, :at, :created_by)
    RETURNING id
""")
_BATCH = """
    id, kind, file, digest, terms, state, rows, points, minor, customers, rows_left_out, row_done,
    row_back, at, created_by
"""
GET_BATCH = text(f"SELECT {_BATCH} FROM import_batch WHERE id = :id")  # noqa: S608 -- constant
FIND_BATCH = text(f"""
    SELECT {_BATCH} FROM import_batch WHERE digest = :digest AND state <> 'reversed'
""")  # noqa: S608
LIST_BATCHES = text(f"""
    SELECT {_BATCH} FROM import_batch WHERE id < :before ORDER BY id DESC LIMIT :batches_max
""")  # noqa: S608
# The fences: who finds the batch elsewhere than he left it has a rival.
ADVANCE = text("""
    UPDATE import_batch SET row_done = :row
    WHERE id = :id AND row_done = :before AND state = 'importing'
""")
RETREAT = text("""
    UPDATE import_batch SET row_back = :row
    WHERE id = :id AND row_back = :before AND state = 'reversing'
""")
SETTLE = text("""
    UPDATE import_batch SET state = :state, settled_at = now()
    WHERE id = :id AND state = ANY(CAST(:from_states AS text[]))
""")
ROW = ("batch_id", "row", "account_id", "lot_id", "points", "order_id", "line_id", "note", "detail")
AWARD_SNAPSHOT = (
    *("order_id", "revision", "line_id", "rule_id", "rule_version"),
    *("basis_minor", "points", "inputs"),
)
LIST_ROWS = text("""
    SELECT row, account_id, lot_id, points, order_id, line_id, '' AS note, detail
    FROM import_row WHERE batch_id = :id AND row > :after ORDER BY row LIMIT :rows_max
""")
LIST_DONE = text("""
    SELECT row FROM import_row WHERE batch_id = :id AND row = ANY(CAST(:rows AS bigint[]))
""")
SUM_ROWS = text("""
    SELECT count(*), coalesce(sum((detail ->> 'minor')::bigint), 0)::bigint
    FROM import_row WHERE batch_id = :id
""")
# By the ledger alone: what the batch's own journals moved out of OPENING, and back into it.
SUM_LEDGER = text("""
    SELECT coalesce(sum(posting.points) FILTER (WHERE posting.debit = 16), 0)::bigint,
        coalesce(sum(posting.points) FILTER (WHERE posting.credit = 16), 0)::bigint,
        count(DISTINCT journal.account_id)
    FROM journal JOIN posting ON posting.journal_id = journal.id
    WHERE journal.document = :document AND journal.source = 'import'
""")
FORGET_NOTES = text("""
    UPDATE import_row SET note = ''
    WHERE note <> '' AND account_id IN (
        SELECT account_id FROM member WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    )
""")


@dataclass(frozen=True, slots=True)
class Kept:
    """One file that was brought. Its control totals are those of the rows that were taken."""

    id: int
    kind: str
    file: str
    digest: bytes
    terms: bytes
    state: State
    rows: int
    points: int
    minor: int
    customers: int
    rows_left_out: int
    row_done: int
    row_back: int
    at: datetime
    created_by: str


class Ledger(NamedTuple):
    """What the journals of a batch say."""

    opened: int
    taken_back: int
    accounts: int


class Begun(Exception):
    """Another run has begun with this file."""


class Moved(Exception):
    """The batch is not where this run left it: another run is at work."""


async def add(conn: AsyncConnection, terms: dict[str, object], created_by: str) -> int:
    """A new batch; its number. Begun if the file is in another one that stands."""
    try:
        added = await conn.execute(ADD_BATCH, {**terms, "created_by": created_by})
    except IntegrityError as error:
        raise Begun from error
    return int(added.scalar_one())


async def get(conn: AsyncConnection, batch_id: int) -> Kept | None:
    return await db.fetch_one(conn, GET_BATCH, Kept, id=batch_id)


async def find(conn: AsyncConnection, digest: bytes) -> Kept | None:
    """The batch that this file is in, unless it was reversed."""
    return await db.fetch_one(conn, FIND_BATCH, Kept, digest=digest)


async def list_newest(conn: AsyncConnection, before: int, count: int) -> list[Kept]:
    return await db.fetch(conn, LIST_BATCHES, Kept, before=before, batches_max=count)


async def advance(conn: AsyncConnection, batch_id: int, before: int, row: int) -> None:
    """The rows up to `row` are done; Moved if they were not done up to `before`."""
    done = await conn.execute(ADVANCE, {"id": batch_id, "before": before, "row": row})
    if not done.rowcount:
        raise Moved


async def retreat(conn: AsyncConnection, batch_id: int, before: int, row: int) -> None:
    """The rows up to `row` are reversed; Moved if they were not up to `before`."""
    done = await conn.execute(RETREAT, {"id": batch_id, "before": before, "row": row})
    if not done.rowcount:
        raise Moved


async def settle(
    conn: AsyncConnection, batch_id: int, state: State, before: Collection[State]
) -> bool:
    """Whether the batch was in one of the states, and is in the new one now."""
    bound = {"id": batch_id, "state": state, "from_states": sorted(before)}
    return bool((await conn.execute(SETTLE, bound)).rowcount)


async def add_rows(conn: AsyncConnection, batch_id: int, rows: Sequence[Brought]) -> None:
    told = (
        (
            *(batch_id, r.row, r.account_id, r.lot_id, r.points, r.order_id, r.line_id, r.note),
            to_json(r.detail).decode(),
        )
        for r in rows
    )
    await db.copy_rows(conn, "import_row", ROW, told)


async def add_awards(conn: AsyncConnection, awards: Sequence[Award]) -> None:
    """What the lines had earned elsewhere, into the history of awards."""
    told = (
        (
            *(a.order_id, a.revision, a.line_id, a.rule_id, 1),
            *(a.basis_minor, a.points, to_json(a.inputs).decode()),
        )
        for a in awards
    )
    await db.copy_rows(conn, "award_snapshot", AWARD_SNAPSHOT, told)


async def list_rows(conn: AsyncConnection, batch_id: int, after: int, count: int) -> list[Brought]:
    """The next rows, without their notes."""
    return await db.fetch(conn, LIST_ROWS, Brought, id=batch_id, after=after, rows_max=count)


async def list_done(conn: AsyncConnection, batch_id: int, rows: Collection[int]) -> set[int]:
    """Those of these rows that the batch has brought already."""
    found = await conn.execute(LIST_DONE, {"id": batch_id, "rows": list(rows)})
    return set(found.scalars())


async def sum_rows(conn: AsyncConnection, batch_id: int) -> tuple[int, int]:
    """How many rows were brought, and the money of what is not points, in minor units."""
    await conn.exec_driver_sql(longer(SUM_TIMEOUT_S))
    rows, minor = (await conn.execute(SUM_ROWS, {"id": batch_id})).one()
    return rows, minor


async def sum_ledger(conn: AsyncConnection, batch_id: int) -> Ledger:
    """Reads every posting of the batch."""
    await conn.exec_driver_sql(longer(SUM_TIMEOUT_S))
    return Ledger(*(await conn.execute(SUM_LEDGER, {"document": str(batch_id)})).one())


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """What other systems wrote about them; before their accounts' links are cut."""
    done = await conn.execute(FORGET_NOTES, {"customer_ids": sorted(customer_ids)})
    return done.rowcount
