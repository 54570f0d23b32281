"""The offers that orders were promised. Budgets are locked last, all at once in key order."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.promotions.claims import Claim, Given, Move
from services.loyalty.promotions.stacking import Use
from shared import db

# A person has no row here before his first claim, so he is locked by name: two claims at once
# would else both find that he has one use left.
LOCK_PERSON = text("SELECT pg_advisory_xact_lock(hashtextextended('offers ' || :canonical_id, 0))")
LOAD = text("""
    SELECT order_id, customer_id, state, expires_at, given
    FROM offer_claim WHERE order_id = ANY(CAST(:order_ids AS text[]))
""")
LOCK = text("""
    SELECT order_id, customer_id, state, expires_at, given
    FROM offer_claim WHERE order_id = ANY(CAST(:order_ids AS text[]))
    ORDER BY order_id FOR UPDATE
""")
LIST_DUE = text("""
    SELECT order_id FROM offer_claim
    WHERE state = 'claimed' AND expires_at <= :now
    ORDER BY expires_at
    LIMIT :claims_max
""")
# Before its lock: two claims at once of one order, by a guest and by who he turns out to be,
# would else both find none, and both count.
OPEN = text("""
    INSERT INTO offer_claim (order_id, state, expires_at, given)
    VALUES (:order_id, 'released', :now, '[]')
    ON CONFLICT (order_id) DO NOTHING
""")
SAVE = text("""
    UPDATE offer_claim
    SET customer_id = new.customer_id, state = new.state, expires_at = new.expires_at,
        given = new.given
    FROM unnest(
        CAST(:order_ids AS text[]), CAST(:customer_ids AS text[]), CAST(:states AS text[]),
        CAST(:expire_at AS timestamptz[]), CAST(:given AS jsonb[])
    ) AS new (order_id, customer_id, state, expires_at, given)
    WHERE offer_claim.order_id = new.order_id
""")
COUNT_USES = text("""
    SELECT one ->> 'offer_id', count(*)
    FROM offer_claim CROSS JOIN jsonb_array_elements(given) AS one
    WHERE customer_id = ANY(CAST(:customer_ids AS text[])) AND state <> 'released'
    GROUP BY 1
""")
LOAD_BUDGETS = text("""
    SELECT offer_id, uses, cost_minor FROM offer_budget
    WHERE offer_id = ANY(CAST(:offer_ids AS text[]))
""")
ADD_BUDGETS = text("""
    INSERT INTO offer_budget (offer_id)
    SELECT id FROM unnest(CAST(:offer_ids AS text[])) AS wanted (id)
    WHERE NOT EXISTS (SELECT FROM offer_budget WHERE offer_id = id)
    ORDER BY id
    ON CONFLICT (offer_id) DO NOTHING
""")
LOCK_BUDGETS = text("""
    SELECT offer_id, uses, cost_minor FROM offer_budget
    WHERE offer_id = ANY(CAST(:offer_ids AS text[]))
    ORDER BY offer_id FOR UPDATE
""")
MOVE_BUDGETS = text("""
    UPDATE offer_budget
    SET uses = offer_budget.uses + moved.uses,
        cost_minor = offer_budget.cost_minor + moved.cost_minor
    FROM unnest(
        CAST(:offer_ids AS text[]), CAST(:uses AS bigint[]), CAST(:costs AS bigint[])
    ) AS moved (offer_id, uses, cost_minor)
    WHERE offer_budget.offer_id = moved.offer_id
""")
FORGET = text("""
    UPDATE offer_claim SET customer_id = NULL
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")

_GIVEN = TypeAdapter(tuple[Given, ...])


async def lock_person(conn: AsyncConnection, canonical_id: str) -> None:
    """Nobody else claims for this person until commit."""
    await conn.execute(LOCK_PERSON, {"canonical_id": canonical_id})


async def load(conn: AsyncConnection, order_id: str) -> Claim | None:
    return (await load_all(conn, [order_id])).get(order_id)


async def load_all(conn: AsyncConnection, order_ids: Iterable[str]) -> dict[str, Claim]:
    """The orders' claims, by order; not locked."""
    found = await db.fetch(conn, LOAD, _claim, order_ids=sorted(order_ids))
    return {claim.order_id: claim for claim in found}


async def open_one(conn: AsyncConnection, order_id: str, now: datetime) -> Claim:
    """The order's claim, locked; one that holds nothing, if there was none."""
    await conn.execute(OPEN, {"order_id": order_id, "now": now})
    return (await lock(conn, [order_id]))[order_id]


async def lock(conn: AsyncConnection, order_ids: Iterable[str]) -> dict[str, Claim]:
    """The orders' claims, locked; most orders have none."""
    found = await db.fetch(conn, LOCK, _claim, order_ids=sorted(set(order_ids)))
    return {claim.order_id: claim for claim in found}


async def list_due(conn: AsyncConnection, now: datetime, claims_max: int) -> list[str]:
    """The orders whose claims have been overdue the longest."""
    rows = await conn.execute(LIST_DUE, {"now": now, "claims_max": claims_max})
    return list(rows.scalars())


async def save(conn: AsyncConnection, changed: Collection[Claim]) -> None:
    """Claims that have changed; they are locked."""
    if changed:
        await conn.execute(
            SAVE,
            {
                "order_ids": [claim.order_id for claim in changed],
                "customer_ids": [claim.customer_id for claim in changed],
                "states": [claim.state for claim in changed],
                "expire_at": [claim.expires_at for claim in changed],
                "given": [_GIVEN.dump_json(claim.given).decode() for claim in changed],
            },
        )


async def count_uses(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, int]:
    """In how many orders of a person each offer counts."""
    rows = await conn.execute(COUNT_USES, {"customer_ids": sorted(customer_ids)})
    return {row[0]: row[1] for row in rows}


async def load_budgets(conn: AsyncConnection, offer_ids: Iterable[str]) -> dict[str, Use]:
    """What offers have come to; one that has come to nothing is not there."""
    rows = await conn.execute(LOAD_BUDGETS, {"offer_ids": sorted(set(offer_ids))})
    return {row.offer_id: Use(row.uses, row.cost_minor) for row in rows}


async def lock_budgets(conn: AsyncConnection, offer_ids: Iterable[str]) -> dict[str, Use]:
    """The same, locked: the last lock of a transaction."""
    wanted = {"offer_ids": sorted(set(offer_ids))}
    await conn.execute(ADD_BUDGETS, wanted)
    rows = await conn.execute(LOCK_BUDGETS, wanted)
    return {row.offer_id: Use(row.uses, row.cost_minor) for row in rows}


async def move_budgets(conn: AsyncConnection, moved: Mapping[str, Move]) -> None:
    """Add to budgets, which are locked."""
    if moved:
        await conn.execute(
            MOVE_BUDGETS,
            {
                "offer_ids": list(moved),
                "uses": [move.uses for move in moved.values()],
                "costs": [move.cost_minor for move in moved.values()],
            },
        )


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Take the customers' names from their claims; how many there were."""
    done = await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})
    return done.rowcount


def _claim(
    order_id: str, customer_id: str | None, state: Any, until: datetime, given: Any
) -> Claim:
    return Claim(order_id, customer_id, state, until, _GIVEN.validate_python(given))
