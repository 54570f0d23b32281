"""Orders whose points are held for review, and what a day has brought its members."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.earning.limits import Day, Excess, Hold
from shared import db

COLUMNS = "order_id, customer_id, points, excesses, inputs, held_at, state, decided_by, decided_at"
ADDED = ("order_id", "customer_id", "points", "excesses", "inputs", "held_at", "state")
GET = text(f"SELECT {COLUMNS}, comment FROM hold WHERE order_id = :order_id")  # noqa: S608
LIST_HELD = text(f"""
    SELECT {COLUMNS}, comment FROM hold
    WHERE state = 'held' AND (held_at, order_id) > (CAST(:after AS timestamptz), :after_id)
    ORDER BY held_at, order_id LIMIT :rows_max
""")  # noqa: S608 -- constants
DECIDE = text("""
    UPDATE hold SET state = :state, decided_by = :decided_by, decided_at = :decided_at,
        comment = :comment
    WHERE order_id = :order_id AND state = 'held'
""")
FORGET = text("""
    UPDATE hold SET customer_id = NULL, comment = '',
        state = CASE state WHEN 'held' THEN 'declined' ELSE state END
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
# A journal's id begins with its time, so a day is one range of the account's index.
SUM_DAYS = text("""
    SELECT wanted.person, wanted.day, coalesce(sum(earned.points), 0)::bigint,
        count(DISTINCT earned.document)
    FROM unnest(
        CAST(:persons AS text[]), CAST(:days AS date[]), CAST(:customer_ids AS text[]),
        CAST(:first AS uuid[]), CAST(:last AS uuid[])
    ) AS wanted (person, day, customer_id, first, last)
    JOIN member AS m ON m.customer_id = wanted.customer_id
    CROSS JOIN LATERAL (
        SELECT posting.points, journal.document
        FROM journal JOIN posting ON posting.journal_id = journal.id
        WHERE journal.account_id = m.account_id AND journal.source = 'order'
            AND journal.kind = 'earn'
            AND journal.id >= wanted.first AND journal.id < wanted.last
    ) AS earned
    GROUP BY wanted.person, wanted.day
""")


class Span(NamedTuple):
    """One day of one id of a person, as a range of journal ids."""

    person: str
    day: date
    customer_id: str
    first: UUID
    last: UUID


async def add(conn: AsyncConnection, holds: Collection[Hold]) -> None:
    rows = [
        (
            hold.order_id,
            hold.customer_id,
            hold.points,
            to_json([asdict(excess) for excess in hold.excesses]).decode(),
            to_json(hold.inputs).decode(),
            hold.held_at,
            hold.state,
        )
        for hold in holds
    ]
    if rows:
        await db.copy_rows(conn, "hold", ADDED, rows)


async def get(conn: AsyncConnection, order_id: str) -> Hold | None:
    return await db.fetch_one(conn, GET, _hold, order_id=order_id)


async def list_held(conn: AsyncConnection, after: tuple[datetime, str], count: int) -> list[Hold]:
    """Those that wait, the longest first."""
    at, id_ = after
    return await db.fetch(conn, LIST_HELD, _hold, after=at, after_id=id_, rows_max=count)


async def decide(conn: AsyncConnection, decided: Hold) -> bool:
    """Whether it was still held."""
    bound = {
        "order_id": decided.order_id,
        "state": decided.state,
        "decided_by": decided.decided_by,
        "decided_at": decided.decided_at,
        "comment": decided.comment,
    }
    return bool((await conn.execute(DECIDE, bound)).rowcount)


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    done = await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})
    return done.rowcount


async def sum_days(conn: AsyncConnection, spans: Iterable[Span]) -> Mapping[tuple[str, date], Day]:
    """What these days have brought by orders; a day of nothing is left out."""
    columns = list(map(list, zip(*spans, strict=True)))
    if not columns:
        return {}
    names = ("persons", "days", "customer_ids", "first", "last")
    rows = await conn.execute(SUM_DAYS, dict(zip(names, columns, strict=True)))
    return {(person, day): Day(points, orders) for person, day, points, orders in rows}


def _hold(*row: Any) -> Hold:
    hold = Hold(*row)
    return replace(hold, excesses=tuple(Excess(**told) for told in row[3]))
