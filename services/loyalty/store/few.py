"""What a request moves, in one round trip: balances, lots that are there, few journals and facts.

A batch's thousands of rows come cheaper by the statements of `members`, `lots` and
`journals`; a checkout that moves one of each pays for the exchanges, while it holds the
customer's lock.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.accounting import Calendar
from services.loyalty.books.ledger import Account, Journal
from services.loyalty.books.lots import Lot
from services.loyalty.store.journals import posting_rows, row_of
from shared import db, outbox
from shared.events.envelope import Event

FEW = 20
"""Rows of each kind; from there on COPY is cheaper."""

_SAVE_FEW = """
    WITH balances AS (
        UPDATE balance
        SET pending = new.pending, active = new.active, reserved = new.reserved,
            owed = new.owed, version = new.version
        FROM unnest(
            CAST(:balance_ids AS uuid[]), CAST(:pending AS bigint[]), CAST(:active AS bigint[]),
            CAST(:reserved AS bigint[]), CAST(:owed AS bigint[]), CAST(:versions AS bigint[])
        ) AS new (account_id, pending, active, reserved, owed, version)
        WHERE balance.account_id = new.account_id
    ), lots AS (
        UPDATE lot
        SET points = new.points, remaining = new.remaining, reserved = new.reserved,
            used = new.used, expired = new.expired, taken_back = new.taken_back
        FROM unnest(
            CAST(:lot_ids AS uuid[]), CAST(:lot_points AS bigint[]), CAST(:remaining AS bigint[]),
            CAST(:lot_reserved AS bigint[]), CAST(:used AS bigint[]), CAST(:expired AS bigint[]),
            CAST(:taken_back AS bigint[])
        ) AS new (id, points, remaining, reserved, used, expired, taken_back)
        WHERE lot.id = new.id
    ), booked AS (
        INSERT INTO journal (id, account_id, source, document, revision, kind, event_time,
            cause_source, cause_id, cause_topic, cause_partition, cause_offset, store,
            accounting_date, refers_to)
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:account_ids AS uuid[]), CAST(:sources AS text[]),
            CAST(:documents AS text[]), CAST(:revisions AS bigint[]), CAST(:kinds AS text[]),
            CAST(:event_times AS timestamptz[]), CAST(:cause_sources AS text[]),
            CAST(:cause_ids AS text[]), CAST(:cause_topics AS text[]),
            CAST(:cause_partitions AS int[]), CAST(:cause_offsets AS bigint[]),
            CAST(:stores AS text[]), CAST(:accounting_dates AS date[]), CAST(:refers_to AS date[])
        )
    ), waiting AS (
        INSERT INTO unsealed (journal_id) SELECT unnest(CAST(:ids AS uuid[]))
    ), told AS (
"""
_POSTED = """
    )
    INSERT INTO posting (journal_id, account_id, points, position, debit, credit, line, lot_id)
    SELECT * FROM unnest(
        CAST(:posted_in AS uuid[]), CAST(:posted_to AS uuid[]), CAST(:points AS bigint[]),
        CAST(:positions AS int[]), CAST(:debits AS smallint[]), CAST(:credits AS smallint[]),
        CAST(:lines AS text[]), CAST(:posted_lots AS uuid[])
    )
"""
SAVE_FEW = text(_SAVE_FEW + outbox.ENQUEUE_FEW + _POSTED)
BALANCE = ("balance_ids", "pending", "active", "reserved", "owed", "versions")
LOT = ("lot_ids", "lot_points", "remaining", "lot_reserved", "used", "expired", "taken_back")
JOURNAL = (
    *("ids", "account_ids", "sources", "documents", "revisions", "kinds", "event_times"),
    *("cause_sources", "cause_ids", "cause_topics", "cause_partitions", "cause_offsets"),
    *("stores", "accounting_dates", "refers_to"),
)
POSTING = (
    *("posted_in", "posted_to", "points", "positions", "debits", "credits", "lines"),
    "posted_lots",
)


def are_few(*kinds: Collection[Any]) -> bool:
    return all(len(rows) <= FEW for rows in kinds)


async def save(
    conn: AsyncConnection,
    accounts: Collection[Account],
    lots: Collection[Lot],
    journals: Collection[Journal],
    facts: Sequence[Event],
    *,
    calendar: Calendar,
) -> None:
    """What the locked accounts now hold, the journals that made it so, and what is told of them.

    `calendar` is the one that `closings.hold` has given this transaction.
    """
    held = [
        (a.account_id, a.pending, a.active, a.reserved, a.owed, a.version)
        for a in sorted(accounts, key=lambda account: account.account_id)
    ]
    lain = [
        (lot.id, lot.points, lot.remaining, lot.reserved, lot.used, lot.expired, lot.taken_back)
        for lot in sorted(lots, key=lambda lot: lot.id)
    ]
    posted = list(chain.from_iterable(map(posting_rows, journals)))
    bound = _columns(BALANCE, held) | _columns(LOT, lain)
    bound |= _columns(JOURNAL, [(*row_of(j), *calendar.account(j.cause.time)) for j in journals])
    bound |= _columns(POSTING, posted) | _columns(outbox.TOLD, outbox.rows_of(facts))
    await db.run(conn, SAVE_FEW, **bound)


def _columns(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return {name: list(values) for name, values in zip(names, columns, strict=True)}
