"""Referrals: whose they are, what was awarded, and what counts beside them.

Locks, in this order: the members' accounts, rows of referrals, then whose are due. What they
are judged by is in `referral_facts.py`.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.inviting.referrals import LINKS_MAX, Referral
from shared import db

# Whose code it is, else who invited him by name: the first who did.
RESOLVE = text("""
    WITH concerned AS (
        SELECT id FROM referral WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
        UNION
        SELECT referral.id FROM invitation JOIN referral USING (code)
        WHERE invitation.customer_id = ANY(CAST(:inviters AS text[]))
    ), locked AS (
        SELECT id, customer_id, code FROM referral WHERE id IN (SELECT id FROM concerned)
        ORDER BY customer_id
        FOR UPDATE
    ), found AS (
        SELECT locked.id, by.customer_id, by.invited_at
        FROM locked CROSS JOIN LATERAL (
            SELECT customer_id, CAST(NULL AS timestamptz) AS invited_at, invited_at AS at
            FROM invitation WHERE invitation.code = locked.code
            UNION ALL
            SELECT customer_id, invited_at, invited_at
            FROM invitation
            WHERE locked.code IS NULL AND invitation.invited_id = locked.customer_id
            ORDER BY at, customer_id
            LIMIT 1
        ) AS by
    )
    UPDATE referral SET referrer_id = found.customer_id, invited_at = found.invited_at
    FROM found
    WHERE referral.id = found.id AND referral.step = 0 AND NOT referral.forgotten
        AND (referral.referrer_id, referral.invited_at)
            IS DISTINCT FROM (found.customer_id, found.invited_at)
""")
LIST_CONCERNED = text("""
    SELECT id, customer_id, referrer_id FROM referral
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    UNION
    SELECT id, customer_id, referrer_id FROM referral
    WHERE referrer_id = ANY(CAST(:inviters AS text[])) AND customer_id IS NOT NULL
""")
COLUMNS = """id, customer_id, referrer_id, store, invited_at, registered_at, state, reason,
    order_id, qualified_at, referrer_points, friend_points, step, hold, forgotten"""
LOAD = text(f"""
    SELECT {COLUMNS} FROM referral
    WHERE id = ANY(CAST(:ids AS uuid[])) AND customer_id IS NOT NULL
    ORDER BY registered_at, id
""")  # noqa: S608 -- constants
LIST_OF_FRIENDS = text(f"""
    SELECT {COLUMNS} FROM referral WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")  # noqa: S608 -- constants
