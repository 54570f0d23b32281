"""Closed months, what was prepared of them, and the lock between booking and closing.

Who books holds the open month, shared, from before the accounting date is decided until
the commit; who closes waits for all of them, and the next ones wait for him. So a journal
is in the month that is being closed, and counted, or in the next.
"""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.accounting import Calendar, calendar
from services.loyalty.reporting.closed_month import Statement
from shared import db
from shared.stores import Stores

HOLD = text("SELECT hold_open_month()")
CLOSE = text("SELECT pg_advisory_xact_lock(hashtext('loyalty closing'))")
GET_LAST_MONTH = text("SELECT month FROM closing ORDER BY month DESC LIMIT 1")
COUNT_JOURNALS = text("""
    SELECT count(*) FROM journal
    WHERE accounting_date >= CAST(:since AS date) AND accounting_date < CAST(:until AS date)
""")
IS_UNSEALED = text("""
    SELECT EXISTS (
        SELECT FROM unsealed JOIN journal ON journal.id = unsealed.journal_id
        WHERE journal.accounting_date < :until
    )
""")
ADD_DRAFT = text("""
    INSERT INTO closing_draft (month, journals, statement, prepared_by)
    VALUES (:month, :journals, CAST(:statement AS jsonb), :prepared_by)
    RETURNING draft, prepared_at
""")
GET_DRAFT = text("""
    SELECT draft, month, journals, statement, prepared_at, prepared_by
    FROM closing_draft WHERE draft = :draft
""")
ADD = text("""
    INSERT INTO closing (month, draft, block, head, digest, approved_by)
    VALUES (:month, :draft, :block, :head, :digest, :approved_by)
    RETURNING approved_at
""")
LIST_BEFORE = text("""
    SELECT c.month, c.draft, c.block, c.head, c.digest, c.approved_at, c.approved_by,
        d.journals, d.prepared_at, d.prepared_by
    FROM closing AS c JOIN closing_draft AS d ON d.draft = c.draft
    WHERE c.month < CAST(:before AS date)
    ORDER BY c.month DESC
    LIMIT :closings_max
""")
GET = text("""
    SELECT c.month, c.draft, c.block, c.head, c.digest, c.approved_at, c.approved_by,
        d.journals, d.prepared_at, d.prepared_by
    FROM closing AS c JOIN closing_draft AS d ON d.draft = c.draft
    WHERE c.month = :month
""")
LIST_STATEMENTS = text("""
    SELECT d.statement
    FROM closing AS c JOIN closing_draft AS d ON d.draft = c.draft
    WHERE c.month < CAST(:before AS date)
    ORDER BY c.month
""")

BEGINNING = date.min
"""Before any month: where the first closing counts from."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A statement that waits for its approval, or has it."""

    draft: int
    month: date
    journals: int
    statement: Statement
    prepared_at: datetime
    prepared_by: str


@dataclass(frozen=True, slots=True)
class Closing:
    """A closed month, without its statement."""

    month: date
    draft: int
    block: int
    head: bytes
    digest: bytes
    approved_at: datetime
    approved_by: str
    journals: int
    prepared_at: datetime
    prepared_by: str


async def hold(conn: AsyncConnection, stores: Stores) -> Calendar:
    """The calendar to book by, which holds until this transaction ends."""
    [[closed]] = await db.run(conn, HOLD)
    return calendar(stores, closed)


async def close(conn: AsyncConnection) -> None:
    """Wait until nothing is being booked; until this transaction ends, nothing is."""
    await conn.execute(CLOSE)


async def get_last_month(conn: AsyncConnection) -> date | None:
    """The last month that is closed."""
    month: date | None = (await conn.execute(GET_LAST_MONTH)).scalar()
    return month


async def count_journals(conn: AsyncConnection, since: date, until: date) -> int:
    """The journals with an accounting date from `since` until before `until`."""
    found = await conn.execute(COUNT_JOURNALS, {"since": since, "until": until})
    return int(found.scalar_one())


async def is_sealed(conn: AsyncConnection, until: date) -> bool:
    """Whether every journal from before `until` is in a block of the chain."""
    return not (await conn.execute(IS_UNSEALED, {"until": until})).scalar_one()


async def add_draft(
    conn: AsyncConnection, month: date, journals: int, statement: Statement, prepared_by: str
) -> Draft:
    row = (
        await conn.execute(
            ADD_DRAFT,
            {
                "month": month,
                "journals": journals,
                "statement": statement.model_dump_json(),
                "prepared_by": prepared_by,
            },
        )
    ).one()
    return Draft(row.draft, month, journals, statement, row.prepared_at, prepared_by)


async def get_draft(conn: AsyncConnection, draft: int) -> Draft | None:
    row = (await conn.execute(GET_DRAFT, {"draft": draft})).one_or_none()
    if row is None:
        return None
    statement = Statement.model_validate(row.statement)
    return Draft(row[0], row[1], row[2], statement, row[4], row[5])


async def add(
    conn: AsyncConnection, draft: Draft, block: tuple[int, bytes], approved_by: str
) -> Closing:
    """Append the closing; a month that is closed already is an error."""
    digest = draft.statement.digest()
    bound = {"month": draft.month, "draft": draft.draft, "block": block[0], "head": block[1]}
    approved_at = (
        await conn.execute(ADD, bound | {"digest": digest, "approved_by": approved_by})
    ).scalar_one()
    return Closing(
        draft.month,
        draft.draft,
        *block,
        digest,
        approved_at,
        approved_by,
        draft.journals,
        draft.prepared_at,
        draft.prepared_by,
    )


async def get(conn: AsyncConnection, month: date) -> Closing | None:
    return await db.fetch_one(conn, GET, Closing, month=month)


async def list_before(conn: AsyncConnection, before: date, count: int) -> list[Closing]:
    """The closings of months before this one, newest first."""
    return await db.fetch(conn, LIST_BEFORE, Closing, before=before, closings_max=count)


async def list_statements(conn: AsyncConnection, before: date) -> list[Statement]:
    """The statements of all closed months before this one, oldest first."""
    rows = await conn.execute(LIST_STATEMENTS, {"before": before})
    return [Statement.model_validate(statement) for statement in rows.scalars()]
