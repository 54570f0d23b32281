"""What customers did beside ordering: each thing once, with what was decided."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.earning.actions import Key, Streak
from shared import db

LOAD_DONE = text("""
    SELECT action.customer_id, action.kind, action.thing
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:kinds AS text[]), CAST(:things AS text[])
    ) AS wanted (customer_id, kind, thing)
    JOIN action USING (customer_id, kind, thing)
""")
ACTION = ("customer_id", "kind", "thing", "document", "done_at", "points", "verdicts")
LOAD_STREAKS = text("""
    SELECT customer_id, activity_id, last_day, days
    FROM streak WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
SAVE_STREAKS = text("""
    INSERT INTO streak (customer_id, activity_id, last_day, days)
    SELECT * FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:activity_ids AS text[]), CAST(:last_days AS date[]),
        CAST(:days AS int[])
    ) AS new (customer_id, activity_id)
    ORDER BY customer_id, activity_id
    ON CONFLICT (customer_id, activity_id) DO UPDATE
    SET last_day = excluded.last_day, days = excluded.days
""")
LIST_OF_PERSON = text("""
    SELECT kind, thing, document, done_at, points, verdicts
    FROM action
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY done_at DESC
    LIMIT :actions_max
""")
LIST_BORN = text("""
    SELECT f.customer_id, m.account_id, f.value #>> '{}' AS born
    FROM shopper_fact AS f JOIN member AS m USING (customer_id)
    WHERE f.name = 'birthday' AND right(f.value #>> '{}', 5) = ANY(CAST(:days AS text[]))
        AND f.customer_id > :after
        AND NOT EXISTS (
            SELECT FROM action AS a
            WHERE a.customer_id = f.customer_id AND a.kind = 'birthday' AND a.thing = :thing
        )
    ORDER BY f.customer_id
    LIMIT :members_max
""")
LIST_JOINED = text("""
    SELECT f.customer_id, m.account_id, f.value #>> '{}' AS joined
    FROM shopper_fact AS f JOIN member AS m USING (customer_id)
    WHERE f.name = 'joined' AND substr(f.value #>> '{}', 6, 5) = ANY(CAST(:days AS text[]))
        AND f.customer_id > :after
        AND NOT EXISTS (
            SELECT FROM action AS a
            WHERE a.customer_id = f.customer_id AND a.kind = 'anniversary' AND a.thing = :thing
        )
    ORDER BY f.customer_id
    LIMIT :members_max
""")
FORGET = {
    "action": text("DELETE FROM action WHERE customer_id = ANY(CAST(:customer_ids AS text[]))"),
    "streak": text("DELETE FROM streak WHERE customer_id = ANY(CAST(:customer_ids AS text[]))"),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """An action as it is kept, with every rule's verdict."""

    kind: str
    thing: str
    document: str
    done_at: datetime
    points: int
    verdicts: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Celebrant:
    """A member with a day of his own; `since` is the date as it was told."""

    customer_id: str
    account_id: UUID
    since: str


async def load_done(conn: AsyncConnection, keys: Collection[Key]) -> set[Key]:
    """Of these things, those that are done."""
    customer_ids, kinds, things = map(list, zip(*sorted(keys), strict=True))
    rows = await conn.execute(
        LOAD_DONE, {"customer_ids": customer_ids, "kinds": kinds, "things": things}
    )
    return {(row[0], row[1], row[2]) for row in rows}


async def add(conn: AsyncConnection, rows: Iterable[tuple[Key, Kept]]) -> None:
    """Note what is done; one that is done already is an error."""
    found = [
        (*key, kept.document, kept.done_at, kept.points, to_json(kept.verdicts).decode())
        for key, kept in rows
    ]
    if found:
        await db.copy_rows(conn, "action", ACTION, found)


async def load_streaks(
    conn: AsyncConnection, customer_ids: Collection[str]
) -> dict[tuple[str, str], Streak]:
    """By customer and activity."""
    found = await db.fetch(conn, LOAD_STREAKS, Streak, customer_ids=sorted(customer_ids))
    return {(one.customer_id, one.activity_id): one for one in found}


async def save_streaks(conn: AsyncConnection, streaks: Collection[Streak]) -> None:
    """The customers are locked."""
    if streaks:
        await conn.execute(
            SAVE_STREAKS,
            {
                "customer_ids": [one.customer_id for one in streaks],
                "activity_ids": [one.activity_id for one in streaks],
                "last_days": [one.last_day for one in streaks],
                "days": [one.days for one in streaks],
            },
        )


async def list_of_person(
    conn: AsyncConnection, customer_ids: Iterable[str], actions_max: int
) -> list[Kept]:
    """The newest first."""
    ids = sorted(customer_ids)
    return await db.fetch(conn, LIST_OF_PERSON, Kept, customer_ids=ids, actions_max=actions_max)


async def list_celebrants(
    conn: AsyncConnection,
    kind: str,
    days: Collection[str],
    thing: str,
    *,
    after: str,
    members_max: int,
) -> list[Celebrant]:
    """Members whose birthday or anniversary is on one of these days of the year, `MM-DD`, and who
    have not been congratulated under `thing`; by id, after `after`."""
    return await db.fetch(
        conn,
        LIST_BORN if kind == "birthday" else LIST_JOINED,
        Celebrant,
        days=sorted(days),
        thing=thing,
        after=after,
        members_max=members_max,
    )


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, int]:
    """How many rows went, by table."""
    bound = {"customer_ids": sorted(customer_ids)}
    return {
        table: (await conn.execute(statement, bound)).rowcount
        for table, statement in FORGET.items()
    }
