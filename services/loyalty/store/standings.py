"""Who has which tier, and what that depends on.

A standing has no lock of its own: it is the accounts' rows of the person that are locked.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.levels.dossier import Dossier, Holding
from services.loyalty.levels.qualifying import Earned
from services.loyalty.levels.standing import Grant, Person, Standing, next_due
from services.loyalty.levels.tiers import Bucket, Plans
from shared import db

# Everything that a person's tier depends on, a row for each of his accounts. Of the days only
# those from which his standing is brought further; all of them where it has to be made anew:
# because something is asked or changes before it, he is of several accounts, his ids are
# others than when it was made, or a new version of the plan has started since.
LOAD = """
    WITH wanted AS (
        SELECT w.customer_id, w.first_day, w.whole, coalesce(a.version, 0) AS version,
            coalesce(a.canonical_id, w.customer_id) AS canonical_id,
            coalesce(a.members, ARRAY[w.customer_id]) AS members
        FROM unnest(CAST($1 AS text[]), CAST($2 AS date[]), CAST($3 AS bool[]))
            AS w (customer_id, first_day, whole)
        LEFT JOIN alias AS a ON a.customer_id = w.customer_id AND CAST($4 AS bool)
    ), held AS (
        SELECT w.customer_id, w.canonical_id, w.version AS person_version, w.first_day, w.whole,
            m.customer_id AS holder, m.account_id, s.joined_on, coalesce(s.grants, '[]') AS grants,
            s.tier, s.since, s.valid_until, s.version, s.as_of, s.brought_to, s.earned_tier,
            s.period_from, s.held, s.held_until, coalesce(s.of_version, 0) AS of_version,
            count(*) OVER (PARTITION BY w.customer_id) > 1 AS several
        FROM wanted AS w
        JOIN member AS m ON m.customer_id = ANY(w.members)
        LEFT JOIN standing AS s USING (account_id)
    )
    SELECT held.customer_id, canonical_id, person_version, holder, held.account_id, joined_on,
        (SELECT min(day) FROM qualifying AS q WHERE q.account_id = held.account_id) AS begun_on,
        grants::text, tier, held.since, valid_until, version, as_of, earned_tier, period_from, held,
        held_until, of_version, needed.day IS NULL, found.days, found.spend_minor,
        found.orders, found.points
    FROM held CROSS JOIN LATERAL (
        SELECT CASE WHEN whole OR several OR brought_to IS NULL OR earned_tier IS NULL
                OR of_version <> person_version OR held.first_day < brought_to
                OR brought_to <= CAST($5 AS date) THEN NULL
            ELSE least(period_from, brought_to - CAST($6 AS int)) END AS day
    ) AS needed CROSS JOIN LATERAL (
        SELECT array_agg(day) AS days, array_agg(q.spend_minor) AS spend_minor,
            array_agg(q.orders) AS orders, array_agg(q.points) AS points
        FROM qualifying AS q
        WHERE q.account_id = held.account_id
            AND q.day >= coalesce(needed.day, date '0001-01-01')
    ) AS found
    ORDER BY held.customer_id, holder
"""
PARAMETERS = ("customer_ids", "first_days", "whole", "pooled", "last_turn", "lookback")


def _named(sql: str) -> str:
    for number, name in enumerate(PARAMETERS, start=1):
        sql = sql.replace(f"${number} ", f":{name} ")
    return sql


LOAD_PEOPLE = text(_named(LOAD))
SAVE_STANDINGS = text("""
    INSERT INTO standing (account_id, tier, since, valid_until, version, as_of, brought_to,
        earned_tier, period_from, held, held_until, of_version, due_at)
    SELECT * FROM unnest(
        CAST(:account_id AS uuid[]), CAST(:tier AS text[]), CAST(:since AS timestamptz[]),
        CAST(:valid_until AS timestamptz[]), CAST(:version AS bigint[]),
        CAST(:as_of AS timestamptz[]), CAST(:brought_to AS date[]), CAST(:earned_tier AS text[]),
        CAST(:period_from AS date[]), CAST(:held AS text[]), CAST(:held_until AS date[]),
        CAST(:of_version AS bigint[]), CAST(:due_at AS timestamptz[])
    )
    ON CONFLICT (account_id) DO UPDATE
    SET tier = excluded.tier, since = excluded.since, valid_until = excluded.valid_until,
        version = excluded.version, as_of = excluded.as_of, brought_to = excluded.brought_to,
        earned_tier = excluded.earned_tier, period_from = excluded.period_from,
        held = excluded.held, held_until = excluded.held_until,
        of_version = excluded.of_version, due_at = excluded.due_at
""")
STANDING = (
    "account_id",
    "tier",
    "since",
    "valid_until",
    "version",
    "as_of",
    "brought_to",
    "earned_tier",
    "period_from",
    "held",
    "held_until",
    "of_version",
    "due_at",
)
DOUBT = text("""
    UPDATE standing SET earned_tier = NULL WHERE account_id = ANY(CAST(:account_ids AS uuid[]))
""")
SAVE_GRANTS = text("""
    INSERT INTO standing (account_id, grants)
    SELECT account_id, CAST(grants AS jsonb) FROM unnest(
        CAST(:account_ids AS uuid[]), CAST(:grants AS text[])
    ) AS new (account_id, grants)
    ON CONFLICT (account_id) DO UPDATE SET grants = excluded.grants
""")
SET_JOINED = text("""
    INSERT INTO standing (account_id, joined_on)
    SELECT account_id, joined_on FROM unnest(
        CAST(:account_ids AS uuid[]), CAST(:days AS date[])
    ) AS new (account_id, joined_on)
    ON CONFLICT (account_id) DO UPDATE SET joined_on = excluded.joined_on, earned_tier = NULL
