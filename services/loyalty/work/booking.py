"""Saves what a fold or a request has done to a wallet; locks a person's accounts for it.

Between the edge, which opens the transaction, and the store: the batch, the jobs and HTTP
all move points through here, so all of them lock, check and announce alike.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books import ledger
from services.loyalty.books import wallet as wallets
from services.loyalty.books.lots import first_of
from services.loyalty.books.wallet import Wallet
from services.loyalty.members import membership
from services.loyalty.spending import announcements, forfeiting, reservations
from services.loyalty.spending.reservations import Reservation
from services.loyalty.store import closings as closing_store
from services.loyalty.store import few
from services.loyalty.store import journals as journal_store
from services.loyalty.store import lots as lot_store
from services.loyalty.store import members as member_store
from services.loyalty.store import membership as membership_store
from services.loyalty.store import reservations as reservation_store
from shared import aliases, outbox
from shared.events.envelope import Event
from shared.stores import Stores

ALL = 10**9
FEW = 20
"""Lots of one account to begin with: so a member of thousands waits no longer than others."""


async def open_person(
    conn: AsyncConnection,
    customer_id: str,
    now: datetime,
    *,
    wanted: int = 1,
    pooled: bool = True,
) -> Wallet:
    """The accounts of all ids of a person, locked, with lots of at least `wanted` points if there
    are so many at `now`.

    What is over has been expired, and who has left has forfeited what remained; where points are
    short, checkouts that never came back are freed. Empty if the person has no account. `pooled`
    false: of the one id.
    """
    if pooled:
        accounts = await member_store.lock_person(conn, customer_id)
    else:
        accounts = list((await member_store.lock(conn, [customer_id])).values())
    ids = [account.account_id for account in accounts]
    wallet = Wallet.open(accounts)
    if not ids:
        return wallet
    found = await lot_store.load_spendable(conn, ids, FEW)
    if sum(lot.remaining for lot in first_of(found, FEW) if not lot.is_over(now)) < wanted:
        found = await lot_store.load_spendable(conn, ids, ALL)
    wallet.bring(found)
    for lot in found:
        if lot.is_over(now):
            wallets.expire(wallet, lot)
    stays = (await membership_store.list_of_persons(conn, [customer_id])).get(customer_id, ())
    if left_at := membership.left_at(stays, now):
        wallet.bring(await lot_store.load_spendable(conn, ids, ALL))
        for account_id in ids:
            forfeiting.forfeit(wallet, account_id, left_at)
    elif wallet.spendable(now) < wanted:
        await _free_overdue(conn, wallet, customer_id, now, pooled=pooled)
    return wallet


async def _free_overdue(
    conn: AsyncConnection, wallet: Wallet, customer_id: str, now: datetime, *, pooled: bool
) -> None:
    members: Collection[str] = [customer_id]
    if pooled:
        members = (await aliases.person_of(conn, customer_id)).members
    overdue = await reservation_store.load_overdue(conn, members, now)
    held = [part.lot_id for one in overdue for part in one.parts]
    if held:
        wallet.bring(await lot_store.load(conn, held))
        await time_out(conn, wallet, overdue)


async def time_out(conn: AsyncConnection, wallet: Wallet, overdue: Iterable[Reservation]) -> None:
    """Free what checkouts set aside and never came back for, as of the end of their time."""
    after = []
    for one in overdue:
        # An earlier one may have been booked on other accounts: those wait for the job.
        if all(account_id in wallet.accounts for account_id in one.account_ids):
            cause = ledger.cause_of(ledger.SOURCE, f"reservation/{one.id}", one.expires_at)
            after.append(reservations.release(wallet, one, "timed_out", cause))
    await reservation_store.save(conn, after)


async def save(conn: AsyncConnection, wallet: Wallet, stores: Stores) -> None:
    """Balances, lots, journals, and what is told of them; of expiry, whoever came upon it.

    Once it has booked, no month is closed until the transaction ends: lock whom you need before.
    """
    moved = [wallet.accounts[account_id] for account_id in wallet.moved]
    changed = [wallet.lots[lot_id] for lot_id in wallet.changed]
    facts = [*_expired(wallet), *wallet.facts]
    if not moved:
        await outbox.enqueue(conn, facts)
    elif few.are_few(moved, changed, wallet.journals, facts) and wallet.changed <= wallet.known:
        calendar = await closing_store.hold(conn, stores)
        await few.save(conn, moved, changed, wallet.journals, facts, calendar=calendar)
    else:
        await member_store.save(conn, moved)
        await lot_store.save(conn, changed, wallet.known)
        if wallet.journals:
            calendar = await closing_store.hold(conn, stores)
            await journal_store.append(conn, wallet.journals, calendar)
        await outbox.enqueue(conn, facts)


def _expired(wallet: Wallet) -> Iterator[Event]:
    for journal in wallet.journals:
        account = wallet.accounts[journal.account_id]
        if journal.kind == "expire" and account.customer_id:
            yield announcements.expired(journal, account)
