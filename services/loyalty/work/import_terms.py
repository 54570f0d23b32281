"""Brings terms of paid memberships from elsewhere, and takes them back.

A term is then as one that was bought here: it can be renewed, and is refunded pro rata from what
was paid. Taken back, it ends without a refund: the money stays with who took it.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.arrivals.import_benefits import TermRow
from services.loyalty.arrivals.import_fields import Fault
from services.loyalty.arrivals.opening import Batch, Brought, Stays, is_import
from services.loyalty.levels.standing import Grant, Why
from services.loyalty.levels.tiers import TierPlan
from services.loyalty.members import subscriptions
from services.loyalty.members.subscriptions import (
    AlreadyRefunded,
    MembershipPlan,
    Purchase,
    Term,
    TermOver,
)
from services.loyalty.store import definitions
from services.loyalty.store import imports as store
from services.loyalty.store import members as member_store
from services.loyalty.store import subscriptions as term_store
from services.loyalty.terms.definitions import Version
from services.loyalty.work import granting, tiering
from services.loyalty.work.granting import Change
from shared.world import World

Plans = dict[str, Version[MembershipPlan]]


async def refused(conn: AsyncConnection, world: World, rows: Sequence[TermRow]) -> list[Fault]:
    """Rows whose plan is not there, and terms that are here already."""
    known = await term_store.list_known(conn, {row.document_id for row in rows})
    terms = await term_store.list_of_people(conn, {row.customer_id for row in rows})
    plans, tiers = await _plans(conn, world)
    faults = []
    for row in rows:
        own = terms.get(row.customer_id, ())
        refund = known.get(row.document_id)
        if refund is not None and not is_import(refund):
            what = "is here already, and a document is one term for ever; leave the row out"
            faults.append(Fault(row.row, "document_id", what))
        elif other := next((term for term in own if _overlaps(row, term)), None):
            what = f"has a term in these days, document {other.document_id}; leave the row out"
            faults.append(Fault(row.row, "customer_id", what))
        if fault := _mismatch(row, plans, tiers):
            faults.append(fault)
    return faults


async def book(conn: AsyncConnection, batch: Batch, rows: Sequence[TermRow], world: World) -> None:
    """Write the terms, and give their tiers."""
    customer_ids = {row.customer_id for row in rows}
    await member_store.add_missing(conn, customer_ids)
    await tiering.lock(conn, customer_ids)
    accounts = await member_store.lock(conn, customer_ids)
    known = await term_store.list_known(conn, {row.document_id for row in rows})
    plans, tiers = await _plans(conn, world)
    made, brought = [], []
    for row in rows:
        term = _term(batch, row, plans[row.plan_id], known)
        account_id = accounts[row.customer_id].account_id
        made.append((account_id, term))
        detail = {"document": term.document_id, "minor": row.minor}
        brought.append(Brought(row.row, account_id, None, 0, detail=detail))
    await term_store.add_many(conn, made)
    if tiers:
        changes = [
            Change(row.customer_id, _grant(term)) for row, (_, term) in zip(rows, made, strict=True)
        ]
        await _change(conn, changes, world, "granted")
    await store.add_rows(conn, batch.id, brought)


async def take_back(
    conn: AsyncConnection, batch: Batch, rows: Sequence[Brought], world: World
) -> list[Stays]:
    """End the terms without a refund; those that were refunded, renewed or are over stay."""
    now = world.clock.now()
    owners = await member_store.list_owners(conn, {row.account_id for row in rows})
    await tiering.lock(conn, set(owners.values()))
    terms = await term_store.list_of_people(conn, set(owners.values()))
    ended, changes, stays = [], [], []
    for row in rows:
        customer_id = owners.get(row.account_id)
        if customer_id is None:
            stays.append(Stays(row, "its customer was erased"))
            continue
        own = {term.document_id: term for term in terms[customer_id]}
        term = own[row.detail["document"]]
        if why := _stays(term, own.values(), batch):
            stays.append(Stays(row, why))
            continue
        try:
            after = subscriptions.give_back(term, batch.name(row.row), now)
        except AlreadyRefunded:
            stays.append(Stays(row, "its term was refunded"))
        except TermOver:
            stays.append(Stays(row, "its term has ended"))
        else:
            assert after.refund, "it has just been ended"
            ended.append(replace(after, refund=replace(after.refund, amount_minor=0)))
            changes.append(Change(customer_id, ended=term.document_id))
    await term_store.add_refunds(conn, ended)
    if changes:
        await _change(conn, changes, world, "grant_ended")
    return stays


def _stays(term: Term, own: Collection[Term], batch: Batch) -> str:
    """Why a term cannot be ended: what was bought here joins on to it."""
    for later in own:
        joins = later.starts_at >= term.ends_at and later.bought_at > batch.at
        if joins and not later.refund:
            return f"its term was renewed, by document {later.document_id}: refund that first"
    return ""


def _mismatch(row: TermRow, plans: Plans, tiers: TierPlan | None) -> Fault | None:
    """What is wrong with the plan of a row."""
    plan = plans.get(row.plan_id)
    if plan is None:
        what = "no plan of this id has started; lay it down first: PUT /v1/membership-plans/{id}"
        return Fault(row.row, "plan_id", what)
    if tiers and plan.body.tier not in tiers.levels:
        what = f"its tier, {plan.body.tier}, is not in the tier plan; lay down one that has it"
        return Fault(row.row, "plan_id", what)
    return None


def _overlaps(row: TermRow, term: Term) -> bool:
    return not term.refund and row.first_day < term.end_day and term.first_day < row.end_day


def _term(
    batch: Batch, row: TermRow, plan: Version[MembershipPlan], known: Collection[str]
) -> Term:
    """Under the file's document; that of a term that was taken back gets the batch's number."""
    document_id = f"{row.document_id}-{batch.id}" if row.document_id in known else row.document_id
    purchase = Purchase(document_id, row.bought_at or batch.at, row.zone, row.paid_minor)
    return subscriptions.bring(plan, purchase, row.first_day, row.end_day)


def _grant(term: Term) -> Grant:
    return Grant(
        term.document_id, "paid", term.tier, term.starts_at, term.holds_until, term.plan_id
    )


async def _plans(conn: AsyncConnection, world: World) -> tuple[Plans, TierPlan | None]:
    """The newest version of each plan that has started, on sale or not; and the tiers in force."""
    book, now = await definitions.book(conn), world.clock.now()
    started = {
        newest.id: [v for v in book.versions(MembershipPlan, newest.id) if v.starts_at <= now]
        for newest in book.newest(MembershipPlan)
    }
    plans = {id_: versions[-1] for id_, versions in started.items() if versions}
    return plans, tiering.plans_in(book, world.stores).at(now)


async def _change(conn: AsyncConnection, changes: Sequence[Change], world: World, why: Why) -> None:
    plans = tiering.plans_in(await definitions.book(conn), world.stores)
    await granting.change(conn, changes, plans, world.clock.now(), why)
