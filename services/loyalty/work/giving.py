"""Gives members rewards that they need not ask for: when they register or join, whichever comes
first. (`birthdays.py` gives those of every year.)

A gift is a free coupon with a derived id. The accounts are locked by the caller, with all
others of his transaction; who has had the reward under any of his ids is left out, so no
replay, no second registration and no merge brings a second one. History brings none.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.benefits.rewards import Reward
from services.loyalty.books import points
from services.loyalty.store import coupons as store
from services.loyalty.terms.definitions import Book, Version
from services.loyalty.work import issuing
from services.loyalty.work.issuing import Ask
from shared import aliases
from shared.events.customers import CustomerRegistered
from shared.events.envelope import Event, derived_id
from shared.stores import Stores


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Who has registered or joined while a welcome gift was offered, each with the first event."""

    events: Mapping[str, Event]
    members: Mapping[str, Collection[str]]
    """All ids of each."""
    to_lock: frozenset[str] = frozenset()
    """The accounts under which nobody else gives them anything."""


async def newcomers(conn: AsyncConnection, events: Iterable[Event], book: Book) -> Newcomers:
    """Those of a batch; a statement only if there are any."""
    found: dict[str, Event] = {}
    for event in events:
        if not isinstance(event.data, CustomerRegistered) or event.backfill:
            continue
        if not points.is_guest(event.key) and _welcomes(book, event):
            found.setdefault(event.key, event)
    if not found:
        return Newcomers({}, {})
    people = await aliases.people_of(conn, found)
    members = {customer_id: person.members for customer_id, person in people.items()}
    canonical = {person.canonical_id for person in people.values()}
    return Newcomers(found, members, frozenset(found) | canonical)


async def welcome(conn: AsyncConnection, joined: Newcomers, book: Book, stores: Stores) -> int:
    """Their welcome gifts; how many were new.

    Their accounts are there, and locked. A fixed number of statements for each gift.
    """
    if not joined.events:
        return 0
    asks = [
        Ask(UUID(derived_id(event, f"welcome/{each.id}")), customer_id, each, event, given=True)
        for customer_id, event in sorted(joined.events.items())
        for each in _welcomes(book, event)
    ]
    ids = {id_ for members in joined.members.values() for id_ in members}
    had = await store.list_had(conn, ids, {ask.version.id for ask in asks})
    return await issuing.give(conn, first(asks, joined.members, had), stores)


def first(
    asks: Iterable[Ask],
    members: Mapping[str, Collection[str]],
    had: Collection[tuple[str, str]],
) -> list[Ask]:
    """Of each person and reward one, and none if one of his ids has had it."""
    given = set(had)
    kept = []
    for ask in asks:
        ids = members[ask.customer_id]
        if given.isdisjoint((id_, ask.version.id) for id_ in ids):
            kept.append(ask)
            given.add((ask.customer_id, ask.version.id))
    return kept


def _welcomes(book: Book, event: Event) -> list[Version[Reward]]:
    """What is given with this registration: in the store where it was told, if it says one."""
    store_id = getattr(event.data, "store", None)
    return [
        each
        for each in book.in_force(Reward, event.time)
        if each.body.occasion == "welcome"
        and (store_id is None or not each.body.stores or store_id in each.body.stores)
    ]
