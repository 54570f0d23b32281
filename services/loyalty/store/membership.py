"""Stays: when each customer joined, and left."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.members.membership import Stay
from shared import db

LIST_OF_PEOPLE = text("""
    SELECT m.customer_id, s.number, s.joined_at, s.credits_from, s.terms_version, s.channel,
        s.accepted_at, s.asked_at, s.leaves_at, s.forfeited_at
    FROM member AS m JOIN membership AS s USING (account_id)
    WHERE m.customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY m.customer_id, s.number
""")
SAVE = text("""
    INSERT INTO membership (
        account_id, number, joined_at, credits_from, terms_version, channel, accepted_at,
        asked_at, leaves_at, forfeited_at
    )
    SELECT account_id, :number, :joined_at, :credits_from, :terms_version, :channel,
        :accepted_at, :asked_at, :leaves_at, :forfeited_at
    FROM member WHERE customer_id = :customer_id
    ON CONFLICT (account_id, number) DO UPDATE
    SET terms_version = excluded.terms_version, channel = excluded.channel,
        accepted_at = excluded.accepted_at, asked_at = excluded.asked_at,
        leaves_at = excluded.leaves_at, forfeited_at = excluded.forfeited_at
""")
# The stays of the person behind each id, whichever of his ids they stand under.
LIST_OF_PERSONS = text("""
    SELECT wanted.id, m.customer_id, s.number, s.joined_at, s.credits_from, s.terms_version,
        s.channel, s.accepted_at, s.asked_at, s.leaves_at, s.forfeited_at
    FROM unnest(CAST(:customer_ids AS text[])) AS wanted (id)
    LEFT JOIN alias ON alias.customer_id = wanted.id
    JOIN member AS m ON m.customer_id = ANY(coalesce(alias.members, ARRAY[wanted.id]))
    JOIN membership AS s USING (account_id)
""")
LIST_DUE = text("""
    SELECT s.leaves_at, s.account_id, m.customer_id
    FROM membership AS s JOIN member AS m USING (account_id)
    WHERE s.leaves_at <= :now AND s.forfeited_at IS NULL
        AND (s.leaves_at, s.account_id) > (CAST(:after AS timestamptz), CAST(:after_id AS uuid))
    ORDER BY s.leaves_at, s.account_id
    LIMIT :count
""")
MARK_FORFEITED = text("""
    UPDATE membership SET forfeited_at = :at
    WHERE account_id = ANY(CAST(:account_ids AS uuid[])) AND leaves_at <= :at
        AND forfeited_at IS NULL
""")
Place = tuple[datetime, UUID]
FIRST: Place = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))

FORGET = text("""
    DELETE FROM membership USING member
    WHERE member.account_id = membership.account_id
        AND member.customer_id = ANY(CAST(:customer_ids AS text[]))
""")


@dataclass(frozen=True, slots=True)
class Leaver:
    """Somebody who has left under this id."""

    leaves_at: datetime
    account_id: UUID
    customer_id: str


async def list_of_people(
    conn: AsyncConnection, customer_ids: Collection[str]
) -> dict[str, list[Stay]]:
    """The stays under these ids, by id."""
    found: defaultdict[str, list[Stay]] = defaultdict(list)
    for stay in await db.fetch(conn, LIST_OF_PEOPLE, Stay, customer_ids=sorted(customer_ids)):
        found[stay.customer_id].append(stay)
    return dict(found)


async def list_of_persons(
    conn: AsyncConnection, customer_ids: Collection[str]
) -> dict[str, list[Stay]]:
    """For each of these ids, the stays of the person whose it is."""
    found: defaultdict[str, list[Stay]] = defaultdict(list)
    for id_, *stay in await db.run(conn, LIST_OF_PERSONS, customer_ids=sorted(customer_ids)):
        found[id_].append(Stay(*stay))
    return dict(found)


async def list_due(conn: AsyncConnection, now: datetime, after: Place, count: int) -> list[Leaver]:
    """Who has left and may have points, in the order of their leaving, after a place in it."""
    when, account_id = after
    return await db.fetch(
        conn, LIST_DUE, Leaver, now=now, after=when, after_id=account_id, count=count
    )


async def mark_forfeited(
    conn: AsyncConnection, account_ids: Collection[UUID], at: datetime
) -> None:
    """Nothing is left to forfeit under these accounts."""
    await conn.execute(MARK_FORFEITED, {"account_ids": list(account_ids), "at": at})


async def save(conn: AsyncConnection, stay: Stay) -> None:
    """Write a stay; its customer has an account, which is locked."""
    bound = {name: getattr(stay, name) for name in Stay.__dataclass_fields__}
    saved = await conn.execute(SAVE, bound)
    assert saved.rowcount == 1, "who joins has an account"


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Delete the customers' stays, before their links go; how many there were."""
    return (await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})).rowcount
