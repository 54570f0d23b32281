"""The same person under several ids: a merge moves nothing.

State stays under the id that carried the events; a person is the union of the members'
rows, joined when read. So undoing a merge is exact, and the order between partitions does
not matter. Profile decides; every service keeps this table from `profile.merged` and
`profile.unmerged`, applies only higher versions, and answers any member's id.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.envelope import Event
from shared.events.profiles import ProfileMerged, ProfileUnmerged

# One statement for a batch: of several versions for one id the highest wins.
APPLY = text("""
    INSERT INTO alias (customer_id, canonical_id, members, version)
    SELECT DISTINCT ON (customer_id) customer_id, canonical_id,
        string_to_array(members, E'\\x1f'), version
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:canonical_ids AS text[]),
        CAST(:members AS text[]), CAST(:versions AS bigint[])
    ) AS new (customer_id, canonical_id, members, version)
    ORDER BY customer_id, version DESC
    ON CONFLICT (customer_id) DO UPDATE
    SET canonical_id = excluded.canonical_id, members = excluded.members,
        version = excluded.version
    WHERE alias.version < excluded.version
""")
LOAD_PEOPLE = text("""
    SELECT customer_id, canonical_id, members, version FROM alias
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
FORGET = text("DELETE FROM alias WHERE customer_id = ANY(CAST(:customer_ids AS text[]))")


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever stands behind an id: `members` in ascending order, with the canonical one."""

    canonical_id: str
    members: tuple[str, ...]
    version: int = 0


async def apply(conn: AsyncConnection, events: Sequence[Event]) -> None:
    """Follow merges and unmerges; a service calls this before it folds its own."""
    facts = [e.data for e in events if isinstance(e.data, ProfileMerged | ProfileUnmerged)]
    if facts:
        await save(
            conn,
            {
                fact.customer_id: Person(fact.canonical_id, tuple(fact.members), fact.version)
                for fact in sorted(facts, key=lambda fact: fact.version)
            },
        )


async def save(conn: AsyncConnection, people: dict[str, Person]) -> None:
    """Whom each id belongs to, from its version on."""
    ordered = sorted(people.items())
    await conn.execute(
        APPLY,
        {
            "customer_ids": [customer_id for customer_id, _ in ordered],
            "canonical_ids": [person.canonical_id for _, person in ordered],
            "members": ["\x1f".join(person.members) for _, person in ordered],
            "versions": [person.version for _, person in ordered],
        },
    )


async def people_of(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, Person]:
    """The person behind each id; an id never merged is a person of its own."""
    rows = await conn.execute(LOAD_PEOPLE, {"customer_ids": sorted(set(customer_ids))})
    known = {
        customer_id: Person(canonical_id, tuple(members), version)
        for customer_id, canonical_id, members, version in rows
    }
    return {id_: known.get(id_) or Person(id_, (id_,)) for id_ in customer_ids}


async def person_of(conn: AsyncConnection, customer_id: str) -> Person:
    return (await people_of(conn, [customer_id]))[customer_id]


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> None:
    """Erasure: no id points to or from the erased."""
    await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})
