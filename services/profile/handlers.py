"""What profile does with events: load, fold, store.

The batch's customers are locked first, all at once and in key order, and with them
everyone whom a change of identity concerns. Then each part folds its own events: traits and
orders, attributes, identity, consent, and the timeline of everything.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.profile import attributes, consent, facts, identity, timeline, traits
from services.profile.identity import Home, Link
from services.profile.store import consents, erasures, orders, people, profiles
from services.profile.store import identity as identity_store
from services.profile.store import timeline as timeline_store
from services.profile.store.people import Locked
from shared import aliases, outbox
from shared.aliases import Person
from shared.events.envelope import Event
from shared.world import World

ORDERS = "shop.orders.v1"
OWN = "crm.profiles.v1"
RECEIPTS = "crm.erasures.v1"
NOTICES = "crm.notices.v1"
TOPICS = (
    "shop.customers.v1",
    ORDERS,
    "shop.browse.v1",
    "shop.feedback.v1",
    "shop.engagement.v1",
    NOTICES,
    OWN,
    RECEIPTS,
)


async def handle(conn: AsyncConnection, events: list[Event], world: World) -> None:
    """The effect of a batch; what follows from it is enqueued."""
    if receipts := [event for event in events if event.topic == RECEIPTS]:
        await erasures.add_receipts(conn, receipts)
    told = [event for event in events if event.topic not in {OWN, RECEIPTS}]
    if not told:
        return
    locked = await _lock(conn, told)
    await _fold_traits(conn, told, locked, world.stores.base_currency)
    await _fold_attributes(conn, told)
    follows = await _fold_identity(conn, told, locked)
    follows += await _fold_consent(conn, told)
    await timeline_store.add(conn, [timeline.entry_of(event) for event in told])
    await outbox.enqueue(conn, follows)


async def erase(
    conn: AsyncConnection, customer_ids: Collection[str], until: datetime | None = None
) -> dict[str, int]:
    """Forget what is known of these ids up to `until`; the rows gone, by table.

    Without `until` the time is what we asked for ourselves, else everything goes. Who has
    registered anew since then keeps what is newer: the rest of the rows is folded again.
    """
    erased: dict[str, int] = {}
    limits = await erasures.lock_until(conn, customer_ids, until)
    gone: list[str] = []
    for customer_id, limit in limits.items():
        for table, count in (await erasures.erase(conn, customer_id, limit)).items():
            erased[table] = erased.get(table, 0) + count
        visits = await timeline_store.count_types(conn, customer_id)
        if not visits:
            gone.append(customer_id)
            continue
        left = await orders.list_of_customer(conn, customer_id)
        await profiles.save(conn, [traits.rebuild(customer_id, left, visits)])
        known = (await profiles.load_attributes(conn, [customer_id]))[customer_id]
        await profiles.save_attributes(conn, [attributes.since(known, limit)])
        await erasures.settle(conn, customer_id)
    return erased | {"profile": await erasures.erase_profiles(conn, gone)}


def _of(events: Sequence[Event], *types: str) -> list[Event]:
    """By name: `isinstance` on pydantic models is slow where it says no."""
    return [event for event in events if event.type in types]


async def _lock(conn: AsyncConnection, told: Sequence[Event]) -> Locked:
    """Rows for everyone heard of for the first time, then all of them locked."""
    identified = _of(told, "customer.identified")
    keys = {event.key for event in told} | {e.data.anonymous_id for e in identified}
    changing = {event.key for event in _of(told, "customer.deleted")}
    changing |= {id_ for e in identified for id_ in (e.key, e.data.anonymous_id)}
    await profiles.add_missing(conn, keys)
    locked = await people.lock(conn, keys, changing)
    assert keys <= locked.traits.keys(), "who was added is locked"
    return locked


async def _fold_traits(
    conn: AsyncConnection, events: Sequence[Event], locked: Locked, base_currency: str
) -> None:
    acts = [event for event in events if event.topic != NOTICES]
    if not acts:
        return
    keys = {(e.data.order_id, e.key) for e in acts if e.topic == ORDERS}
    known = await orders.load(conn, keys) if keys else {}
    ours = {event.key: locked.traits[event.key] for event in acts}
    after = traits.fold(ours, known, acts, base_currency)
    if after.orders:
        await orders.save(conn, after.orders.values())
    await profiles.save(conn, after.traits.values())
    if after.bounds:
        await profiles.reset_bounds(conn, after.bounds)


async def _fold_attributes(conn: AsyncConnection, events: Sequence[Event]) -> None:
    telling = _of(events, "customer.registered", "customer.updated")
    if not telling:
        return
    known = await profiles.load_attributes(conn, {event.key for event in telling})
    for event in telling:
        known[event.key] = attributes.learn(known[event.key], event)
    await profiles.save_attributes(conn, known.values())


@dataclass(slots=True)
class _Moves:
    """What the events of identity change, and what follows from it."""

    links: list[Link] = field(default_factory=list)
    homes: dict[str, Home] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    follows: list[Event] = field(default_factory=list)
    erased: list[Event] = field(default_factory=list)


async def _fold_identity(
    conn: AsyncConnection, events: Sequence[Event], locked: Locked
) -> list[Event]:
    moves = _Moves()
    for event in _of(events, "customer.identified", "customer.deleted"):
        (_forget if event.type == "customer.deleted" else _identify)(event, locked, moves)
    if moves.erased:
        await erasures.ask(conn, moves.erased)
    if moves.links:
        await identity_store.add_links(conn, moves.links)
    if moves.homes:
        await identity_store.save_homes(conn, moves.homes.values())
    if moves.people:
        await aliases.save(conn, moves.people)
    return moves.follows


def _identify(event: Event, locked: Locked, moves: _Moves) -> None:
    visitor = event.data.anonymous_id
    link = Link(visitor, event.key, "identified", event.time, event.source, event.id)
    link = identity.judge(link, locked.people)
    moves.links.append(link)
    home = identity.home_by(link, locked.homes.get(link.member_id), locked.people)
    if home:
        moves.homes[home.member_id] = locked.homes[home.member_id] = home
        known = locked.people
        near = {m: known[m] for id_ in (visitor, event.key) for m in known[id_].members}
        after = identity.regroup(locked.homes, near)
        moves.follows += facts.membership(event, near, after, "identified")
        moves.people |= {id_: person for id_, person in after.items() if person != near[id_]}
        known |= after


def _forget(event: Event, locked: Locked, moves: _Moves) -> None:
    person = locked.people[event.key]
    asked = facts.erasure(event, person, event.data.reason)
    moves.erased += asked
    moves.follows += asked
    for id_, alone in identity.dissolved(person).items():
        locked.people[id_] = moves.people[id_] = alone
        locked.homes.pop(id_, None)
        moves.homes.pop(id_, None)


async def _fold_consent(conn: AsyncConnection, events: Sequence[Event]) -> list[Event]:
    answers = [event for event in events if consent.concerns(event)]
    if not answers:
        return []
    ids = {event.key for event in answers}
    known = await consents.load(conn, ids)
    persons = await aliases.people_of(conn, ids)
    follows: list[Event] = []
    newest: dict[consent.Key, consent.Answer] = {}
    for event in answers:
        answer = consent.answer_of(event)
        before = known.get(answer.key)
        if consent.wins(answer, before):
            answer = replace(answer, version=before.version + 1 if before else 1)
            known[answer.key] = newest[answer.key] = answer
            follows.append(facts.consent(event, answer, persons[event.key].canonical_id))
    if newest:
        await consents.save(conn, newest.values())
    return follows
