"""What moved in a month, and what lies in the lots, summed in one consistent snapshot each.

As `books`, on a connection with time-outs of its own, and one at a time: they are for
finance, not for pages.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from typing import NamedTuple

import asyncpg

from services.loyalty.books.ledger import AccountKind
from services.loyalty.promotions.costs import Kind
from services.loyalty.reporting.finance import Expiring
from services.loyalty.reporting.statement import Flow
from services.loyalty.store.books import LOCK, TIMEOUT_S, longer
from shared.errors import Conflict

# Points from before there were lots have no cohort: neither those postings nor their lots.
_SUM_FLOWS = """
    SELECT coalesce(lot.store, journal.store) AS store,
        CASE WHEN lot.source <> 'before lots'
            THEN date_trunc('month', lot.earned_at AT TIME ZONE $1)::date END AS cohort,
        debit, credit, sum(posting.points)::bigint
    FROM journal
    JOIN posting ON posting.journal_id = journal.id
    LEFT JOIN lot ON lot.id = posting.lot_id
    WHERE {month}
    GROUP BY 1, 2, debit, credit
"""
SUM_FLOWS = _SUM_FLOWS.format(month="accounting_date >= $2 AND accounting_date < $3")
SUM_BEFORE = _SUM_FLOWS.format(month="(accounting_date < $2 OR accounting_date IS NULL)")
COUNT_JOURNALS = """
    SELECT count(*), count(refers_to) FILTER (WHERE accounting_date >= $3) FROM journal
    WHERE accounting_date >= $1 AND accounting_date < $2
"""
SUM_LOTS = """
    SELECT store,
        CASE WHEN source <> 'before lots'
            THEN date_trunc('month', earned_at AT TIME ZONE $1)::date END AS cohort,
        sum(remaining + reserved)::bigint
    FROM lot WHERE remaining > 0 OR reserved > 0
    GROUP BY 1, 2
    ORDER BY 1, 2
"""
SUM_BALANCES = """
    SELECT now(), coalesce(sum(pending), 0)::bigint, coalesce(sum(owed), 0)::bigint FROM balance
"""
SUM_EXPIRING = """
    SELECT date_trunc('month', expires_at AT TIME ZONE $1)::date,
        date_trunc('month', earned_at AT TIME ZONE $1)::date, sum(remaining)::bigint
    FROM lot WHERE remaining > 0 AND expires_at IS NOT NULL
    GROUP BY 1, 2
    ORDER BY 1, 2
"""
# The decision in force on an order is the latest.
SUM_AWARDS = """
    SELECT rule_id, sum(points)::bigint
    FROM (
        SELECT rule_id, points, decided_at,
            rank() OVER (PARTITION BY order_id ORDER BY revision DESC) AS newest
        FROM award_snapshot
    ) AS decision
    WHERE newest = 1 AND decided_at >= $1 AND decided_at < $2
    GROUP BY rule_id
"""
# Points given out, by the tier in which the order was decided.
SUM_TIERS = """
    SELECT coalesce(shopper ->> 'tier', ''), sum(points)::bigint
    FROM journal
    JOIN posting ON posting.journal_id = journal.id
    LEFT JOIN order_decision ON source = 'order' AND order_id = document
    WHERE accounting_date >= $1 AND accounting_date < $2 AND debit = 11
    GROUP BY 1
"""
# By month, and in pages: those after a place in that order.
SUM_PROMOTIONS = """
    SELECT date_trunc('month', day::timestamp)::date AS month, kind, promotion_id,
        sum(uses)::bigint, sum(discount_minor)::bigint, sum(gifts)::bigint,
        sum(gifts_minor)::bigint, sum(points)::bigint
    FROM promotion_cost
    WHERE day >= greatest($1::date, $3::date) AND day < $2
    GROUP BY 1, 2, 3
    HAVING (date_trunc('month', day::timestamp)::date, kind, promotion_id) > ($3, $4, $5)
    ORDER BY 1, 2, 3
    LIMIT $6
