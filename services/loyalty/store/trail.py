"""From a figure of the accounts to its journals: by accounting date and kind of account.

A page looks at a bounded number of journals, so a kind that is rare makes pages short, or
empty with another to come, and never slow.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.ledger import AccountKind, Posting

WINDOW_MAX = 2_000
"""Journals that one page looks at."""

SCAN = text("""
    SELECT accounting_date, id, (
        SELECT count(*) FROM posting
        WHERE journal_id = journal.id
            AND (CAST(:kind AS smallint) IS NULL OR debit = :kind OR credit = :kind)
    ) > 0
    FROM journal
    WHERE (accounting_date, id) > (CAST(:after_date AS date), CAST(:after_id AS uuid))
        AND accounting_date < CAST(:until AS date)
    ORDER BY accounting_date, id
    LIMIT :journals_max
""")
LIST_JOURNALS = text("""
    SELECT id, accounting_date, refers_to, store, source, document, revision, kind, event_time,
        recorded_at, cause_source, cause_id, cause_topic, cause_partition, cause_offset
    FROM journal WHERE id = ANY(CAST(:ids AS uuid[]))
    ORDER BY accounting_date, id
""")
LIST_POSTINGS = text("""
    SELECT journal_id, line, debit, credit, points, lot_id
    FROM posting WHERE journal_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY journal_id, position
""")


class Place(NamedTuple):
    """Where in the order of the accounts a page begins: after this."""

    day: date
    id: UUID


@dataclass(frozen=True, slots=True)
class Trace:
    """A journal as finance sees it."""

    id: UUID
    accounting_date: date
    refers_to: date | None
    store: str
    source: str
    document: str
    revision: int
    kind: str
    event_time: datetime
    recorded_at: datetime
    cause_source: str
    cause_id: str
    cause_topic: str
    cause_partition: int
    cause_offset: int
    postings: tuple[Posting, ...]


async def list_after(
    conn: AsyncConnection, after: Place, until: date, kind: AccountKind | None, count: int
) -> tuple[list[Trace], Place | None]:
    """Journals before `until` with a posting of this kind, and where the next page begins."""
    bound = {"after_date": after.day, "after_id": after.id, "until": until, "kind": kind}
    seen = (await conn.execute(SCAN, bound | {"journals_max": WINDOW_MAX})).all()
    hits = [Place(day, id_) for day, id_, hit in seen if hit]
    following = None
    if len(hits) > count:
        following = hits[count - 1]
    elif len(seen) == WINDOW_MAX:
        following = Place(*seen[-1][:2])
    return await _load(conn, [place.id for place in hits[:count]]), following


async def _load(conn: AsyncConnection, ids: list[UUID]) -> list[Trace]:
    postings: defaultdict[UUID, list[Posting]] = defaultdict(list)
    for row in await conn.execute(LIST_POSTINGS, {"ids": ids}):
        debit, credit = AccountKind(row.debit), AccountKind(row.credit)
        postings[row.journal_id].append(Posting(row.line, debit, credit, row.points, row.lot_id))
    rows = await conn.execute(LIST_JOURNALS, {"ids": ids})
    return [Trace(**row._asdict(), postings=tuple(postings[row.id])) for row in rows]
