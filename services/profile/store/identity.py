"""Who is one person: homes, the journal, and the people around an id."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.profile.identity import Home, Link, complete
from shared import db
from shared.aliases import Person

JOURNAL_MAX = 1_000

# Everyone in one person with these ids.
LOAD_PEOPLE = text("""
    WITH asked AS (SELECT unnest(CAST(:customer_ids AS text[])) AS id),
    near AS (
        SELECT id FROM asked
        UNION SELECT unnest(a.members) FROM asked JOIN alias AS a ON a.customer_id = asked.id
    )
    SELECT near.id, a.canonical_id, a.members, a.version,
        i.member_id, i.home_id, i.decided, i.time, i.source, i.id
    FROM near  -- LATERAL and LIMIT: by the key for each, never a join with the whole table
    LEFT JOIN LATERAL (SELECT * FROM alias WHERE customer_id = near.id LIMIT 1) AS a ON true
    LEFT JOIN LATERAL (SELECT * FROM identity WHERE member_id = near.id LIMIT 1) AS i ON true
""")

SAVE_HOMES = text("""
    INSERT INTO identity (member_id, home_id, decided, time, source, id)
    SELECT * FROM unnest(
        CAST(:member_ids AS text[]), CAST(:home_ids AS text[]), CAST(:decided AS boolean[]),
        CAST(:times AS timestamptz[]), CAST(:sources AS text[]), CAST(:ids AS text[])
    )
    ON CONFLICT (member_id) DO UPDATE
    SET home_id = excluded.home_id, decided = excluded.decided, time = excluded.time,
        source = excluded.source, id = excluded.id
""")

ADD_LINKS = text("""
    INSERT INTO identity_link (member_id, other_id, kind, time, source, id, refused)
    SELECT * FROM unnest(
        CAST(:member_ids AS text[]), CAST(:other_ids AS text[]), CAST(:kinds AS text[]),
        CAST(:times AS timestamptz[]), CAST(:sources AS text[]), CAST(:ids AS text[]),
        CAST(:refused AS boolean[])
    )
    ON CONFLICT DO NOTHING
""")

# The journal of these ids, the newest first; `in_force` is what the person rests on now.
LIST_JOURNAL = text("""
    SELECT l.member_id, l.other_id, l.kind, l.time, l.source, l.id, l.refused,
        coalesce(i.source = l.source AND i.id = l.id, false)
    FROM identity_link AS l
    LEFT JOIN identity AS i ON i.member_id = l.member_id
    WHERE l.member_id = ANY(CAST(:customer_ids AS text[]))
        OR l.other_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY l.time DESC, l.source DESC, l.id DESC
    LIMIT :limit
""")

# Every identification of each anonymous id that was once identified as one of these.
LIST_IDENTIFIED = text("""
    WITH visitor AS (
        SELECT DISTINCT member_id FROM identity_link
        WHERE other_id = ANY(CAST(:customer_ids AS text[])) AND kind = 'identified'
    )
    SELECT l.member_id, l.other_id, l.kind, l.time, l.source, l.id, l.refused,
        coalesce(i.decided, false)
    FROM visitor
    JOIN identity_link AS l ON l.member_id = visitor.member_id AND l.kind = 'identified'
    LEFT JOIN identity AS i ON i.member_id = l.member_id
""")


@dataclass(frozen=True, slots=True)
class Marked:
    """A link with a mark: in force, or of an id that a decision was taken about."""

    link: Link
    mark: bool


def _marked(member_id: str, other_id: str, kind: str, time: datetime, *rest: str | bool) -> Marked:
    *named, mark = rest
    return Marked(Link(member_id, other_id, kind, time, *named), bool(mark))  # type: ignore[arg-type]


async def load_people(
    conn: AsyncConnection, customer_ids: Collection[str]
) -> tuple[dict[str, Person], dict[str, Home]]:
    """Everyone concerned by a change about these ids: who they are, and their homes."""
    rows = (await conn.execute(LOAD_PEOPLE, {"customer_ids": sorted(customer_ids)})).all()
    people = {
        row[0]: Person(row[1], tuple(row[2]), row[3]) if row[1] else Person(row[0], (row[0],))
        for row in rows
    }
    return people, complete([Home(*row[4:]) for row in rows if row[4]], people)


async def save_homes(conn: AsyncConnection, homes: Collection[Home]) -> None:
    ordered = sorted(homes, key=lambda home: home.member_id)
    await conn.execute(
        SAVE_HOMES,
        {
            "member_ids": [home.member_id for home in ordered],
            "home_ids": [home.home_id for home in ordered],
            "decided": [home.decided for home in ordered],
            "times": [home.time for home in ordered],
            "sources": [home.source for home in ordered],
            "ids": [home.id for home in ordered],
        },
    )


async def add_links(conn: AsyncConnection, links: Collection[Link]) -> None:
    await conn.execute(
        ADD_LINKS,
        {
            "member_ids": [link.member_id for link in links],
            "other_ids": [link.other_id for link in links],
            "kinds": [link.kind for link in links],
            "times": [link.time for link in links],
            "sources": [link.source for link in links],
            "ids": [link.id for link in links],
            "refused": [link.refused for link in links],
        },
    )


async def list_journal(conn: AsyncConnection, customer_ids: Collection[str]) -> list[Marked]:
    """The newest JOURNAL_MAX links about these ids, marked where they are in force."""
    ids = sorted(customer_ids)
    return await db.fetch(conn, LIST_JOURNAL, _marked, customer_ids=ids, limit=JOURNAL_MAX)


async def list_identified(conn: AsyncConnection, customer_ids: Collection[str]) -> list[Marked]:
    """The identifications that decide whose hours are whose, marked where a decision does."""
    return await db.fetch(conn, LIST_IDENTIFIED, _marked, customer_ids=sorted(customer_ids))
