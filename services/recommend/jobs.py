"""Keeps `also_bought` behind the orders by seconds.

Products whose baskets have changed wait in a queue, in the order of their first change. A
run builds their lists for BUILD_FOR_S, then leaves the machine to the events; so lists are
late after a flood of orders, and orders never wait for lists. Lists are anonymous: an order
whose person was erased leaves them when they are next built.
"""

import asyncio
import time
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from services.recommend import lists
from services.recommend.lists import AlsoBought
from services.recommend.store import lists as store
from shared.jobs import Job
from shared.world import World

BUILD_EVERY_S = 2.0
BUILD_FOR_S = 0.7
PRODUCTS_AT_ONCE = 25  # at most 25 x 500 baskets of 40 products in memory


async def build_lists(engine: AsyncEngine, _world: World) -> None:
    """Build lists until none is stale or the time is up."""
    until = time.monotonic() + BUILD_FOR_S
    while await _build_some(engine) and time.monotonic() < until:
        pass


async def _build_some(engine: AsyncEngine) -> int:
    async with engine.begin() as conn:
        stale = await store.list_stale(conn, PRODUCTS_AT_ONCE)
        if stale:
            baskets = await store.list_baskets(conn, stale.keys())
            companies = await asyncio.to_thread(lists.gather, baskets)
            wanted = {other for company in companies.values() for other in company.others}
            popularity = await store.list_orders(conn, stale.keys() | wanted)
            await store.save(conn, _build(stale, companies, popularity))
            await store.settle(conn, stale)
    return len(stale)


def _build(
    stale: Mapping[str, int],
    companies: Mapping[str, lists.Company],
    popularity: Mapping[str, int],
) -> list[AlsoBought]:
    """A list for each stale product: empty where all its orders are gone."""
    nobody = lists.Company(0, {})
    return [lists.build(id_, companies.get(id_, nobody), popularity) for id_ in stale]


BUILD_LISTS = Job("build_lists", BUILD_EVERY_S, build_lists)
