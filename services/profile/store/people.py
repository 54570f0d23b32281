"""The lock that every change begins with: the customers, and everyone whom it concerns."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from services.profile.identity import Home
from services.profile.store import identity, profiles
from services.profile.traits import Traits
from shared.aliases import Person


@dataclass(slots=True)
class Locked:
    """Rows by id, and the people concerned by changes of identity with their homes."""

    traits: dict[str, Traits] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    homes: dict[str, Home] = field(default_factory=dict)


async def lock(
    conn: AsyncConnection, keys: Collection[str], changing: Collection[str] = ()
) -> Locked:
    """Lock the rows of `keys`, and of everyone concerned by a change about `changing`.

    Whom that concerns is known for sure only when they are locked, so it is read again; if
    it grew meanwhile, the rest is locked too. That may deadlock, which is transient.
    """
    locked = Locked()
    asked: set[str] = set()
    while True:
        wanted = set(keys)
        if changing:
            locked.people, locked.homes = await identity.load_people(conn, changing)
            wanted |= locked.people.keys()
        missing = wanted - asked
        if missing:
            locked.traits |= await profiles.lock(conn, missing)
            asked |= missing
        if not missing or not changing:
            return locked
