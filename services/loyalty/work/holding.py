"""Earning that is held for review: what a batch is weighed by, and what somebody decides on it.

Only where limits are laid down does a batch pay for them: one statement more for all its
members and days.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.ledger import SOURCE, Account, cause_of
from services.loyalty.books.wallet import Wallet
from services.loyalty.earning import review, usage
from services.loyalty.earning.limits import Hold, HoldState, NotHeld, Watch, limits_at
from services.loyalty.earning.orders import Judged, OrderState, Outcome, Terms
from services.loyalty.inviting.referrals import HELD
from services.loyalty.store import decisions as decision_store
from services.loyalty.store import holds as store
from services.loyalty.store import members as member_store
from services.loyalty.store import orders as order_store
from services.loyalty.store import shoppers as shopper_store
from services.loyalty.store.holds import Span
from services.loyalty.work import booking, referring
from shared.aliases import Person
from shared.errors import NotFound, Unavailable


@dataclass(frozen=True, slots=True)
class Decided:
    """What somebody says about it."""

    state: HoldState
    by: str
    at: datetime
    comment: str = ""


class OrderMoves(Unavailable):
    """The order is changing at this moment; send the same again."""


async def watch(
    conn: AsyncConnection,
    judged: Collection[Judged],
    owners: Mapping[str, str],
    people: Mapping[str, Person],
    terms: Terms,
) -> Watch | None:
    """What the owners have earned on the days of these events; None: there are no limits."""
    places = {
        (owners[event.data.order_id], event.time.astimezone(terms.stores.get(event.data.store).tz))
        for event, verdict in judged
        if verdict == "earns"
        and event.data.order_id in owners
        and limits_at(terms.book, event.time)
    }
    if not places:
        return None
    spans = {
        Span(people[owner].canonical_id, at.date(), member, *_range(at))
        for owner, at in places
        for member in people[owner].members
    }
    days = await store.sum_days(conn, sorted(spans))
    names = {owner: person.canonical_id for owner, person in people.items()}
    return Watch(terms.book, terms.stores, days, names)


def _range(at: datetime) -> tuple[UUID, UUID]:
    """The day of `at` in its zone, as journal ids."""
    begins = datetime.combine(at.date(), time(0), at.tzinfo)
    ends = datetime.combine(at.date() + timedelta(1), time(0), at.tzinfo)
    first, last = (max(0, int(each.timestamp() * 1000)) << 80 for each in (begins, ends))
    return UUID(int=first), UUID(int=last)


async def decide(conn: AsyncConnection, order_id: str, decided: Decided, terms: Terms) -> Hold:
    """Release or decline: book what follows, and keep who decided. NotHeld if it is too late."""
    held = await store.get(conn, order_id)
    if held is None:
        raise NotFound("no order of this id was ever held")
    if held.state != "held" or held.customer_id is None:
        raise NotHeld(f"it is {held.state}", state=held.state)
    accounts = await member_store.lock(conn, [held.customer_id])
    kept = replace(
        held,
        state=decided.state,
        decided_by=decided.by,
        decided_at=decided.at,
        comment=decided.comment,
    )
    if not await store.decide(conn, kept):
        raise NotHeld("somebody has just decided on it")
    if order_id.startswith(HELD):
        await referring.review(conn, kept)
    else:
        await _carry_out(conn, kept, accounts[held.customer_id], decided, terms)
    return kept


async def _carry_out(
    conn: AsyncConnection, kept: Hold, account: Account, decided: Decided, terms: Terms
) -> None:
    order_id = kept.order_id
    states = await order_store.load(conn, [order_id])
    state = states[order_id]
    out = Outcome(Wallet.open([account]))
    if decided.state == "released":
        after = review.release(state, account, terms, out, now=decided.at)
    else:
        cause = cause_of(SOURCE, f"hold/{order_id}", decided.at)
        after = review.decline(state, account, terms, out, cause=cause)
    try:
        await order_store.save(conn, states, [after])
    except order_store.OrderMoved:
        raise OrderMoves(headers={"Retry-After": "1"}) from None
    if decided.state == "declined":
        await _free_caps(conn, state)
    await booking.save(conn, out.wallet, terms.stores)


async def _free_caps(conn: AsyncConnection, state: OrderState) -> None:
    """What the order held of caps and budgets, others may have: the last rows that are locked,
    before the open month is held."""
    found = (await decision_store.load(conn, [state.order_id])).get(state.order_id)
    if found is None or state.customer_id is None:
        return
    held = usage.held(found.credits, state.lines)
    less = {state.customer_id: Counter(usage.negative(held.places))}
    await shopper_store.add_tallies(conn, less)
    if budgets := {rule_id: -points for rule_id, points in held.budgets.items() if points}:
        await shopper_store.lock_budgets(conn, budgets)
        await shopper_store.add_to_budgets(conn, budgets)
