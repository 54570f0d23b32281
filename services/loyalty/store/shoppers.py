"""What is known of who buys, what is counted of him, and what is spent of budgets."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.earning.caps import Place
from services.loyalty.earning.shoppers import Fact
from shared import db

# In key order, as every batch does it; what is newer stays.
SAVE_FACTS = text("""
    INSERT INTO shopper_fact (customer_id, name, value, event_time, event_source, event_id)
    SELECT * FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:names AS text[]), CAST(:values AS jsonb[]),
        CAST(:times AS timestamptz[]), CAST(:sources AS text[]), CAST(:ids AS text[])
    ) AS new (customer_id, name)
    ORDER BY customer_id, name
    ON CONFLICT (customer_id, name) DO UPDATE
    SET value = excluded.value, event_time = excluded.event_time,
        event_source = excluded.event_source, event_id = excluded.event_id
    WHERE (shopper_fact.event_time, shopper_fact.event_source, shopper_fact.event_id)
        < (excluded.event_time, excluded.event_source, excluded.event_id)
""")
LOAD_FACTS = text("""
    SELECT customer_id, name, value, event_time, event_source, event_id FROM shopper_fact
    WHERE customer_id = ANY(CAST(:customer_ids AS text[])) AND name = ANY(CAST(:names AS text[]))
