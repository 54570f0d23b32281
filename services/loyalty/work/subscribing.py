"""Buys and refunds paid terms, in the caller's transaction; tells the tiers that are paid for.

Where there is a tier plan, a term is a grant of its tier, with its document's id (`granting.py`).
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.levels.standing import Grant
from services.loyalty.members import subscriptions
from services.loyalty.members.subscriptions import (
    AlreadyRefunded,
    DocumentUsed,
    MembershipPlan,
    PaidTier,
    Purchase,
    Term,
)
from services.loyalty.store import definitions
from services.loyalty.store import subscriptions as store
from services.loyalty.work import granting, people, tiering
from shared.aliases import Person
from shared.errors import NotFound, Unprocessable
from shared.stores import Stores

USED = "send the document of this purchase, or look the other one up"


@dataclass(frozen=True, slots=True)
class Moment:
    """When it happened (`at`), when we hear of it, and the stores."""

    at: datetime
    now: datetime
    stores: Stores


@dataclass(frozen=True, slots=True)
class Bought:
    """A term, and whether this purchase is the first to be told of it."""

    term: Term
    is_new: bool


async def buy(
    conn: AsyncConnection, customer_id: str, plan_id: str, purchase: Purchase, moment: Moment
) -> Bought:
    """The term of this purchase, which is made once for its document."""
    held = await people.hold(conn, customer_id)
    known = await store.find(conn, purchase.document_id)
    if known:
        return Bought(_same(known, held.members, plan_id, purchase), is_new=False)
    book = await definitions.book(conn)
    plan = book.one_in_force(MembershipPlan, plan_id, purchase.at)
    if plan is None:
        raise Unprocessable("plan_id: no plan of this id was on sale then")
    terms = await _terms_of(conn, held.members)
    term = subscriptions.buy(terms, plan, purchase)
    if not await store.add(conn, held.accounts[customer_id].account_id, term):
        raise DocumentUsed(USED)  # by somebody else, at this moment
    plans = tiering.plans_in(book, moment.stores)
    if plans.at(moment.now):
        grant = Grant(
            term.document_id, "paid", term.tier, term.starts_at, term.holds_until, plan.id
        )
        await granting.give(conn, customer_id, grant, plans, moment.now)
    return Bought(term, is_new=True)


async def give_back(
    conn: AsyncConnection,
    customer_id: str,
    term_document_id: str,
    document_id: str,
    moment: Moment,
) -> Term:
    """The term with its refund, which is made once for its document."""
    held = await people.hold(conn, customer_id)
    known = await store.find(conn, term_document_id)
    if known is None or known[0] not in held.members:
        raise NotFound("this customer has bought no term under this document")
    refunded = await store.find_refund(conn, document_id)
    if refunded and refunded != term_document_id:
        raise DocumentUsed(USED)
    before = known[1]
    after = subscriptions.give_back(before, document_id, moment.at)
    if before.refund:
        return after
    if not await store.add_refund(conn, after):
        raise AlreadyRefunded("at this moment; read it again")
    plans = tiering.plans_in(await definitions.book(conn), moment.stores)
    with suppress(NotFound):  # it is over by now, or there was no tier plan then
        await granting.end(
            conn, customer_id, term_document_id, plans, now=moment.now, reason=document_id
        )
    return after


async def paid_tiers(
    conn: AsyncConnection, people_: Mapping[str, Iterable[str]], at: datetime
) -> dict[str, PaidTier]:
    """Of these persons (any name for each, and his customer ids), the tiers they have paid for."""
    ids = {customer_id for members in people_.values() for customer_id in members}
    by_id = await store.list_of_people(conn, ids)
    found = {
        name: subscriptions.paid_tier((t for one in members for t in by_id.get(one, ())), at)
        for name, members in people_.items()
    }
    return {name: paid for name, paid in found.items() if paid}


async def tier_of(
    conn: AsyncConnection, customer_id: str, person: Person, now: datetime, stores: Stores
) -> str | None:
    """The tier of a person, earned, granted or paid for; without a tier plan the paid one."""
    plans = tiering.plans_in(await definitions.book(conn), stores)
    if plans.at(now):
        found = await tiering.tiers_at(conn, {customer_id: now}, plans)
        return found[customer_id].code if customer_id in found else None
    paid = await paid_tiers(conn, {customer_id: person.members}, now)
    return paid[customer_id].tier if customer_id in paid else None


def _same(
    known: tuple[str | None, Term], members: Collection[str], plan_id: str, purchase: Purchase
) -> Term:
    """The term that this very purchase made; DocumentUsed if it was another one."""
    customer_id, term = known
    paid = purchase.paid_minor
    if customer_id not in members or term.plan_id != plan_id:
        raise DocumentUsed(USED)
    if paid is not None and paid != term.paid_minor:
        raise DocumentUsed("it was bought for another price")
    return term


async def _terms_of(conn: AsyncConnection, members: Iterable[str]) -> list[Term]:
    by_id = await store.list_of_people(conn, set(members))
    return [term for own in by_id.values() for term in own]
