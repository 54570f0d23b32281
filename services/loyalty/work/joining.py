"""Joins customers, in the caller's transaction, and credits what they bought shortly before.

An order waits if its buyer is no member: the batch keeps it, under the lock of his account,
and joining credits it under the same lock. It is folded as if it had just been heard of,
so what it earns, and what its return takes back, is what it would have been; its journals
have their ids from the order, so it earns once.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books import ledger
from services.loyalty.earning import admission
from services.loyalty.earning.orders import Judged, Known, OrderState, Terms
from services.loyalty.members import membership
from services.loyalty.members.membership import Joining, MembershipTerms, NoMember, Standing, Stay
from services.loyalty.store import definitions
from services.loyalty.store import membership as store
from services.loyalty.store import orders as order_store
from services.loyalty.store import waiting as waiting_store
from services.loyalty.terms.definitions import Book
from services.loyalty.work import deciding, giving, holding, leaving, people, tiering
from services.loyalty.work.giving import Newcomers
from services.loyalty.work.people import Held
from shared import aliases, outbox
from shared.events.envelope import Event
from shared.stores import Stores


@dataclass(frozen=True, slots=True)
class Told:
    """A person's standing, the stays behind it, and the terms in force."""

    standing: Standing
    stays: tuple[Stay, ...]
    terms: MembershipTerms


@dataclass(frozen=True, slots=True)
class Credited:
    """What orders from before the joining have earned."""

    orders: int = 0
    points: int = 0


async def tell(conn: AsyncConnection, members: Collection[str], now: datetime) -> Told:
    """What a person with these ids is now."""
    terms = membership.terms_at(await definitions.book(conn), now)
    by_id = await store.list_of_people(conn, members)
    stays = tuple(stay for own in by_id.values() for stay in own)
    return Told(membership.standing(stays, terms, now), stays, terms)


async def check_member(conn: AsyncConnection, members: Collection[str], now: datetime) -> None:
    """NoMember unless one of these ids is."""
    if not (await tell(conn, members, now)).standing.is_member:
        raise NoMember("he has not joined, or has left; let him join first")


async def join(
    conn: AsyncConnection, customer_id: str, joining: Joining, now: datetime, stores: Stores
) -> tuple[Told, Credited]:
    """Make the person a member, or take back his leaving; credit what waits for it. Who joins now
    gets his welcome gifts, and who is brought along with a time that is past gets none."""
    held = await people.hold(conn, customer_id)
    before = await tell(conn, held.members, now)
    if before.standing.state == "left":
        await leaving.forfeit(conn, customer_id, now, stores)
        before = await tell(conn, held.members, now)
        held = await people.hold(conn, customer_id)
    stay = membership.join(before.stays, before.terms, joining, customer_id=customer_id, now=now)
    if stay not in before.stays:
        await store.save(conn, stay)
        await outbox.enqueue(
            conn, [membership.announce(stay, _cause(held, stay.customer_id, now), now)]
        )
    if not before.standing.is_member and joining.at >= now:
        await _welcome(conn, held, now, stores)
    after = await tell(conn, held.members, now)
    return after, await _credit(conn, held, after.stays, stores)


async def _welcome(conn: AsyncConnection, held: Held, now: datetime, stores: Stores) -> None:
    """The gifts of who has not had them with his registration, or when he joined before."""
    cause = _cause(held, held.customer_id, now)
    joined = Newcomers({held.customer_id: cause}, {held.customer_id: held.members})
    await giving.welcome(conn, joined, await definitions.book(conn), stores)


def _cause(held: Held, customer_id: str, now: datetime) -> Event:
    """Named after the account, which nothing leads from once its member was erased."""
    account_id = held.accounts[customer_id].account_id
    return ledger.cause_of(ledger.SOURCE, f"membership/{account_id}/{now.isoformat()}", now)


async def leave(conn: AsyncConnection, customer_id: str, now: datetime) -> Told:
    """End the person's membership after the notice period; what he then is."""
    held = await people.hold(conn, customer_id)
    before = await tell(conn, held.members, now)
    for stay in membership.leave(before.stays, before.terms, customer_id=customer_id, now=now):
        if stay not in before.stays:
            await store.save(conn, stay)
            await outbox.enqueue(
                conn, [membership.announce(stay, _cause(held, stay.customer_id, now), now)]
            )
    return await tell(conn, held.members, now)


async def admit(
    conn: AsyncConnection,
    judged: list[Judged],
    states: Mapping[str, OrderState],
    owners: Mapping[str, str],
    book: Book,
) -> list[Judged]:
    """The verdicts of a batch with `not_a_member` among them; such orders are kept waiting.

    The owners' accounts are locked. Two statements at most, three where orders wait.
    """
    earning = {event.data.order_id for event, verdict in judged if verdict == "earns"}
    asked = {owners[order_id] for order_id in earning if order_id in owners}
    if not asked:
        return judged
    stays = await store.list_of_persons(conn, asked)
    found = admission.admit(judged, states, owners, stays, book)
    await waiting_store.save(conn, found.first, found.again)
    return found.judged


async def _credit(
    conn: AsyncConnection, held: Held, stays: Collection[Stay], stores: Stores
) -> Credited:
    """Let the person's waiting orders earn that his stays reach back to."""
    waiting = await waiting_store.list_of_person(conn, held.members)
    if not waiting:
        return Credited()
    terms = Terms(await definitions.book(conn), stores)
    states = await order_store.load(conn, {each.event.data.order_id for each in waiting})
    chosen = admission.creditable(waiting, states, tuple(stays), terms.book)
    judged: list[Judged] = [(each.event, "earns") for each in chosen]
    # The revision is folded once more, now that it earns.
    anew = {id_: state._replace(revision=state.revision - 1) for id_, state in states.items()}
    owners = {each.event.data.order_id: each.customer_id for each in chosen}
    persons = await aliases.people_of(conn, owners.values())
    evidence = await deciding.load(conn, judged, owners, persons, terms)
    members = {owner: person.members for owner, person in persons.items()}
    roster = await tiering.load(conn, judged, (), anew, terms, owners=owners)
    watch = await holding.watch(conn, judged, owners, persons, terms)
    known = Known(anew, held.accounts, (), members, evidence, roster, watch)
    outcome = await deciding.fold(conn, known, judged, terms)
    await deciding.save(conn, states, evidence, outcome, stores)
    await waiting_store.remove(conn, outcome.orders)
    earned = sum(j.points for j in outcome.wallet.journals if j.kind == "earn")
    return Credited(len(outcome.orders), earned)
