"""What notify does with a batch of events: load, fold, store. Nothing is sent here."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify import orders, people
from services.notify.orders import Surroundings
from services.notify.settings import Settings
from services.notify.store import notices as notice_store
from services.notify.store import orders as order_store
from services.notify.store import people as people_store
from shared import outbox
from shared.events.customers import TOPIC as CUSTOMERS
from shared.events.customers import CustomerRegistered, CustomerUpdated
from shared.events.envelope import Event
from shared.events.orders import TOPIC as ORDERS
from shared.events.orders import OrderSnapshot
from shared.events.profiles import TOPIC as PROFILES
from shared.events.profiles import ConsentChanged, ProcessingRestricted
from shared.world import World

TOPICS = (ORDERS, CUSTOMERS, PROFILES)

OF_PEOPLE = (CustomerRegistered, CustomerUpdated, ConsentChanged, ProcessingRestricted)
HISTORY = frozenset({"backfill", "muted"})  # suppressed by the million, and no news to anybody


async def handle(conn: AsyncConnection, events: list[Event], world: World) -> None:
    """At most ten statements, whatever the size of the batch."""
    of_people = [event for event in events if isinstance(event.data, OF_PEOPLE)]
    of_orders = [event for event in events if isinstance(event.data, OrderSnapshot)]
    if not (of_people or of_orders):
        return
    await people_store.lock(conn, {event.key for event in of_people + of_orders}, add=True)
    await _handle_people(conn, of_people)
    await _handle_orders(conn, of_orders, world)


async def _handle_people(conn: AsyncConnection, events: list[Event]) -> None:
    told = people.fold(events)
    if told.contacts:
        await people_store.save_contacts(conn, told.contacts)
    if told.consents:
        await people_store.save_consents(conn, told.consents)
    if told.restrictions:
        await people_store.save_restrictions(conn, told.restrictions)


async def _handle_orders(conn: AsyncConnection, events: list[Event], world: World) -> None:
    if not events:
        return
    assert isinstance(world.settings, Settings)
    told = orders.arising(events)
    wanted = {notice_id for _, notice_id in told.values()}
    before = await order_store.lock(conn, {event.data.order_id for event in events})
    known = await notice_store.known(conn, wanted) if wanted else {}
    given = Surroundings(world.stores, world.clock.now(), world.settings.muted)
    folded = orders.fold(before, known, events, told, given)
    if folded.orders:
        await order_store.save(conn, tuple(folded.orders.values()))
    if folded.notices:
        added = await notice_store.add(conn, tuple(folded.notices.values()))
        await outbox.enqueue(
            conn,
            [
                notice.about.suppressed(notice.reason, given.now)
                for notice in folded.suppressed
                if notice.reason
                and notice.reason not in HISTORY
                and notice.about.notice_id in added
            ],
        )
