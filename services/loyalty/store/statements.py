"""What moved in a month, and what lies in the lots, summed in one consistent snapshot each.

As `books`, on a connection with time-outs of its own, and one at a time: they are for
finance, not for pages.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
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
# What was given, and what of it was taken from members again; not of orders that wait for review
# or were declined: they have no rule and no tier, and are told apart.
#
# A line's points are shared out over the rules that gave them. Where the journal's own revision
# was decided anew, by how much each rule gives more (or less) than before; else by what each
# gives. In whole points: the differences of a running sum, rounded down. An action's lines are
# its rules.
SUM_RULES = """
    WITH moved AS (
        SELECT source, document, journal.revision, posting.line, debit = 11 AS given,
            sum(posting.points) AS points
        FROM journal
        JOIN posting ON posting.journal_id = journal.id
        LEFT JOIN order_state ON source IN ('order', 'hold') AND order_id = document
        WHERE accounting_date >= $1 AND accounting_date < $2
            AND (debit = 11 OR (credit = 14 AND debit < 10))
            AND coalesce(hold NOT IN ('held', 'declined'), true)
        GROUP BY 1, 2, 3, 4, 5
    ),
    shared AS (
        SELECT moved.*, rule_id, weight,
            sum(weight) OVER (PARTITION BY source, document, revision, line, given) AS whole,
            sum(weight) OVER (
                PARTITION BY source, document, revision, line, given ORDER BY rule_id
            ) AS upto
        FROM moved
        LEFT JOIN LATERAL (
            SELECT rule_id, CASE WHEN max(more) OVER () > 0 THEN more ELSE gives END AS weight
            FROM (
                SELECT rule_id,
                    sum(award.points) FILTER (WHERE revision = own) AS gives,
                    sum(CASE revision WHEN own THEN award.points ELSE -award.points END)
                        FILTER (WHERE own IS DISTINCT FROM other) AS more
                FROM (
                    SELECT CASE WHEN given THEN now ELSE before END AS own,
                        CASE WHEN given THEN before ELSE now END AS other
                    FROM (
                        SELECT (
                            SELECT max(revision) FROM award_snapshot
                            WHERE order_id = document AND revision <= moved.revision
                        ) AS now, (
                            SELECT max(revision) FROM award_snapshot
                            WHERE order_id = document AND revision < moved.revision
                        ) AS before
                    ) AS decided
                ) AS decision
                JOIN award_snapshot AS award
                    ON order_id = document AND line_id = line AND revision IN (own, other)
                GROUP BY rule_id
            ) AS rule
        ) AS award ON source = 'order' AND weight > 0
    )
    SELECT source,
        CASE source WHEN 'order' THEN coalesce(rule_id, '') WHEN 'action' THEN line
            ELSE split_part(document, '/', 2) END AS name,
        coalesce(sum(part) FILTER (WHERE given), 0)::bigint,
        coalesce(sum(part) FILTER (WHERE NOT given), 0)::bigint
    FROM (
        SELECT source, document, line, rule_id, given, coalesce(
            div(points * upto, whole) - div(points * (upto - weight), whole), points
        ) AS part
        FROM shared
    ) AS parted
    GROUP BY 1, 2
    ORDER BY 1, 2
"""
# By the tier in which the order was decided; without one: under no tier, or no order. Null: what
# waits for review or was declined.
SUM_TIERS = """
    SELECT CASE WHEN hold IN ('held', 'declined') THEN NULL
            ELSE coalesce(shopper ->> 'tier', '') END AS tier,
        coalesce(sum(points) FILTER (WHERE debit = 11), 0)::bigint,
        coalesce(sum(points) FILTER (WHERE debit <> 11), 0)::bigint
    FROM journal
    JOIN posting ON posting.journal_id = journal.id
    LEFT JOIN order_decision AS decision ON source = 'order' AND decision.order_id = document
    LEFT JOIN order_state AS state ON source IN ('order', 'hold') AND state.order_id = document
    WHERE accounting_date >= $1 AND accounting_date < $2
        AND (debit = 11 OR (credit = 14 AND debit < 10))
    GROUP BY 1
    ORDER BY 1
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


class Given(NamedTuple):
    """Points that were given, and those that were taken back meanwhile, whenever given."""

    points: int
    reversed: int


@dataclass(frozen=True, slots=True)
class Awards:
    """What was given by what: the journals' source, and a rule or a side of a referral. And to
    whom: by tier, "" without one, None of what waits for review or was declined."""

    by_rule: dict[tuple[str, str], Given]
    by_tier: dict[str | None, Given]


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


async def sum_awards(pool: asyncpg.Pool, since: date, until: date) -> Awards:
    """The points given out from the accounting date `since` until before `until`."""
    async with _snapshot(pool) as conn:
        rules = await conn.fetch(SUM_RULES, since, until, timeout=TIMEOUT_S)
        tiers = await conn.fetch(SUM_TIERS, since, until, timeout=TIMEOUT_S)
    return Awards(
        {(source, name): Given(*sums) for source, name, *sums in rules},
        {tier: Given(*sums) for tier, *sums in tiers},
    )


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
