"""Loads and saves what an order's events do to the points it is paid with (`tenders.py`)."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.wallet import Wallet
from services.loyalty.earning.orders import Judged, Outcome, Terms
from services.loyalty.spending import tenders
from services.loyalty.spending.reservations import Reservation
from services.loyalty.store import lots as lot_store
from services.loyalty.store import reservations as store
from shared import aliases


def named(judged: Iterable[Judged]) -> set[str]:
    """The reservations that the orders' tenders name."""
    return {t.reservation_id or "" for event, _ in judged for t in tenders.of(event.data)}


async def owners(conn: AsyncConnection, ids: set[str]) -> set[str]:
    """The customer ids whose accounts hold these reservations: to be locked with the others."""
    if not ids:
        return set()
    found = await store.load(conn, ids)
    accounts = [account for one in found.values() for account in one.account_ids]
    return set(await store.owners_of(conn, accounts)) if accounts else set()


async def follow(conn: AsyncConnection, ids: set[str], outcome: Outcome, terms: Terms) -> None:
    """Confirm, free and give back, over the wallet of the orders' own fold, which is locked."""
    if not ids:
        return
    found = await store.load(conn, ids)
    locked = {id_: one for id_, one in found.items() if _is_locked(one, outcome.wallet)}
    await _bring_lots(conn, outcome.wallet, locked.values())
    shoppers = {event.key for event in outcome.applied}
    people = await aliases.people_of(conn, shoppers)
    held = tenders.Held(
        reservations=locked,
        shortfalls=await store.load_shortfalls(conn, outcome.orders),
        people={shopper: person.members for shopper, person in people.items()},
        wallet=outcome.wallet,
        book=terms.book,
        stores=terms.stores,
    )
    after = tenders.fold(held, outcome.applied)
    await store.save(conn, after.reservations.values())
    await store.add_shortfalls(conn, after.shortfalls.values())


def _is_locked(one: Reservation, wallet: Wallet) -> bool:
    return all(account_id in wallet.accounts for account_id in one.account_ids)


async def _bring_lots(conn: AsyncConnection, wallet: Wallet, found: Iterable[Reservation]) -> None:
    """The lots that the reservations hold, and for those that are free again what there is."""
    every = list(found)
    ids = [part.lot_id for one in every for part in one.parts]
    late = {
        a for one in every if one.state not in {"reserved", "confirmed"} for a in one.account_ids
    }
    lots = await lot_store.load(conn, ids) if ids else []
    lots += await lot_store.load_spendable(conn, late) if late else []
    wallet.bring(lots)
