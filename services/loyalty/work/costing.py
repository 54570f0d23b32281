"""Keeps what offers and coupons cost on each order, as its newest revision has it (`costs.py`)."""

from collections.abc import Iterable
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.benefits.discounts import Presented
from services.loyalty.benefits.presenting import reward_of
from services.loyalty.benefits.rewards import Reward
from services.loyalty.books import accounting
from services.loyalty.earning import carts
from services.loyalty.earning.orders import Terms
from services.loyalty.promotions import costs
from services.loyalty.promotions.costs import Bought, Spent
from services.loyalty.promotions.offers import Offer
from services.loyalty.store import claims as claim_store
from services.loyalty.store import coupons as coupon_store
from services.loyalty.store import promotion_costs as store
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot
from shared.stores import Stores


async def follow(conn: AsyncConnection, applied: Iterable[Event], terms: Terms) -> None:
    """Write anew what the orders cost, after their claims and coupons have followed them: four
    statements, whatever their number.

    `applied` are those that brought their order forward.
    """
    newest = _newest(applied)
    gives = bool(terms.book.newest(Offer)) or bool(terms.book.newest(Reward))
    if not newest or not gives:
        return  # a store that gives nothing pays nothing for it
    days = await store.take(conn, newest)
    claims = await claim_store.load_all(conn, newest)
    spent: dict[str, list[Spent]] = {}
    for one in await coupon_store.list_used(conn, newest):
        presented = Presented(one.id, one.reward_id, reward_of(terms.book, one))
        spent.setdefault(one.order_id or "", []).append(Spent(presented, one.points))
    found = []
    for order_id in sorted({*claims, *spent}):
        if newest[order_id].data.test:
            continue  # it counts nowhere, though it did while nobody knew
        bought = _bought(newest[order_id], days.get(order_id), terms.stores)
        found += costs.of_order(bought, claims.get(order_id), spent.get(order_id, ()))
    await store.add(conn, found)


def _newest(applied: Iterable[Event]) -> dict[str, Event]:
    """The last event of each order."""
    by_revision = sorted(applied, key=lambda event: event.data.revision)
    return {event.data.order_id: event for event in by_revision}


def _bought(event: Event, day: date | None, stores: Stores) -> Bought:
    """The order counts for the day on which it was placed, or else first cost something."""
    order: OrderSnapshot = event.data
    placed_at = order.placed_at or event.time
    known = order.currency == stores.base_currency or order.base_total_minor is not None
    return Bought(
        order,
        day or placed_at.astimezone(accounting.calendar(stores, None).zone).date(),
        carts.of_order(order, placed_at, stores, {}).items if known else (),
    )
