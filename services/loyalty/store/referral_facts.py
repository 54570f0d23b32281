"""What referrals are judged by, as events tell it, and whose are to be judged anew."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.inviting.referral_facts import Invitation, Registration
from services.loyalty.inviting.referrals import OrderFact, Signal
from shared import db

ADD_INVITATIONS = text("""
    INSERT INTO invitation (customer_id, referral_id, code, invited_id, invited_at)
    SELECT * FROM unnest(
        CAST(:customer_id AS text[]), CAST(:referral_id AS text[]), CAST(:code AS bytea[]),
        CAST(:invited_id AS text[]), CAST(:invited_at AS timestamptz[])
    ) AS new (customer_id, referral_id)
    ORDER BY customer_id, referral_id
    ON CONFLICT (customer_id, referral_id) DO NOTHING
""")
ADD_INVITED = text("""
    INSERT INTO referral (customer_id)
    SELECT id FROM unnest(CAST(:customer_ids AS text[])) AS invited (id) ORDER BY id
    ON CONFLICT (customer_id) DO NOTHING
""")
# The first registration counts; what was awarded stays with the code that it was awarded by.
ADD_REGISTRATIONS = text("""
    INSERT INTO referral (customer_id, code, store, registered_at)
    SELECT * FROM unnest(
        CAST(:customer_id AS text[]), CAST(:code AS bytea[]), CAST(:store AS text[]),
        CAST(:registered_at AS timestamptz[])
    ) AS new (customer_id)
    ORDER BY customer_id
    ON CONFLICT (customer_id) DO UPDATE
    SET code = excluded.code, store = excluded.store, registered_at = excluded.registered_at
    WHERE referral.step = 0
        AND (referral.registered_at IS NULL OR excluded.registered_at < referral.registered_at)
""")
SAVE_ORDERS = text("""
    INSERT INTO referral_order (
        order_id, customer_id, revision, placed_at, told_at, store, paid, net_minor, arrived
    )
    SELECT * FROM unnest(
        CAST(:order_id AS text[]), CAST(:customer_id AS text[]), CAST(:revision AS bigint[]),
        CAST(:placed_at AS timestamptz[]), CAST(:told_at AS timestamptz[]),
        CAST(:store AS text[]), CAST(:paid AS boolean[]), CAST(:net_minor AS bigint[]),
        CAST(:arrived AS boolean[])
    ) AS new (order_id)
    ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE
    SET customer_id = excluded.customer_id, revision = excluded.revision,
        placed_at = least(referral_order.placed_at, excluded.placed_at),
        told_at = excluded.told_at, store = excluded.store, paid = excluded.paid,
        net_minor = excluded.net_minor, arrived = excluded.arrived
    WHERE referral_order.revision < excluded.revision
""")
SAVE_SIGNALS = text("""
    INSERT INTO referral_signal (customer_id, kind, digest, seen_at)
    SELECT * FROM unnest(
        CAST(:customer_id AS text[]), CAST(:kind AS text[]), CAST(:digest AS bytea[]),
        CAST(:seen_at AS timestamptz[])
    ) AS new (customer_id, kind, digest)
    ORDER BY customer_id, kind, digest
    ON CONFLICT (customer_id, kind, digest) DO UPDATE SET seen_at = excluded.seen_at
    WHERE excluded.seen_at < referral_signal.seen_at
    RETURNING customer_id
""")
# An older mark is written anew, so that who has just read it does not take this one away.
MARK_DUE = text("""
    INSERT INTO referral_due (customer_id, due_at, wide)
    SELECT id, clock_timestamp(), wide
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:wide AS boolean[])) AS due (id, wide)
    ORDER BY id
    ON CONFLICT (customer_id) DO UPDATE
    SET due_at = excluded.due_at, wide = referral_due.wide OR excluded.wide
""")
LIST_DUE = text("""
    SELECT customer_id, due_at, wide FROM referral_due ORDER BY due_at LIMIT :customers_max
""")
END_DUE = text("""
    DELETE FROM referral_due
    USING unnest(CAST(:customer_ids AS text[]), CAST(:due_ats AS timestamptz[])) AS done (id, at)
    WHERE referral_due.customer_id = done.id AND referral_due.due_at = done.at
