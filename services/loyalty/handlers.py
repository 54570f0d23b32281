"""What loyalty does with a batch of events: load, fold, store.

The accounts' rows are the first lock, all at once in key order; nothing else is locked. The
orders are read before it, and saved only if they are still at the revision that was read:
where another partition has moved one meanwhile, the batch fails and is tried again.
"""

from collections.abc import Collection, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.arrivals import opening
from services.loyalty.books.ledger import ORDER, Account
from services.loyalty.books.lots import Lot
from services.loyalty.books.programme import programme_at
from services.loyalty.earning import orders
from services.loyalty.earning.actions import Done
from services.loyalty.earning.orders import Judged, Known, OrderState, Terms
from services.loyalty.store import actions as action_store
from services.loyalty.store import adjustments as adjustment_store
from services.loyalty.store import bindings as binding_store
from services.loyalty.store import cards as card_store
from services.loyalty.store import claims as claim_store
from services.loyalty.store import coupons as coupon_store
from services.loyalty.store import decisions as decision_store
from services.loyalty.store import definitions, tier_history
from services.loyalty.store import holds as hold_store
from services.loyalty.store import imports as import_store
from services.loyalty.store import lots as lot_store
from services.loyalty.store import members as member_store
from services.loyalty.store import membership as membership_store
from services.loyalty.store import orders as order_store
from services.loyalty.store import referrals as referral_store
from services.loyalty.store import reservations as reservation_store
from services.loyalty.store import shoppers as shopper_store
from services.loyalty.store import waiting as waiting_store
from services.loyalty.work import (
    acting,
    claiming,
    costing,
    couponing,
    deciding,
    following,
    giving,
    holding,
    joining,
    redeeming,
    referring,
    tiering,
)
from shared import aliases
from shared.events import catalog, customers, engagement, feedback, profiles
from shared.events import orders as shop_orders
from shared.events.envelope import Event
from shared.events.profiles import ProfileMerged, ProfileUnmerged
from shared.world import World

TOPICS = (
    *(shop_orders.TOPIC, profiles.TOPIC, catalog.TOPIC, customers.TOPIC),
    *(feedback.TOPIC, engagement.TOPIC),
)


async def handle(conn: AsyncConnection, events: list[Event], world: World) -> None:
    """Some twenty statements, whatever the batch; merges and erasures are done before."""
    await following.follow(conn, events)
    terms = Terms(await definitions.book(conn), world.stores)
    await _fold(conn, events, terms, world)
    await referring.note(conn, events, terms, world.tombstones)


async def _fold(conn: AsyncConnection, events: list[Event], terms: Terms, world: World) -> None:
    judged = orders.judge(events, world.stores)
    joined = [e for e in events if isinstance(e.data, ProfileMerged | ProfileUnmerged)]
    acted = await acting.find(conn, events, terms)
    newcomers = await giving.newcomers(conn, events, terms.book)
    if not judged and not joined and not acted and not newcomers.events:
        return
    reserved = redeeming.named(judged)
    actors = {done.customer_id for done in acted} | newcomers.to_lock
    lenders = await redeeming.owners(conn, reserved)
    known, judged = await _load(conn, (judged, joined, acted), terms, actors, lenders)
    outcome = await deciding.fold(conn, known, judged, terms)
    await redeeming.follow(conn, reserved, outcome, terms)
    await acting.follow(conn, acted, outcome.wallet, outcome.ladder, terms)
    await couponing.follow(conn, outcome.applied, terms.book)
    await deciding.save(conn, known.orders, known.evidence, outcome, world.stores)
    await claiming.follow(conn, terms.book, outcome.applied)
    await costing.follow(conn, outcome.applied, terms)
    await giving.welcome(conn, newcomers, terms.book, world.stores)


