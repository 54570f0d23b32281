"""The ledger: appended, never changed; read by account, by order and by cause."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.accounting import Calendar
from services.loyalty.books.ledger import AccountKind, Journal, Posting, Purse, points_of
from shared import db

Since = Literal["event", "recorded"]
"""By which time a journal counts: its event's, or that of its booking."""

LAST = UUID(int=(1 << 128) - 1)
"""Above every journal's id: where the newest page begins."""

JOURNAL = (
    "id",
    "account_id",
    "source",
    "document",
    "revision",
    "kind",
    "event_time",
    "cause_source",
    "cause_id",
    "cause_topic",
    "cause_partition",
    "cause_offset",
    "store",
    "accounting_date",
    "refers_to",
)
POSTING = ("journal_id", "account_id", "points", "position", "debit", "credit", "line", "lot_id")

LIST_BY_ACCOUNT = text("""
    SELECT j.*
    FROM unnest(ARRAY(
        SELECT account_id FROM member WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    )) AS own (account_id)
    CROSS JOIN LATERAL (
        SELECT id, source, document, revision, kind, event_time, recorded_at, cause_source,
            cause_id, cause_topic, cause_partition, cause_offset
        FROM journal
        WHERE journal.account_id = own.account_id AND id < CAST(:before AS uuid)
        ORDER BY id DESC
        LIMIT :journals_max
    ) AS j
    ORDER BY j.id DESC
    LIMIT :journals_max
""")
LIST_BY_DOCUMENT = text("""
    SELECT id, source, document, revision, kind, event_time, recorded_at, cause_source,
        cause_id, cause_topic, cause_partition, cause_offset
    FROM journal
    WHERE document = :document AND source = :source
    ORDER BY revision, id
    LIMIT :journals_max
""")
LIST_BY_CAUSE = text("""
    SELECT id, source, document, revision, kind, event_time, recorded_at, cause_source,
        cause_id, cause_topic, cause_partition, cause_offset
    FROM journal
    WHERE cause_id = :cause_id AND cause_source = :cause_source
    ORDER BY id
""")
LIST_POSTINGS = text("""
    SELECT journal_id, line, debit, credit, points
    FROM posting
    WHERE journal_id = ANY(CAST(:journal_ids AS uuid[]))
    ORDER BY journal_id, position
""")

# `recorded_at` is when a transaction began: the books of the last seconds may still change.
_SUM_AS_OF = """
    SELECT own.accounts,
        coalesce(sum(moved.points) FILTER (WHERE moved.kind = 1), 0)::bigint AS pending,
        coalesce(sum(moved.points) FILTER (WHERE moved.kind = 2), 0)::bigint AS active,
        coalesce(sum(moved.points) FILTER (WHERE moved.kind = 3), 0)::bigint AS reserved,
        -coalesce(sum(moved.points) FILTER (WHERE moved.kind = 4), 0)::bigint AS owed
    FROM (
        SELECT coalesce(array_agg(account_id), '{{}}') AS ids, count(*) AS accounts
        FROM member WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ) AS own
    LEFT JOIN LATERAL (
        SELECT side.kind, side.points
        FROM journal
        JOIN posting ON posting.journal_id = journal.id
        CROSS JOIN LATERAL (
            VALUES (posting.credit, posting.points), (posting.debit, -posting.points)
        ) AS side (kind, points)
        WHERE journal.account_id = ANY(own.ids) AND journal.{when} <= CAST(:at AS timestamptz)
    ) AS moved ON true
    GROUP BY own.accounts
"""
SUM_AS_OF: dict[Since, TextClause] = {
    "event": text(_SUM_AS_OF.format(when="event_time")),
    "recorded": text(_SUM_AS_OF.format(when="recorded_at")),
}

DOCUMENT_JOURNALS_MAX = 1_000
"""Of one order in one answer: hundreds of revisions, which no honest order has."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal as it is kept."""

    id: UUID
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
    postings: tuple[Posting, ...] = ()


async def append(conn: AsyncConnection, journals: Collection[Journal], calendar: Calendar) -> None:
    """Journals with their postings. A business key that comes twice is an error, and seen.

    `calendar` is the one that `closings.hold` has given this transaction.
    """
    if journals:
        rows = ((*row_of(j), *calendar.account(j.cause.time)) for j in journals)
        await db.copy_rows(conn, "journal", JOURNAL, rows)
        await db.copy_rows(conn, "unsealed", ("journal_id",), ((j.id,) for j in journals))
        postings = chain.from_iterable(map(posting_rows, journals))
        await db.copy_rows(conn, "posting", POSTING, postings)


async def list_of_person(
    conn: AsyncConnection, customer_ids: Iterable[str], before: UUID, count: int
) -> list[Entry]:
    """The newest `count` journals of these ids' accounts below `before`, with postings."""
    ids = sorted(customer_ids)
    found = await db.fetch(
        conn, LIST_BY_ACCOUNT, Entry, customer_ids=ids, before=before, journals_max=count
    )
    return await _with_postings(conn, found)


async def sum_as_of(
    conn: AsyncConnection, customer_ids: Iterable[str], at: datetime, since: Since
) -> Purse | None:
    """What these ids' accounts held at a time, from the postings alone; None: no account."""
    ids = sorted(customer_ids)
    row = (await conn.execute(SUM_AS_OF[since], {"customer_ids": ids, "at": at})).one()
    return Purse(row.pending, row.active, row.reserved, row.owed) if row.accounts else None


async def list_of_document(conn: AsyncConnection, source: str, document: str) -> list[Entry]:
    """What one document booked, in the order of its revisions."""
    found = await db.fetch(
        conn,
        LIST_BY_DOCUMENT,
        Entry,
        source=source,
        document=document,
        journals_max=DOCUMENT_JOURNALS_MAX,
    )
    return await _with_postings(conn, found)


async def caused(conn: AsyncConnection, source: str, event_id: str) -> list[dict[str, Any]]:
    """The journals that an event caused."""
    found = await db.fetch(conn, LIST_BY_CAUSE, Entry, cause_source=source, cause_id=event_id)
    return [
        {
            "journal_id": str(entry.id),
            "kind": entry.kind,
            "order_id": entry.document,
            "revision": entry.revision,
            "points": points_of(entry.postings),
        }
        for entry in await _with_postings(conn, found)
    ]


def row_of(journal: Journal) -> tuple[object, ...]:
    """In the order of JOURNAL, but for its accounting date."""
    cause = journal.cause
    return (
        journal.id,
        journal.account_id,
        journal.source,
        journal.document,
        journal.revision,
        journal.kind,
        cause.time,
        cause.source,
        cause.id,
        cause.topic,
        cause.partition,
        cause.offset,
        journal.store,
    )


def posting_rows(journal: Journal) -> list[tuple[object, ...]]:
    """In the order of POSTING."""
    return [
        (journal.id, journal.account_id, p.points, position, p.debit, p.credit, p.line, p.lot_id)
        for position, p in enumerate(journal.postings)
    ]


async def _with_postings(conn: AsyncConnection, entries: list[Entry]) -> list[Entry]:
    postings: defaultdict[UUID, list[Posting]] = defaultdict(list)
    rows = await conn.execute(LIST_POSTINGS, {"journal_ids": [entry.id for entry in entries]})
    for journal_id, line, debit, credit, points in rows:
        postings[journal_id].append(Posting(line, AccountKind(debit), AccountKind(credit), points))
    return [replace(entry, postings=tuple(postings[entry.id])) for entry in entries]
