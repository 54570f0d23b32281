"""Keeps what loyalty must know to decide: the catalogue, and facts about who buys.

Each row is the newest by the event's time, whatever the order between topics and the cutting
into batches. These rows are the first locks of a transaction, in key order; a fact that
comes with the batch is known to the orders in it.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.earning import shoppers
from services.loyalty.earning.carts import Product
from services.loyalty.store import products as product_store
from services.loyalty.store import shoppers as store
from shared.events.catalog import ProductPublished
from shared.events.envelope import Event


async def follow(conn: AsyncConnection, events: Sequence[Event]) -> None:
    """Two statements at most; none where no event tells anything."""
    published: dict[str, Event] = {}
    for event in events:
        if isinstance(event.data, ProductPublished):
            known = published.get(event.data.product_id)
            if known is None or known.order < event.order:
                published[event.data.product_id] = event
    await product_store.save(conn, [(_product(e.data), e.order) for e in published.values()])
    told = shoppers.newest(fact for event in events for fact in shoppers.told(event))
    await store.save_facts(conn, list(told.values()))


def _product(data: ProductPublished) -> Product:
    """A product that is withdrawn stays as it was: past orders hold it."""
    return Product(
        data.product_id,
        tuple(data.category),
        data.brand,
        {name: value for name, value in data.attributes.items() if value is not None},
        {one.sku: dict(one.attributes) for one in data.variants if one.attributes},
    )
