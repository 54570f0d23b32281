"""Draws a member's card, once, and replaces it; in the caller's transaction."""

import secrets
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.ledger import Account
from services.loyalty.members import cards
from services.loyalty.store import cards as store
from services.loyalty.store.cards import Card
from services.loyalty.work import people
from services.loyalty.work.joining import check_member
from services.loyalty.work.people import Held
from shared import aliases

DRAWS_MAX = 20
"""Of 10^10 handles a million members use one in ten thousand: twenty misses do not happen."""


async def card_of(conn: AsyncConnection, customer_id: str, now: datetime) -> Card:
    """The person's card, drawn at the first look: under this id, else under another of his."""
    people.refuse_nobody(customer_id)
    person = await aliases.person_of(conn, customer_id)
    await check_member(conn, person.members, now)
    found = _own(await store.list_live(conn, person.members), customer_id)
    if found:
        return found
    held = await people.hold(conn, customer_id)
    found = _own(await store.list_live(conn, held.members), customer_id)
    return found or await _draw(conn, held.accounts[customer_id])


async def replace(conn: AsyncConnection, customer_id: str, now: datetime) -> Card:
    """A new card; all that the person had before are dead."""
    held: Held = await people.hold(conn, customer_id)
    await check_member(conn, held.members, now)
    await store.kill(conn, [account.account_id for account in held.accounts.values()])
    return await _draw(conn, held.accounts[customer_id])


async def _draw(conn: AsyncConnection, account: Account) -> Card:
    for _ in range(DRAWS_MAX):
        number = cards.card_number(secrets.randbelow(10**cards.CARD_DIGITS))
        handle = cards.handle(secrets.randbelow(10**cards.HANDLE_DIGITS))
        if await store.add(conn, account.account_id, number, handle):
            found = await store.find_by_number(conn, number)
            assert found, "it was added just now"
            return found
    raise AssertionError("no number was free in twenty draws")


def _own(live: Iterable[Card], customer_id: str) -> Card | None:
    """The id's own card before the oldest of the person's others."""
    return min(live, key=lambda card: card.customer_id != customer_id, default=None)