LIST_OF_REFERRER = text(f"""
    SELECT {COLUMNS} FROM referral WHERE referrer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY coalesce(registered_at, invited_at) DESC NULLS LAST, id
    LIMIT :referrals_max
""")  # noqa: S608 -- constants
# Whose own code counts already.
GET_SHOWN = text("""
    SELECT member.account_id FROM member JOIN invitation USING (customer_id)
    WHERE member.customer_id = :customer_id AND invitation.referral_id = ''
""")
LOAD_ANCESTORS = text("""
    WITH RECURSIVE chain (start, customer_id, depth) AS (
        SELECT id, id, 0 FROM unnest(CAST(:customer_ids AS text[])) AS wanted (id)
        UNION
        SELECT chain.start, above.referrer_id, chain.depth + 1
        FROM chain CROSS JOIN LATERAL (
            SELECT referral.referrer_id
            FROM unnest(coalesce(
                (SELECT members FROM alias WHERE alias.customer_id = chain.customer_id),
                ARRAY[chain.customer_id]
            )) AS own (id)
            JOIN referral ON referral.customer_id = own.id
            WHERE referral.referrer_id IS NOT NULL
        ) AS above
        WHERE chain.depth < :links_max
    )
    SELECT DISTINCT start, customer_id FROM chain WHERE depth > 0
""")
LIST_COUNTED = text("""
    SELECT id, referrer_id, qualified_at FROM referral
    WHERE referrer_id = ANY(CAST(:customer_ids AS text[])) AND qualified_at IS NOT NULL
        AND (state = 'awarded' OR state = 'qualified' AND hold = 'held')
""")
SAVED = (
    *("id", "state", "reason", "order_id", "registered_at", "qualified_at"),
    *("referrer_points", "friend_points", "step", "hold"),
)
SAVE = text("""
    UPDATE referral
    SET state = new.state, reason = new.reason, order_id = new.order_id,
        registered_at = new.registered_at, qualified_at = new.qualified_at,
        referrer_points = new.referrer_points, friend_points = new.friend_points,
        step = new.step, hold = new.hold
    FROM unnest(
        CAST(:id AS uuid[]), CAST(:state AS text[]), CAST(:reason AS text[]),
        CAST(:order_id AS text[]), CAST(:registered_at AS timestamptz[]),
        CAST(:qualified_at AS timestamptz[]), CAST(:referrer_points AS bigint[]),
        CAST(:friend_points AS bigint[]), CAST(:step AS int[]), CAST(:hold AS text[])
    ) AS new (
        id, state, reason, order_id, registered_at, qualified_at, referrer_points,
        friend_points, step, hold
    )
    WHERE referral.id = new.id
""")
DECIDE = text("""
    UPDATE referral SET hold = :hold WHERE id = :id AND hold = 'held' AND customer_id IS NOT NULL
    RETURNING customer_id
""")
FORGET_INVITATIONS = text("""
    DELETE FROM invitation WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET_INVITED = text("""
    UPDATE invitation SET invited_id = NULL
    WHERE invited_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET_FRIENDS = text("""
    UPDATE referral
    SET customer_id = NULL, code = NULL, order_id = '', hold = '',
        state = CASE WHEN state IN ('awarded', 'reversed', 'refused') THEN state
            ELSE 'refused' END,
        reason = CASE WHEN state IN ('awarded', 'reversed', 'refused') THEN reason
            ELSE 'erased' END
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET_REFERRERS = text("""
    UPDATE referral SET referrer_id = NULL, code = NULL, forgotten = true
    WHERE referrer_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET_ORDERS = text("""
    DELETE FROM referral_order WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET_SIGNALS = text("""
    DELETE FROM referral_signal WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET_DUE = text("""
    DELETE FROM referral_due WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET = {
    "invitation": (FORGET_INVITATIONS, FORGET_INVITED),
    "referral": (FORGET_FRIENDS, FORGET_REFERRERS),
    "referral_order": (FORGET_ORDERS,),
    "referral_signal": (FORGET_SIGNALS,),
    "referral_due": (FORGET_DUE,),
}
"""By the table whose rows are counted."""


async def resolve(
    conn: AsyncConnection, customer_ids: Collection[str], inviters: Collection[str]
) -> None:
    """Find who invited these, and whom the inviters did."""
    bound = {"customer_ids": sorted(customer_ids), "inviters": sorted(inviters)}
    await conn.execute(RESOLVE, bound)


async def list_concerned(
    conn: AsyncConnection, customer_ids: Collection[str], inviters: Collection[str]
) -> list[tuple[UUID, str | None, str | None]]:
    """The referrals of these, and of those whom the inviters invited: id, friend, referrer."""
    bound = {"customer_ids": sorted(customer_ids), "inviters": sorted(inviters)}
    rows = await conn.execute(LIST_CONCERNED, bound)
    return [(row[0], row[1], row[2]) for row in rows]


async def load(conn: AsyncConnection, ids: Collection[UUID]) -> list[Referral]:
    """Those of nobody erased, by registration."""
    return await db.fetch(conn, LOAD, Referral, ids=sorted(ids))


async def list_of_friends(conn: AsyncConnection, customer_ids: Collection[str]) -> list[Referral]:
    return await db.fetch(conn, LIST_OF_FRIENDS, Referral, customer_ids=sorted(customer_ids))


async def list_of_referrer(
    conn: AsyncConnection, customer_ids: Collection[str], referrals_max: int
) -> list[Referral]:
    """The newest first."""
    return await db.fetch(
        conn,
        LIST_OF_REFERRER,
        Referral,
        customer_ids=sorted(customer_ids),
        referrals_max=referrals_max,
    )


async def get_shown(conn: AsyncConnection, customer_id: str) -> UUID | None:
    """The account of whose code was looked at before."""
    found: UUID | None = (
        await conn.execute(GET_SHOWN, {"customer_id": customer_id})
    ).scalar_one_or_none()
    return found


async def load_ancestors(
    conn: AsyncConnection, customer_ids: Collection[str]
) -> dict[str, set[str]]:
    """For each of these, who invited him, who invited that one, and so on up."""
    bound = {"customer_ids": sorted(customer_ids), "links_max": LINKS_MAX}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for start, above in await conn.execute(LOAD_ANCESTORS, bound):
        found[start].add(above)
    return found


async def list_counted(
    conn: AsyncConnection, referrer_ids: Collection[str]
) -> list[tuple[UUID, str, datetime]]:
    """What counts against caps: id, referrer, when it qualified."""
    rows = await conn.execute(LIST_COUNTED, {"customer_ids": sorted(referrer_ids)})
    return [(row[0], row[1], row[2]) for row in rows]


async def save(conn: AsyncConnection, changed: Collection[Referral]) -> None:
    """The accounts of both sides are locked."""
    if changed:
        await conn.execute(SAVE, {name: [getattr(row, name) for row in changed] for name in SAVED})


async def decide(conn: AsyncConnection, id_: UUID, hold: str) -> str | None:
    """Keep what was decided on a held one; the friend, None if it is held no more."""
    found: str | None = (await conn.execute(DECIDE, {"id": id_, "hold": hold})).scalar_one_or_none()
    return found


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, int]:
    """Neither side's name, and no fact, stays; what was awarded does. How many rows, by table."""
    bound = {"customer_ids": sorted(customer_ids)}
    return {
        table: sum([(await conn.execute(each, bound)).rowcount for each in statements])
        for table, statements in FORGET.items()
    }
