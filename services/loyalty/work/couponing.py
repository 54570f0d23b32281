"""Changes coupons: for checkouts, one at a time; for a batch of order events, all at once.

A coupon's row is the lock: whoever comes second finds what the first has made of it. Accounts
are locked before it, where points move.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.benefits import codes, coupon_facts, coupon_orders, coupons
from services.loyalty.benefits.coupons import (
    Action,
    Coupon,
    Deed,
    NotTheirs,
    Reserve,
    Step,
    Use,
    Void,
)
from services.loyalty.benefits.presenting import missing, reward_of
from services.loyalty.benefits.rewards import Reward
from services.loyalty.books import wallet as wallets
from services.loyalty.books.wallet import Wallet
from services.loyalty.store import coupons as store
from services.loyalty.store import lots as lot_store
from services.loyalty.store import members as member_store
from services.loyalty.store import stocks
from services.loyalty.terms.definitions import Book
from services.loyalty.work import booking, issuing
from shared import aliases
from shared.events.envelope import Event
from shared.stores import Stores


async def act(
    conn: AsyncConnection,
    code: str,
    deed: Deed,
    cause: Event,
    book: Book,
    *,
    customer_id: str | None = None,
) -> tuple[Coupon, Reward]:
    """The coupon after the deed. `customer_id` is whose order it is, where that is known."""
    found = await store.lock(conn, [codes.digest(code)])
    if not found:
        raise missing(code)
    [before] = found
    reward = reward_of(book, before)
    if isinstance(deed, Reserve | Use) and reward.occasion == "member_only":
        await _check_owner(conn, before, customer_id)
    after = coupons.act(before, deed, cause.time)
    await _save(conn, [after] if after is not before else [], _named(deed), cause)
    return after, reward


async def void(
    conn: AsyncConnection, code: str, cause: Event, book: Book, stores: Stores
) -> tuple[Coupon, Reward]:
    """The coupon counts no more; its price goes back to its own lots, its piece to the stock."""
    seen = (await store.load_by_digest(conn, [codes.digest(code)])).get(codes.digest(code))
    if seen is None:
        raise missing(code)
    wallet = await _open_payers(conn, seen)
    [before] = await store.lock(conn, [codes.digest(code)])
    reward = reward_of(book, before)
    after = coupons.act(before, Void(), cause.time)
    if after is before:
        return after, reward
    if before.parts:
        deed = issuing.deed_of(before, reward, cause)
        wallets.give_back(wallet, deed, before.parts, cause.time)
        wallet.facts.extend(coupon_facts.paid_back(after, wallet, cause))
    await booking.save(conn, wallet, stores)
    await _save(conn, [after], "void", cause)
    if reward.stock is not None:
        await stocks.give_back(conn, after.reward_id)
    return replace(after, code=None), reward


async def follow(conn: AsyncConnection, applied: Iterable[Event], book: Book) -> None:
    """Use, free and give back what these order events say: four statements, whatever their number.

    `applied` are those that brought their order forward.
    """
    events = coupon_orders.matter(applied)
    if not events:
        return
    digests = coupon_orders.digests_of(events)
    found = await store.lock(conn, digests, {event.data.order_id for event in events})
    if not found:
        return
    own = {
        one.id: one.customer_id or ""
        for one in found
        if reward_of(book, one).occasion == "member_only"
    }
    people = await aliases.people_of(conn, own.values()) if own else {}
    owners: dict[UUID, Collection[str]] = {
        id_: people[customer_id].members for id_, customer_id in own.items()
    }
    outcome = coupon_orders.fold(found, owners, events)
    await store.save(conn, list(outcome.changed.values()))
    await store.add_steps(conn, outcome.steps)


async def _check_owner(conn: AsyncConnection, one: Coupon, customer_id: str | None) -> None:
    if customer_id is None:
        raise NotTheirs("customer_id: say whose order it is")
    if customer_id not in (await aliases.person_of(conn, one.customer_id or "")).members:
        raise NotTheirs


async def _open_payers(conn: AsyncConnection, one: Coupon) -> Wallet:
    """The accounts that paid for the coupon, locked, with the lots that it was paid from."""
    ids = [part.lot_id for part in one.parts]
    if not ids:
        return Wallet.open(())
    accounts = {lot.account_id for lot in await lot_store.load(conn, ids)}
    locked = await member_store.lock_accounts(conn, accounts)
    return Wallet.open(locked, await lot_store.load(conn, ids))


async def _save(
    conn: AsyncConnection, changed: Collection[Coupon], action: Action, cause: Event
) -> None:
    await store.save(conn, changed)
    await store.add_steps(conn, [Step(one, action, one.order_id, cause) for one in changed])


def _named(deed: Deed) -> Action:
    match deed:
        case Reserve():
            return "reserve"
        case Use():
            return "use"
        case Void():
            return "void"
        case _:
            return "free"
