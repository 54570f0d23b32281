"""Forfeits the points of who has left, by time; drops orders that nobody can credit any more.

`booking.open_person` forfeits what it finds of somebody who has left, so nothing is spent
after the end of the notice, whenever the job runs. The job does it for who never comes.
"""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.members import membership
from services.loyalty.store import definitions
from services.loyalty.store import membership as store
from services.loyalty.store import waiting as waiting_store
from services.loyalty.work import booking
from shared.jobs import Job
from shared.stores import Stores
from shared.world import World

EVERY_S = 10.0
LEAVERS_MAX = 500
WAITING_MAX = 5_000


async def forfeit(conn: AsyncConnection, customer_id: str, now: datetime, stores: Stores) -> None:
    """Take what remains of the person's points, if he has left."""
    wallet = await booking.open_person(conn, customer_id, now, wanted=booking.ALL)
    await booking.save(conn, wallet, stores)
    # What is pending or reserved may still become active: then he is looked at again.
    if not any(a.pending or a.active or a.reserved for a in wallet.accounts.values()):
        await store.mark_forfeited(conn, wallet.accounts, now)


async def forfeit_due(engine: AsyncEngine, world: World) -> None:
    """Everybody who has left, a transaction for each."""
    now = world.clock.now()
    place = store.FIRST
    while True:
        async with engine.connect() as conn:
            due = await store.list_due(conn, now, place, LEAVERS_MAX)
        for each in due:
            async with engine.begin() as conn:
                await forfeit(conn, each.customer_id, now, world.stores)
        if len(due) < LEAVERS_MAX:
            return
        place = (due[-1].leaves_at, due[-1].account_id)


async def prune_waiting(engine: AsyncEngine, world: World) -> None:
    """Orders paid longer ago than the terms credit are not kept."""
    now = world.clock.now()
    pruned = WAITING_MAX
    while pruned == WAITING_MAX:
        async with engine.begin() as conn:
            terms = membership.terms_at(await definitions.book(conn), now)
            before = now - timedelta(terms.credit_days)
            pruned = await waiting_store.prune(conn, before, WAITING_MAX)


JOBS = (
    Job("forfeit_left", EVERY_S, forfeit_due, after_log=True),
    Job("prune_waiting_orders", 3600, prune_waiting),
)
