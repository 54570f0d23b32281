"""The whole ledger summed, in one consistent snapshot.

Reads every posting, so it has a connection, time-outs and memory of its own, and only one
runs at a time: it is for finance and for alarms, not for pages.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

TIMEOUT_S = 60  # of one statement; a request over HTTP is cut off earlier, by its own limit

LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('loyalty reconciliation'))"
SUM_POSTINGS = """
    SELECT debit, credit, sum(points)::bigint, count(*) FROM posting GROUP BY debit, credit
"""
SUM_BALANCES = """
    SELECT now(), count(*), coalesce(sum(pending), 0)::bigint, coalesce(sum(active), 0)::bigint,
        coalesce(sum(reserved), 0)::bigint, coalesce(sum(owed), 0)::bigint,
        (SELECT count(*) FROM member), (SELECT count(*) FROM journal),
        (SELECT count(*) FROM order_state WHERE verdict = 'no_base_total')
    FROM balance
"""
# What the postings say that each account holds, and what lies in its lots, beside its balance.
COMPARE = """
    WITH moved AS (
        SELECT account_id,
            coalesce(sum(points) FILTER (WHERE credit = 1), 0)
                - coalesce(sum(points) FILTER (WHERE debit = 1), 0) AS pending,
            coalesce(sum(points) FILTER (WHERE credit = 2), 0)
                - coalesce(sum(points) FILTER (WHERE debit = 2), 0) AS active,
            coalesce(sum(points) FILTER (WHERE credit = 3), 0)
                - coalesce(sum(points) FILTER (WHERE debit = 3), 0) AS reserved,
            coalesce(sum(points) FILTER (WHERE debit = 4), 0)
                - coalesce(sum(points) FILTER (WHERE credit = 4), 0) AS owed
        FROM posting GROUP BY account_id
    ), held AS (
        SELECT account_id, sum(remaining) AS active, sum(reserved) AS reserved
        FROM lot WHERE remaining > 0 OR reserved > 0 GROUP BY account_id
    )
    SELECT count(*), (array_agg(account_id ORDER BY account_id))[:10]
    FROM moved FULL JOIN balance AS kept USING (account_id) FULL JOIN held USING (account_id)
    WHERE (coalesce(moved.pending, 0), coalesce(moved.active, 0), coalesce(moved.reserved, 0),
            coalesce(moved.owed, 0))
        IS DISTINCT FROM (kept.pending, kept.active, kept.reserved, kept.owed)
        OR (coalesce(held.active, 0), coalesce(held.reserved, 0))
            IS DISTINCT FROM (kept.active, kept.reserved)
"""


SUM_LOTS = """
    SELECT count(*), coalesce(sum(remaining), 0)::bigint, coalesce(sum(reserved), 0)::bigint
    FROM lot
"""
# Each lot beside its own postings: what was moved from one lot to another changes no sum of an
# account. Points from before there were lots lie in lots that no posting names.
COMPARE_LOTS = """
    WITH moved AS (
        SELECT lot_id AS id, account_id,
            sum(CASE 2 WHEN credit THEN points WHEN debit THEN -points END) AS remaining,
            sum(CASE 3 WHEN credit THEN points WHEN debit THEN -points END) AS reserved
        FROM posting WHERE lot_id IS NOT NULL GROUP BY lot_id, account_id
    )
    SELECT count(DISTINCT id), (array_agg(DISTINCT id))[:10]
    FROM moved FULL JOIN lot USING (id, account_id)
    WHERE source IS DISTINCT FROM 'before lots'
        AND (coalesce(moved.remaining, 0), coalesce(moved.reserved, 0))
            IS DISTINCT FROM (lot.remaining, lot.reserved)
"""


@dataclass(frozen=True, slots=True)
class Flow:
    """All that moved between two kinds of account."""

    debit: int
    credit: int
    points: int
    postings: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The sums of the cached balances, and how much there is of everything."""

    at: datetime
    accounts: int
    pending: int
    active: int
    reserved: int
    owed: int
    members: int
    journals: int
    no_base_total: int


@dataclass(frozen=True, slots=True)
class InLots:
    """The sums of what lies in the lots."""

    lots: int
    remaining: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Differing:
    """How many there are, and the ids of the first ten."""

    count: int
    sample: tuple[UUID, ...]

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Differing":
        return cls(row[0], tuple(row[1] or ()))


@dataclass(frozen=True, slots=True)
class Sums:
    """The ledger at one moment.

    `accounts`: those whose balance is not what their postings, or their lots, come to. `lots`:
    those that do not hold what their own postings left in them.
    """

    flows: tuple[Flow, ...]
    kept: Kept
    in_lots: InLots
    accounts: Differing
    lots: Differing


def longer(seconds: int) -> str:
    """The statement that lets this transaction's own statements take so long each."""
    return (
        f"SELECT set_config('statement_timeout', '{seconds}s', true),"  # an int
        " set_config('transaction_timeout', '0', true)"
    )


async def sum_all(pool: asyncpg.Pool) -> Sums | None:
    """The ledger's sums; None while another is being made."""
    async with (
        pool.acquire() as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        if not await conn.fetchval(LOCK):
            return None
        await conn.execute(longer(TIMEOUT_S))
        await conn.execute("SET LOCAL work_mem = '64MB'")
        flows = await conn.fetch(SUM_POSTINGS, timeout=TIMEOUT_S)
        kept = await conn.fetchrow(SUM_BALANCES, timeout=TIMEOUT_S)
        in_lots = await conn.fetchrow(SUM_LOTS, timeout=TIMEOUT_S)
        accounts = await conn.fetchrow(COMPARE, timeout=TIMEOUT_S)
        lots = await conn.fetchrow(COMPARE_LOTS, timeout=TIMEOUT_S)
    return Sums(
        tuple(Flow(*row) for row in flows),
        Kept(*kept),
        InLots(*in_lots),
        Differing.of(accounts),
        Differing.of(lots),
    )
