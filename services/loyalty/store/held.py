"""What many members hold, a page at a time: for comparisons with another system."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.ledger import Purse
from services.loyalty.store.journals import Since

LIST_MEMBERS = text("""
    SELECT customer_id FROM member WHERE customer_id > :after ORDER BY customer_id LIMIT :rows_max
""")
# What is over has expired, whether or not the job has booked it.
SUM_NOW = text("""
    SELECT m.customer_id, b.pending, (b.active - coalesce(gone.points, 0))::bigint, b.reserved,
        b.owed
    FROM member AS m JOIN balance AS b USING (account_id)
    LEFT JOIN LATERAL (
        SELECT sum(remaining) AS points FROM lot
        WHERE lot.account_id = b.account_id AND remaining > 0 AND expires_at <= :now
    ) AS gone ON true
    WHERE m.customer_id = ANY(CAST(:customer_ids AS text[]))
""")
_SUM_AS_OF = """
    SELECT m.customer_id,
        coalesce(sum(moved.points) FILTER (WHERE moved.kind = 1), 0)::bigint,
        coalesce(sum(moved.points) FILTER (WHERE moved.kind = 2), 0)::bigint,
        coalesce(sum(moved.points) FILTER (WHERE moved.kind = 3), 0)::bigint,
        -coalesce(sum(moved.points) FILTER (WHERE moved.kind = 4), 0)::bigint
    FROM member AS m
    LEFT JOIN LATERAL (
        SELECT side.kind, side.points
        FROM journal
        JOIN posting ON posting.journal_id = journal.id
        CROSS JOIN LATERAL (
            VALUES (posting.credit, posting.points), (posting.debit, -posting.points)
        ) AS side (kind, points)
        WHERE journal.account_id = m.account_id AND journal.{when} <= CAST(:now AS timestamptz)
    ) AS moved ON true
    WHERE m.customer_id = ANY(CAST(:customer_ids AS text[]))
    GROUP BY m.customer_id
"""
SUM_AS_OF: dict[Since, TextClause] = {
    "event": text(_SUM_AS_OF.format(when="event_time")),
    "recorded": text(_SUM_AS_OF.format(when="recorded_at")),
}


async def list_members(conn: AsyncConnection, after: str, count: int) -> list[str]:
    """The next customer ids that have an account."""
    rows = await conn.execute(LIST_MEMBERS, {"after": after, "rows_max": count})
    return list(rows.scalars())


async def sum_each(
    conn: AsyncConnection,
    customer_ids: Iterable[str],
    at: datetime,
    since: Since | None = None,
) -> dict[str, Purse]:
    """What each id holds: as it is kept, or with `since` by the postings up to `at`."""
    sql = SUM_AS_OF[since] if since else SUM_NOW
    bound = {"customer_ids": sorted(set(customer_ids)), "now": at}
    return {row[0]: Purse(*row[1:]) for row in await conn.execute(sql, bound)}