""")
LIST_BORN = text("""
    SELECT born.customer_id
    FROM shopper_fact AS born JOIN member USING (customer_id)
    WHERE born.name = 'birthday' AND right(born.value #>> '{}', 5) = ANY(CAST(:days AS text[]))
        AND born.customer_id > :after
        AND NOT EXISTS (
            SELECT FROM coupon
            WHERE coupon.customer_id = born.customer_id AND coupon.reward_id = :reward_id
                AND coupon.issued_at >= :since AND coupon.issued_at < :until
        )
    ORDER BY born.customer_id
    LIMIT :members_max
""")
LOAD_TALLIES = text("""
    SELECT customer_id, subject, period, amount FROM tally
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
        AND subject = ANY(CAST(:subjects AS text[])) AND period = ANY(CAST(:periods AS text[]))
""")
# A count that comes to nothing again is no row. The customers are locked.
ADD_TALLIES = text("""
    MERGE INTO tally USING unnest(
        CAST(:customer_ids AS text[]), CAST(:subjects AS text[]), CAST(:periods AS text[]),
        CAST(:amounts AS bigint[])
    ) AS new (customer_id, subject, period, amount)
        ON tally.customer_id = new.customer_id AND tally.subject = new.subject
            AND tally.period = new.period
    WHEN MATCHED AND tally.amount + new.amount = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET amount = tally.amount + new.amount
    WHEN NOT MATCHED THEN INSERT (customer_id, subject, period, amount)
        VALUES (new.customer_id, new.subject, new.period, new.amount)
""")
LOAD_BUDGETS = text("""
    SELECT rule_id, spent FROM rule_budget WHERE rule_id = ANY(CAST(:rule_ids AS text[]))
""")
LOCK_BUDGETS = text("""
    SELECT rule_id, spent FROM rule_budget WHERE rule_id = ANY(CAST(:rule_ids AS text[]))
    ORDER BY rule_id
    FOR UPDATE
""")
OPEN_BUDGETS = text("""
    INSERT INTO rule_budget (rule_id)
    SELECT id FROM unnest(CAST(:rule_ids AS text[])) AS wanted (id)
    WHERE NOT EXISTS (SELECT FROM rule_budget WHERE rule_budget.rule_id = wanted.id)
    ORDER BY id
    ON CONFLICT (rule_id) DO NOTHING
""")
ADD_TO_BUDGETS = text("""
    UPDATE rule_budget SET spent = spent + new.points
    FROM unnest(CAST(:rule_ids AS text[]), CAST(:points AS bigint[])) AS new (rule_id, points)
    WHERE rule_budget.rule_id = new.rule_id
""")
FORGET_FACTS = text("""
    DELETE FROM shopper_fact WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET_TALLIES = text("""
    DELETE FROM tally WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")


async def save_facts(conn: AsyncConnection, facts: Collection[Fact]) -> None:
    """Write each fact, unless a newer one is there; each name of an id once."""
    if not facts:
        return
    await conn.execute(
        SAVE_FACTS,
        {
            "customer_ids": [fact.customer_id for fact in facts],
            "names": [fact.name for fact in facts],
            "values": [to_json(fact.value).decode() for fact in facts],
            "times": [fact.stamp[0] for fact in facts],
            "sources": [fact.stamp[1] for fact in facts],
            "ids": [fact.stamp[2] for fact in facts],
        },
    )


async def load_facts(
    conn: AsyncConnection, customer_ids: Collection[str], names: Collection[str]
) -> dict[str, list[Fact]]:
    """The facts of these names, by customer id."""
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    wanted = {"customer_ids": sorted(customer_ids), "names": sorted(names)}
    for customer_id, name, value, *stamp in await conn.execute(LOAD_FACTS, wanted):
        found[customer_id].append(Fact(customer_id, name, value, (stamp[0], stamp[1], stamp[2])))
    return found


async def list_born(
    conn: AsyncConnection,
    days: Collection[str],
    reward_id: str,
    since: datetime,
    until: datetime,
    *,
    after: str,
    members_max: int,
) -> list[str]:
    """Members with these birthdays (`MM-DD`) who have not got the reward in that time, in the
    order of their ids after one of them."""
    bound = {
        "days": sorted(days),
        "reward_id": reward_id,
        "since": since,
        "until": until,
        "after": after,
        "members_max": members_max,
    }
    return list((await conn.execute(LIST_BORN, bound)).scalars())


async def load_tallies(
    conn: AsyncConnection,
    customer_ids: Collection[str],
    subjects: Collection[str],
    periods: Collection[str],
) -> dict[str, dict[Place, int]]:
    """What is counted, by customer id."""
    found: defaultdict[str, dict[Place, int]] = defaultdict(dict)
    wanted = {
        "customer_ids": sorted(customer_ids),
        "subjects": sorted(subjects),
        "periods": sorted(periods),
    }
    for customer_id, subject, period, amount in await db.run(conn, LOAD_TALLIES, **wanted):
        found[customer_id][subject, period] = amount
    return found


async def add_tallies(conn: AsyncConnection, more: Mapping[str, Mapping[Place, int]]) -> None:
    """Count so much more, by customer id; the customers are locked."""
    rows = [
        (customer_id, subject, period, amount)
        for customer_id, places in more.items()
        for (subject, period), amount in places.items()
        if amount
    ]
    if rows:
        names = ("customer_ids", "subjects", "periods", "amounts")
        columns: Iterable[list[Any]] = map(list, zip(*rows, strict=True))
        await conn.execute(ADD_TALLIES, dict(zip(names, columns, strict=True)))


async def load_budgets(conn: AsyncConnection, rule_ids: Collection[str]) -> dict[str, int]:
    """What is spent of them, as committed now."""
    rows = await conn.execute(LOAD_BUDGETS, {"rule_ids": sorted(rule_ids)})
    return {row[0]: row[1] for row in rows}


async def lock_budgets(conn: AsyncConnection, rule_ids: Collection[str]) -> dict[str, int]:
    """What is spent of them, and nobody else spends of them until commit."""
    wanted = {"rule_ids": sorted(rule_ids)}
    await conn.execute(OPEN_BUDGETS, wanted)
    return {row[0]: row[1] for row in await conn.execute(LOCK_BUDGETS, wanted)}


async def add_to_budgets(conn: AsyncConnection, more: Mapping[str, int]) -> None:
    """Spend so much more of budgets, which are locked."""
    ids = sorted(more)
    points = [more[rule_id] for rule_id in ids]
    await conn.execute(ADD_TO_BUDGETS, {"rule_ids": ids, "points": points})


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, int]:
    """What is known and counted of the customers goes; how many rows, by table."""
    wanted = {"customer_ids": sorted(customer_ids)}
    facts = await conn.execute(FORGET_FACTS, wanted)
    tallies = await conn.execute(FORGET_TALLIES, wanted)
    return {"shopper_fact": facts.rowcount, "tally": tallies.rowcount}
