"""Saves what a fold or a request has done to a wallet; locks a person's accounts for it.

Between the edge, which opens the transaction, and the store: the batch, the jobs and HTTP
all move points through here, so all of them lock, check and announce alike.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty import announcements
from services.loyalty import wallet as wallets
from services.loyalty.store import journals as journal_store
from services.loyalty.store import lots as lot_store
from services.loyalty.store import members as member_store
from services.loyalty.wallet import Wallet
from shared import aliases, outbox


async def open_person(
    conn: AsyncConnection, customer_id: str, now: datetime, *, pooled: bool = True
) -> Wallet:
    """The accounts of all ids of a person, locked, with what can be spent of them at `now`.

    What is over has been expired. Empty if the person has no account. `pooled` false: of
    the one id.
    """
    members: Collection[str] = [customer_id]
    if pooled:
        members = (await aliases.person_of(conn, customer_id)).members
    accounts = (await member_store.lock(conn, members)).values()
    ids = [account.account_id for account in accounts]
    found = await lot_store.load_spendable(conn, ids) if ids else []
    wallet = Wallet.open(accounts, found)
    for lot in found:
        if lot.is_over(now):
            wallets.expire(wallet, lot)
    return wallet


async def save(conn: AsyncConnection, wallet: Wallet) -> None:
    """Balances, lots, journals, and what is told of them; of expiry, whoever came upon it."""
    moved = [wallet.accounts[account_id] for account_id in wallet.moved]
    await member_store.save(conn, moved)
    changed = [wallet.lots[lot_id] for lot_id in wallet.changed]
    await lot_store.save(conn, changed, wallet.known)
    await journal_store.append(conn, wallet.journals)
    expired = [
        announcements.expired(journal, account)
        for journal in wallet.journals
        if journal.kind == "expire" and (account := wallet.accounts[journal.account_id]).customer_id
    ]
    if facts := [*expired, *wallet.facts]:
        await outbox.enqueue(conn, facts)