""")
LOAD_ORDERS = text("""
    SELECT order_id, customer_id, revision, placed_at, told_at, store, paid, net_minor, arrived
    FROM referral_order WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
LOAD_SIGNALS = text("""
    SELECT customer_id, kind, digest, seen_at FROM referral_signal
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
# Orders from before the programme was laid down.
LOAD_OLDEST = text("""
    SELECT s.customer_id, min(coalesce(d.placed_at, s.event_time))
    FROM order_state AS s LEFT JOIN order_decision AS d USING (order_id)
    WHERE s.customer_id = ANY(CAST(:customer_ids AS text[])) AND s.verdict = 'earns'
    GROUP BY s.customer_id
""")


class Due(NamedTuple):
    """A mark: somebody's own referral is to be judged; if `wide`, also those whom he invited."""

    customer_id: str
    due_at: datetime
    wide: bool


async def add_invitations(conn: AsyncConnection, found: Collection[Invitation]) -> None:
    """Each once; who is invited by name has a referral from then on."""
    if not found:
        return
    names = ("customer_id", "referral_id", "code", "invited_id", "invited_at")
    await conn.execute(ADD_INVITATIONS, _columns(names, found))
    if invited := {one.invited_id for one in found if one.invited_id}:
        await conn.execute(ADD_INVITED, {"customer_ids": sorted(invited)})


async def add_registrations(conn: AsyncConnection, found: Collection[Registration]) -> None:
    if found:
        names = ("customer_id", "code", "store", "registered_at")
        await conn.execute(ADD_REGISTRATIONS, _columns(names, found))


async def save_orders(conn: AsyncConnection, found: Collection[OrderFact]) -> None:
    """Each by its highest revision."""
    if found:
        names = ("order_id", "customer_id", "revision", "placed_at", "told_at", "store")
        await conn.execute(SAVE_ORDERS, _columns((*names, "paid", "net_minor", "arrived"), found))


async def save_signals(conn: AsyncConnection, found: Collection[Signal]) -> set[str]:
    """Each by when it was seen first; the customers of those that are news."""
    if not found:
        return set()
    names = ("customer_id", "kind", "digest", "seen_at")
    return set((await conn.execute(SAVE_SIGNALS, _columns(names, found))).scalars())


async def mark_due(
    conn: AsyncConnection, customer_ids: Collection[str], wide: Collection[str]
) -> None:
    """The last rows that are locked. `wide`: also those whom they invited."""
    if every := sorted({*customer_ids, *wide}):
        told = [customer_id in wide for customer_id in every]
        await conn.execute(MARK_DUE, {"customer_ids": every, "wide": told})


async def list_due(conn: AsyncConnection, customers_max: int) -> list[Due]:
    """Whose referrals are to be judged, the longest due first."""
    return await db.fetch(conn, LIST_DUE, Due, customers_max=customers_max)


async def end_due(conn: AsyncConnection, due: Collection[Due]) -> None:
    """They are judged, but for those that were marked anew meanwhile."""
    ids, marks = [one.customer_id for one in due], [one.due_at for one in due]
    await conn.execute(END_DUE, {"customer_ids": ids, "due_ats": marks})


async def load_orders(conn: AsyncConnection, customer_ids: Collection[str]) -> list[OrderFact]:
    return await db.fetch(conn, LOAD_ORDERS, OrderFact, customer_ids=sorted(customer_ids))


async def load_signals(conn: AsyncConnection, customer_ids: Collection[str]) -> list[Signal]:
    return await db.fetch(conn, LOAD_SIGNALS, Signal, customer_ids=sorted(customer_ids))


async def load_oldest(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, datetime]:
    """Since when these have ordered, of what loyalty knows at all."""
    rows = await conn.execute(LOAD_OLDEST, {"customer_ids": sorted(customer_ids)})
    return {row[0]: row[1] for row in rows}


def _columns(names: Sequence[str], rows: Iterable[Any]) -> dict[str, list[Any]]:
    every = list(rows)
    return {name: [getattr(row, name) for row in every] for name in names}
