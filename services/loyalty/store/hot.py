"""The storefronts' reads: one indexed statement each, on the hot asyncpg pool."""

import asyncpg

from services.loyalty.ledger import Purse

# A person is all ids that were merged: the balances of all are one purse.
GET_BALANCE = """
    SELECT count(*) AS accounts, coalesce(sum(b.pending), 0)::bigint AS pending,
        coalesce(sum(b.active), 0)::bigint AS active,
        coalesce(sum(b.reserved), 0)::bigint AS reserved
    FROM member AS m JOIN balance AS b USING (account_id)
    WHERE m.customer_id = ANY(
        coalesce((SELECT members FROM alias WHERE customer_id = $1), ARRAY[$1])
    )
"""
GET_OWN_BALANCE = """
    SELECT 1::bigint AS accounts, b.pending, b.active, b.reserved
    FROM member AS m JOIN balance AS b USING (account_id)
    WHERE m.customer_id = $1
"""


async def get_purse(pool: asyncpg.Pool, customer_id: str, *, pooled: bool) -> Purse | None:
    """What the person behind an id holds, or with `pooled` false the id alone; None: no account."""
    row = await pool.fetchrow(GET_BALANCE if pooled else GET_OWN_BALANCE, customer_id)
    if row is None or not row[0]:
        return None
    return Purse(row[1], row[2], row[3])