async def _load(
    conn: AsyncConnection,
    batch: tuple[list[Judged], list[Event], list[Done]],
    terms: Terms,
    actors: Collection[str],
    lenders: Collection[str],
) -> tuple[Known, list[Judged]]:
    """The orders, merges and actions concerned, and their owners' accounts, locked with all of
    the same persons, and with the `lenders`, who have one; who may earn or acts now gets one.

    New accounts are made all at once, as they are locked: else two batches that bring each
    other's customers would wait in a ring. Who is no member is known only under the lock,
    which a joining holds, too.
    """
    judged, joined, acted = batch
    states = await order_store.load(conn, {event.data.order_id for event, _ in judged})
    judged = opening.settled(judged, states)
    owners = orders.owners_of(states, judged)
    others_known = {*(event.key for event in joined), *(done.customer_id for done in acted)}
    people = await aliases.people_of(conn, {*owners.values(), *others_known})
    earners = {
        owner
        for event, verdict in judged
        if verdict == "earns" and (owner := owners.get(event.data.order_id))
    }
    # Ids of a person without an account would not be locked, and he would have two caps.
    pooled = deciding.to_lock(terms, people, earners)
    await member_store.add_missing(conn, {*earners, *pooled, *actors})
    every = {member for person in people.values() for member in person.members}
    accounts = await member_store.lock(conn, {*every, *actors, *lenders})
    judged = await joining.admit(conn, judged, states, owners, terms.book)
    lots = await _load_lots(conn, judged, states, accounts, terms)
    evidence = await deciding.load(conn, judged, owners, people, terms)
    roster = await tiering.load(conn, judged, joined, states, terms, owners=owners, acted=acted)
    members = {owner: person.members for owner, person in people.items()}
    watch = await holding.watch(conn, judged, owners, people, terms)
    return Known(states, accounts, lots, members, evidence, roster, watch), judged


async def _load_lots(
    conn: AsyncConnection,
    judged: list[Judged],
    states: Mapping[str, OrderState],
    accounts: Mapping[str, Account],
    terms: Terms,
) -> list[Lot]:
    """The orders' own lots; where points are spent or came from elsewhere, the member's others,
    of which a return may have to take."""
    earned = [id_ for id_, state in states.items() if state.earned_in or state.import_id]
    lots = await lot_store.load_of_documents(conn, ORDER, earned) if earned else []
    spent = {lot.account_id for lot in lots if lot.used or lot.reserved}
    if spent and not any(
        programme_at(terms.book, event.time).returns.spent == "negative" for event, _ in judged
    ):
        spent = set()
    brought = {state.customer_id for state in states.values() if state.import_id}
    spent |= {accounts[id_].account_id for id_ in brought if id_ and id_ in accounts}
    return [*lots, *(await lot_store.load_spendable(conn, spent) if spent else [])]


async def erase(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, int]:
    """Cut the links from the books to the persons; the books stay, and name nobody."""
    shoppers = await shopper_store.forget(conn, customer_ids)
    await member_store.lock(conn, customer_ids)
    return {
        "adjustment": await adjustment_store.forget(conn, customer_ids),
        "hold": await hold_store.forget(conn, customer_ids),
        "import_row": await import_store.forget(conn, customer_ids),
        **shoppers,
        **await action_store.forget(conn, customer_ids),
        **await referral_store.forget(conn, customer_ids),
        "order_decision": await decision_store.forget(conn, customer_ids),
        "offer_claim": await claim_store.forget(conn, customer_ids),
        "coupon": await coupon_store.forget(conn, customer_ids),
        "reservation": await reservation_store.forget(conn, customer_ids),
        "binding": await binding_store.forget(conn, customer_ids),
        "card": await card_store.forget(conn, customer_ids),
        "membership": await membership_store.forget(conn, customer_ids),
        "waiting_order": await waiting_store.forget(conn, customer_ids),
        "order_state": await order_store.forget(conn, customer_ids),
        **await tier_history.forget(conn, customer_ids),
        "member": await member_store.forget(conn, customer_ids),
    }