""")
LIST_DUE = text("""
    SELECT m.customer_id FROM (
        SELECT account_id FROM standing WHERE due_at <= :now ORDER BY due_at LIMIT :standings_max
    ) AS due JOIN member AS m USING (account_id)
""")
GRANTS: TypeAdapter[tuple[Grant, ...]] = TypeAdapter(tuple[Grant, ...])
LONG_AGO = date(1, 1, 1)


async def load(
    conn: AsyncConnection,
    wanted: Mapping[str, tuple[date, bool]],
    plans: Plans,
    *,
    pooled: bool = True,
) -> dict[str, Dossier]:
    """The people behind these ids, by each id; those without an account are left out.

    With each id the first day on which something changes or is asked for, and whether all
    of his days are needed whatever has been brought to where.
    """
    rows = await db.run(conn, LOAD_PEOPLE, **_parameters(wanted, plans, pooled=pooled))
    return _dossiers(rows)


async def get_hot(
    pool: asyncpg.Pool, customer_id: str, at: datetime, plans: Plans, *, pooled: bool
) -> Dossier | None:
    """The person behind one id, on the hot pool; `pooled` false: the id alone."""
    parameters = _parameters({customer_id: (plans.day_of(at), False)}, plans, pooled=pooled)
    rows = await pool.fetch(LOAD, *(parameters[name] for name in PARAMETERS))
    return _dossiers(rows).get(customer_id)


def _parameters(
    wanted: Mapping[str, tuple[date, bool]], plans: Plans, *, pooled: bool
) -> dict[str, Any]:
    last = max((first for first, _ in wanted.values()), default=LONG_AGO)
    rolling = [plan.window_days for plan in plans.plans if plan and plan.window == "rolling"]
    return {
        "customer_ids": list(wanted),
        "first_days": [first for first, _ in wanted.values()],
        "whole": [whole for _, whole in wanted.values()],
        "pooled": pooled,
        "last_turn": max((day for day in plans.days if day <= last), default=LONG_AGO),
        "lookback": max(rolling, default=0),
    }


def _dossiers(rows: Iterable[Sequence[Any]]) -> dict[str, Dossier]:
    found: dict[str, tuple[str, int, list[Holding]]] = {}
    for row in rows:
        _, _, holdings = found.setdefault(row[0], (row[1], row[2], []))
        holdings.append(_holding(row))
    return {
        customer_id: Dossier(canonical_id, version, tuple(holdings))
        for customer_id, (canonical_id, version, holdings) in found.items()
    }


def _holding(row: Sequence[Any]) -> Holding:
    tier, since, valid_until, version, as_of, earned_tier, period_from, held, held_until = row[8:17]
    earned = Earned(earned_tier, period_from, held, held_until) if earned_tier else None
    standing = Standing(tier, since, valid_until, version, as_of, earned) if version else Standing()
    buckets = {}
    if row[19]:
        columns = zip(*row[20:23], strict=True)
        buckets = {day: Bucket(*each) for day, each in zip(row[19], columns, strict=True)}
    return Holding(
        customer_id=row[3],
        account_id=row[4],
        joined=row[5],
        first_day=row[6],
        buckets=buckets,
        grants=GRANTS.validate_json(row[7]) if row[7] != "[]" else (),
        standing=standing,
        of_version=row[17],
        whole=row[18],
    )


async def save(
    conn: AsyncConnection, people: Collection[tuple[Dossier, Person]], plans: Plans
) -> None:
    """Keep each person's new standing with all of his accounts, which are locked."""
    rows = {
        holding.account_id: _row(holding.account_id, dossier.version, person, plans)
        for dossier, person in people
        for holding in dossier.holdings
    }
    if rows:
        columns = map(list, zip(*rows.values(), strict=True))
        await conn.execute(SAVE_STANDINGS, dict(zip(STANDING, columns, strict=True)))


def _row(account_id: UUID, of_version: int, person: Person, plans: Plans) -> tuple[Any, ...]:
    standing, earned = person.standing, person.standing.earned
    return (
        account_id,
        standing.tier,
        standing.since,
        standing.valid_until,
        standing.version,
        standing.as_of,
        plans.day_of(standing.as_of) if standing.as_of else None,
        earned.tier if earned else None,
        earned.period_from if earned else None,
        earned.held if earned else "",
        earned.held_until if earned else None,
        of_version,
        next_due(plans, person),
    )


async def doubt(conn: AsyncConnection, account_ids: Collection[UUID]) -> None:
    """Have these standings made anew from all days by whoever asks or tells next."""
    await conn.execute(DOUBT, {"account_ids": sorted(account_ids)})


async def save_grants(conn: AsyncConnection, grants: Mapping[UUID, Collection[Grant]]) -> None:
    """The tiers that these accounts have from elsewhere; they are locked."""
    if grants:
        documents = [GRANTS.dump_json(tuple(each)).decode() for each in grants.values()]
        await conn.execute(SAVE_GRANTS, {"account_ids": list(grants), "grants": documents})


async def set_joined(conn: AsyncConnection, days: Mapping[UUID, date]) -> None:
    """The days on which accounts joined by a deed of their own, from which anniversaries count;
    without one it is the first day that counts. The accounts are locked."""
    parameters = {"account_ids": list(days), "days": list(days.values())}
    await conn.execute(SET_JOINED, parameters)


async def list_due(conn: AsyncConnection, now: datetime, standings_max: int) -> list[str]:
    """Customers whose tiers have been due the longest."""
    parameters = {"now": now, "standings_max": standings_max}
    return list((await conn.execute(LIST_DUE, parameters)).scalars())
