"""What loyalty does with a batch of events: load, fold, store.

The accounts' rows are the first lock, all at once in key order; nothing else is locked. The
orders are read before it, and saved only if they are still at the revision that was read:
where another partition has moved one meanwhile, the batch fails and is tried again.
"""

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty import booking, orders, redeeming
from services.loyalty.ledger import ORDER
from services.loyalty.orders import Judged, Known, Terms
from services.loyalty.programme import programme_at
from services.loyalty.store import definitions
from services.loyalty.store import lots as lot_store
from services.loyalty.store import members as member_store
from services.loyalty.store import orders as order_store
from services.loyalty.store import reservations as reservation_store
from shared import aliases
from shared.events import orders as shop_orders
from shared.events import profiles
from shared.events.envelope import Event
from shared.world import World

TOPICS = (shop_orders.TOPIC, profiles.TOPIC)


async def handle(conn: AsyncConnection, events: list[Event], world: World) -> None:
    """A dozen statements, whatever the size of the batch; merges and erasures are done before."""
    judged = orders.judge(events, world.stores)
    if not judged:
        return
    terms = Terms(await definitions.book(conn), world.stores)
    reserved = redeeming.named(judged)
    known = await _load(conn, judged, terms, await redeeming.owners(conn, reserved))
    outcome = orders.fold(known, judged, terms)
    await redeeming.follow(conn, reserved, outcome, terms)
    await order_store.save(conn, known.orders, outcome.orders.values())
    await booking.save(conn, outcome.wallet, world.stores)
    await order_store.keep_awards(conn, outcome.awards)


async def _load(
    conn: AsyncConnection, judged: list[Judged], terms: Terms, others: Collection[str]
) -> Known:
    """The orders concerned, and their owners' accounts, locked; who earns now gets one."""
    states = await order_store.load(conn, {event.data.order_id for event, _ in judged})
    owners = orders.owners_of(states, judged)
    people = {}
    if strangers := orders.contested(owners, judged):
        found = await aliases.people_of(conn, strangers)
        people = {owner: person.members for owner, person in found.items()}
    earners = {
        owner
        for event, verdict in judged
        if verdict == "earns" and (owner := owners.get(event.data.order_id))
    }
    await member_store.add_missing(conn, earners)
    accounts = await member_store.lock(conn, {*owners.values(), *others})
    earned = [order_id for order_id, state in states.items() if state.earned_in]
    lots = await lot_store.load_of_documents(conn, ORDER, earned) if earned else []
    spent = {lot.account_id for lot in lots if lot.used or lot.reserved}
    if spent and any(
        programme_at(terms.book, event.time).returns.spent == "negative" for event, _ in judged
    ):
        # What is taken back of these orders may have to come out of the member's other lots.
        lots += await lot_store.load_spendable(conn, spent)
    return Known(states, accounts, lots, people)


async def erase(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, int]:
    """Cut the links from the books to the persons; the books stay, and name nobody."""
    await member_store.lock(conn, customer_ids)
    return {
        "reservation": await reservation_store.forget(conn, customer_ids),
        "order_state": await order_store.forget(conn, customer_ids),
        "member": await member_store.forget(conn, customer_ids),
    }
