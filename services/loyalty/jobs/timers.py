"""What happens to points by time alone: they become active, they expire, they are warned of.

Each job works through what is due by the business clock, the longest due first, a bounded
number in a transaction, until nothing is left. What a job books has the time at which it was
due, and a derived id: an event that is handled first books the same (`orders.mature`,
`wallet.expire`), so it does not matter who comes first, nor how late the job is.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.books import ledger
from services.loyalty.books import wallet as wallets
from services.loyalty.books.wallet import Wallet
from services.loyalty.earning import orders
from services.loyalty.earning.orders import OrderState, Outcome, Terms
from services.loyalty.store import definitions
from services.loyalty.store import lots as lot_store
from services.loyalty.store import members as member_store
from services.loyalty.store import orders as order_store
from services.loyalty.store import reservations as reservation_store
from services.loyalty.store.lots import Expiring
from services.loyalty.work import booking, claiming
from shared import outbox
from shared.events import codec
from shared.events.envelope import Event
from shared.events.loyalty import PointsExpiring
from shared.jobs import Job
from shared.world import World

ORDERS_MAX = 500
LOTS_MAX = 5_000
RESERVATIONS_MAX = 500
WARNINGS_MAX = 2_000
WARN_DAYS = (30, 7, 1)

Step = Callable[[AsyncConnection, World], Awaitable[bool]]
"""One transaction's work; whether there may be more."""


async def activate_due(conn: AsyncConnection, world: World) -> bool:
    """Points whose time has come become active."""
    now = world.clock.now()
    due = await order_store.list_due(conn, now, ORDERS_MAX)
    before = await order_store.load(conn, due)
    owned = [state for state in before.values() if state.customer_id and state.activates_at]
    accounts = await member_store.lock(conn, {state.customer_id or "" for state in owned})
    lots = await lot_store.load_of_documents(conn, ledger.ORDER, before)
    out = Outcome(Wallet.open(accounts.values(), lots))
    terms = Terms(await definitions.book(conn), world.stores)
    after: list[OrderState] = []
    for state in owned:
        account = accounts[state.customer_id or ""]
        while state.activates_at and state.activates_at <= now:
            state = orders.mature(state, account, terms, out)  # noqa: PLW2901 -- step by step
        after.append(state)
    await order_store.save(conn, before, after)
    await booking.save(conn, out.wallet, world.stores)
    return len(due) == ORDERS_MAX


async def expire_due(conn: AsyncConnection, world: World) -> bool:
    """What remains of lots at their date is booked as expired, and told."""
    now = world.clock.now()
    found = await lot_store.list_over(conn, now, LOTS_MAX)
    if not found:
        return False
    accounts = await member_store.lock_accounts(conn, found)
    over = await lot_store.load_over(conn, found, now)
    wallet = Wallet.open(accounts, over)
    for lot in over:
        wallets.expire(wallet, lot)
    await booking.save(conn, wallet, world.stores)
    return True


async def time_out_due(conn: AsyncConnection, world: World) -> bool:
    """What checkouts set aside and never came back for is free again."""
    due = await reservation_store.list_due(conn, world.clock.now(), RESERVATIONS_MAX)
    if not due:
        return False
    ids = {account_id for _, account_ids in due for account_id in account_ids}
    wallet = Wallet.open(await member_store.lock_accounts(conn, ids))
    found = await reservation_store.load(conn, [id_ for id_, _ in due])
    overdue = [one for one in found.values() if one.state == "reserved"]
    wallet.bring(await lot_store.load(conn, [p.lot_id for one in overdue for p in one.parts]))
    await booking.time_out(conn, wallet, overdue)
    await booking.save(conn, wallet, world.stores)
    return True


async def warn(conn: AsyncConnection, world: World) -> bool:
    """Tell who will lose points in so many days: each lot of then once, for each of the days."""
    more = False
    for days in WARN_DAYS:
        name, until = f"warn-{days}", world.clock.now() + timedelta(days)
        # Of what is over already `points.expired` tells: a night's million are not looked through.
        over = (world.clock.now(), lot_store.LAST)
        after = max(over, await lot_store.get_sweep(conn, name) or over)
        found = await lot_store.list_expiring(conn, after, until, WARNINGS_MAX)
        if found:
            await outbox.enqueue(conn, _warnings(found, days, over[0]))
            await lot_store.save_sweep(conn, name, found[-1].expires_at, found[-1].account_id)
        more = more or len(found) == WARNINGS_MAX
    return more


def _warnings(found: Sequence[Expiring], days: int, now: datetime) -> list[Event]:
    events = []
    for each in found:
        fact = PointsExpiring(
            customer_id=each.customer_id,
            points=each.points,
            expires_at=each.expires_at,
            days=days,
        )
        name = f"expiring/{each.account_id}/{int(each.expires_at.timestamp())}/{days}"
        id_ = str(uuid5(NAMESPACE_OID, name))  # what is told names the person, and no account
        event = codec.make("points.expiring", fact, id=id_, source=ledger.SOURCE, time=now)
        events.append(event)
    return events


def _job(name: str, every_s: float, step: Step, *, after_log: bool = False) -> Job:
    async def run(engine: AsyncEngine, world: World) -> None:
        more = True
        while more:
            async with engine.begin() as conn:
                more = await step(conn, world)

    return Job(name, every_s, run, after_log)


JOBS = (
    _job("activate_points", 5, activate_due, after_log=True),
    _job("expire_points", 10, expire_due, after_log=True),
    _job("time_out_reservations", 5, time_out_due),
    _job("time_out_offer_claims", 5, claiming.time_out_due),
    _job("warn_of_expiry", 60, warn),
)
