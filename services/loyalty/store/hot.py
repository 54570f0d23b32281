"""The storefronts' reads: one indexed statement each, on the hot asyncpg pool."""

from datetime import datetime

import asyncpg

from services.loyalty.books.ledger import Purse

# What is over has expired, whether or not the job has booked it; what comes next is the first
# entry of an index, however many lots there are.
_BALANCE = """
    SELECT count(*) AS accounts, coalesce(sum(b.pending), 0)::bigint,
        (coalesce(sum(b.active), 0) - coalesce(sum(gone.points), 0))::bigint,
        coalesce(sum(b.reserved), 0)::bigint, coalesce(sum(b.owed), 0)::bigint,
        min(next.expires_at)
    FROM member AS m JOIN balance AS b USING (account_id)
    LEFT JOIN LATERAL (
        SELECT sum(remaining) AS points FROM lot
        WHERE lot.account_id = b.account_id AND remaining > 0 AND expires_at <= $2
    ) AS gone ON true
    LEFT JOIN LATERAL (
        SELECT expires_at FROM lot
        WHERE lot.account_id = b.account_id AND remaining > 0 AND expires_at > $2
        ORDER BY expires_at LIMIT 1
    ) AS next ON true
    WHERE {whose}
"""
# A person is all ids that were merged: the balances of all are one purse.
GET_BALANCE = _BALANCE.format(
    whose="""m.customer_id = ANY(
        coalesce((SELECT members FROM alias WHERE customer_id = $1), ARRAY[$1])
    )"""
)
GET_OWN_BALANCE = _BALANCE.format(whose="m.customer_id = $1")

Held = tuple[Purse, datetime | None]
"""What is held, and when the next of it expires."""


async def get_purse(
    pool: asyncpg.Pool, customer_id: str, now: datetime, *, pooled: bool
) -> Held | None:
    """What the person behind an id holds, or with `pooled` false the id alone; None: no account."""
    row = await pool.fetchrow(GET_BALANCE if pooled else GET_OWN_BALANCE, customer_id, now)
    if row is None or not row[0]:
        return None
    return Purse(row[1], row[2], row[3], row[4]), row[5]