"""


class SumsRunning(Conflict):
    """The ledger is being summed for another request; ask again when that is done."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A month's flows; `journals` counts all that the statement sums, from `since` on."""

    opening: Sequence[Flow]
    flows: Sequence[Flow]
    journals: int
    late_journals: int


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What members hold at a moment: their lots by store and cohort, and the rest."""

    at: datetime
    lots: Sequence[tuple[str, date | None, int]]
    pending: int
    owed: int


@dataclass(frozen=True, slots=True)
class Awards:
    """Points by what gave them, and by the tier of who got them."""

    by_rule: dict[str, int]
    by_tier: dict[str, int]


class Place(NamedTuple):
    """Where in the order of months, kinds and ids a page begins: after this."""

    month: date
    kind: str
    promotion_id: str


@dataclass(frozen=True, slots=True)
class Promoted:
    """An offer, or the coupons of a reward, in a month. Money in minor units."""

    month: date
    kind: Kind
    promotion_id: str
    uses: int
    discount_minor: int
    gifts: int
    gifts_minor: int
    points: int


async def sum_month(
    pool: asyncpg.Pool, month: date, until: date, zone: str, *, since: date
) -> Moved:
    """What moved from `month` until before `until`; before it too, if `since` is earlier."""
    async with _snapshot(pool) as conn:
        flows = await conn.fetch(SUM_FLOWS, zone, month, until, timeout=TIMEOUT_S)
        first = since < month
        before = await conn.fetch(SUM_BEFORE, zone, month, timeout=TIMEOUT_S) if first else ()
        counts = await conn.fetchrow(COUNT_JOURNALS, since, until, month, timeout=TIMEOUT_S)
    return Moved([_flow(row) for row in before], [_flow(row) for row in flows], *counts)


async def sum_outstanding(pool: asyncpg.Pool, zone: str) -> Outstanding:
    """What members hold now."""
    async with _snapshot(pool) as conn:
        lots = await conn.fetch(SUM_LOTS, zone, timeout=TIMEOUT_S)
        at, pending, owed = await conn.fetchrow(SUM_BALANCES, timeout=TIMEOUT_S)
    return Outstanding(at, [tuple(row) for row in lots], pending, owed)


async def sum_expiring(pool: asyncpg.Pool, zone: str) -> list[Expiring]:
    """What remains in lots that have a date, by its month and by cohort."""
    async with _snapshot(pool) as conn:
        rows = await conn.fetch(SUM_EXPIRING, zone, timeout=TIMEOUT_S)
    return [Expiring(*row) for row in rows]


async def sum_awards(pool: asyncpg.Pool, since: date, until: date, zone: tzinfo) -> Awards:
    """The points given out from the day `since` until before `until`."""
    first, end = (datetime.combine(day, time(0), zone) for day in (since, until))
    async with _snapshot(pool) as conn:
        rules = await conn.fetch(SUM_AWARDS, first, end, timeout=TIMEOUT_S)
        tiers = await conn.fetch(SUM_TIERS, since, until, timeout=TIMEOUT_S)
    return Awards(dict(rules), dict(tiers))


async def sum_promotions(
    pool: asyncpg.Pool, since: date, until: date, after: Place, count: int
) -> list[Promoted]:
    """What offers and coupons cost from the day `since` until before `until`."""
    async with _snapshot(pool) as conn:
        rows = await conn.fetch(SUM_PROMOTIONS, since, until, *after, count, timeout=TIMEOUT_S)
    return [Promoted(*row) for row in rows]


@asynccontextmanager
async def _snapshot(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    async with (
        pool.acquire() as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        if not await conn.fetchval(LOCK):
            raise SumsRunning(headers={"Retry-After": "5"})
        await conn.execute(longer(TIMEOUT_S))
        await conn.execute("SET LOCAL work_mem = '64MB'")
        yield conn


def _flow(row: asyncpg.Record) -> Flow:
    return Flow(row[0], row[1], AccountKind(row[2]), AccountKind(row[3]), row[4])
