"""What recommend does with a batch of events: load, fold, store.

At most ten statements, whatever the size of the batch. Rows are locked in this order, each
table's in key order: histories, orders, products, offers, and last popularity, which all
customers share. Who only buys has no history to lock: an order's own row guards what it
counts for, and the rest is increments.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.recommend import baskets, interactions
from services.recommend.baskets import Basket, Change
from services.recommend.store import catalog as catalog_store
from services.recommend.store import histories as history_store
from services.recommend.store import orders as order_store
from services.recommend.store import popularity as popularity_store
from shared.events import browse, catalog, offers, orders, profiles
from shared.events.catalog import ProductSnapshot
from shared.events.envelope import Event
from shared.events.offers import OfferChanged
from shared.world import World

TOPICS = (catalog.TOPIC, offers.TOPIC, orders.TOPIC, browse.TOPIC, profiles.TOPIC)


async def handle(conn: AsyncConnection, events: list[Event], _world: World) -> None:
    """Merges and erasures are done before, by the backbone."""
    if seen := interactions.by_customer(events):
        await _remember(conn, seen)
    changes: list[Change] = []
    if newest := baskets.newest(events):
        changes = await _count(conn, newest)
    if products := _newest(events, ProductSnapshot):
        await catalog_store.save_products(conn, products)
    if stocked := _newest(events, OfferChanged):
        await catalog_store.save_offers(conn, stocked)
    if counts := baskets.tally(changes, interactions.views(events)):
        await popularity_store.add(conn, counts)


async def erase(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, int]:
    """Histories and orders go. What they added to popularity names nobody, and stays."""
    orders = await order_store.lock_of_customers(conn, customer_ids)
    gone, _ = baskets.moved((basket, replace(basket, products=())) for basket in orders)
    await order_store.move_purchases(conn, gone, ())
    return {
        "history": await history_store.forget(conn, customer_ids),
        "purchase": len(gone),
        "order_seen": await order_store.forget(conn, customer_ids),
    }


async def _remember(conn: AsyncConnection, seen: history_store.Histories) -> None:
    added = await history_store.add_new(conn, seen)
    if known := seen.keys() - added:
        before = await history_store.lock(conn, known)
        after = {id_: interactions.newest(before[id_], seen[id_]) for id_ in known}
        await history_store.save(conn, after)


async def _count(conn: AsyncConnection, newest: dict[str, Basket]) -> list[Change]:
    """Save the orders at their newest revisions; what changed."""
    added = await order_store.add_new(conn, newest.values())
    changes: list[Change] = [(None, newest[order_id]) for order_id in added]
    if known := newest.keys() - added:
        before = await order_store.lock(conn, known)
        grown: list[Change] = [
            (basket, newest[id_])
            for id_, basket in before.items()
            if basket.version < newest[id_].version
        ]
        if grown:
            await order_store.save(conn, grown)
        changes += grown
    await order_store.move_purchases(conn, *baskets.moved(changes))
    return changes


def _newest(events: Iterable[Event], kind: type[object]) -> list[Event]:
    """The newest event of each key, of those with this kind of data."""
    last: dict[str, Event] = {}
    for event in events:
        if isinstance(event.data, kind) and (
            event.key not in last or event.order > last[event.key].order
        ):
            last[event.key] = event
    return list(last.values())
