"""Notes what is told of referrals, and lets a job judge, award and take back (`referrals.py`).

A batch only adds facts, and marks whose referrals they may change: the two sides of one come
by different topics and partitions, and no batch can lock both before it knows them. The job
locks both persons, looks at all facts anew and books the difference, so it does not matter
which side was heard of first, nor how often. Without a programme nothing is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.books.wallet import Wallet
from services.loyalty.earning.limits import Excess, Hold, NotHeld
from services.loyalty.earning.orders import Terms
from services.loyalty.inviting import referral_awards, referral_books, referral_facts, referrals
from services.loyalty.inviting.referral_awards import Used
from services.loyalty.inviting.referral_facts import Invitation, Told
from services.loyalty.inviting.referrals import HELD, Referral
from services.loyalty.store import definitions
from services.loyalty.store import holds as hold_store
from services.loyalty.store import lots as lot_store
from services.loyalty.store import members as member_store
from services.loyalty.store import referral_facts as fact_store
from services.loyalty.store import referrals as store
from services.loyalty.store import shoppers as shopper_store
from services.loyalty.store.referral_facts import Due
from services.loyalty.work import booking
from services.loyalty.work.referral_loading import Loaded, facts_of, load
from shared import aliases
from shared.erasure import Tombstones
from shared.events.envelope import Event
from shared.jobs import Job
from shared.world import World

CUSTOMERS_MAX = 200
"""Judged in one transaction."""
EVERY_S = 5.0
SIDES = ("referrer", "friend")
BUDGET = "referral:default"
"""In `rule_budget`; no rule can have this id."""


async def note(
    conn: AsyncConnection, events: Iterable[Event], terms: Terms, tombstones: Tombstones
) -> None:
    """Keep a batch's facts; some five statements, and none without a programme."""
    if not referrals.is_laid_down(terms.book):
        return
    told = referral_facts.told(events, terms.stores, tombstones.digest)
    await fact_store.add_invitations(conn, await _of_living(conn, told, tombstones))
    await fact_store.add_registrations(conn, told.registrations.values())
    await fact_store.save_orders(conn, told.orders.values())
    news = await fact_store.save_signals(conn, told.signals.values())
    await fact_store.mark_due(conn, told.due, told.wide | news)


async def _of_living(conn: AsyncConnection, told: Told, tombstones: Tombstones) -> list[Invitation]:
    """A replay brings back no erased name: neither the inviter's, whose events are gone before,
    nor that of whom he invited."""
    every = list(told.invitations.values())
    named = {one.invited_id for one in every if one.invited_id}
    gone = await tombstones.find(conn, named) if named else {}
    return [
        replace(one, invited_id=None)
        if one.invited_id in gone and one.invited_at <= gone[one.invited_id]
        else one
        for one in every
    ]


async def settle_due(engine: AsyncEngine, world: World) -> None:
    """Judge all referrals that facts may have changed."""
    due: list[Due] = []
    while True:
        before = due
        async with engine.begin() as conn:
            due = await fact_store.list_due(conn, CUSTOMERS_MAX)
            await store.resolve(conn, *_ids(due))
        if not due or due == before:
            return
        async with engine.begin() as conn:
            await _settle(conn, due, world)


def _ids(due: Iterable[Due]) -> tuple[set[str], set[str]]:
    """All, and those of whom also the invited are concerned."""
    every = list(due)
    return {one.customer_id for one in every}, {one.customer_id for one in every if one.wide}


async def _settle(conn: AsyncConnection, due: Sequence[Due], world: World) -> None:
    found = await aliases.people_of(conn, {one.customer_id for one in due})
    ids, inviters = ({member for id_ in ids for member in found[id_].members} for ids in _ids(due))
    concerned = await store.list_concerned(conn, ids, inviters)
    sides = {side for _, *both in concerned for side in both if side}
    persons = await aliases.people_of(conn, sides)
    every = {member for person in persons.values() for member in person.members}
    buyers = {order.customer_id for order in await fact_store.load_orders(conn, every)}
    await member_store.add_missing(
        conn,
        {
            side
            for _, friend, referrer in concerned
            if friend and not buyers.isdisjoint(persons[friend].members)
            for side in (friend, referrer)
            if side
        },
    )
    accounts = await member_store.lock(conn, every)
    terms = Terms(await definitions.book(conn), world.stores)
    rows = await store.load(conn, [row[0] for row in concerned])
    wallet = Wallet.open(accounts.values())
    loaded = await load(conn, rows, every)
    ready = [row for row in rows if loaded.may_book(row, accounts)]
    after = await _judge(conn, ready, loaded, wallet, terms)
    await booking.save(conn, wallet, world.stores)
    changed = [new for old, new in after if old != new]
    await store.save(conn, changed)
    turned = [new for old, new in after if (old.reason == "ring") != (new.reason == "ring")]
    ringed = {side for new in turned for side in new.sides}
    await fact_store.end_due(conn, due)
    later = {row.customer_id for row in rows if row not in ready and row.customer_id}
    await fact_store.mark_due(conn, later, ringed)


async def _judge(
    conn: AsyncConnection,
    rows: Sequence[Referral],
    loaded: Loaded,
    wallet: Wallet,
    terms: Terms,
) -> list[tuple[Referral, Referral]]:
    """Each referral before and after, with what is booked of it in the wallet."""
    if not rows:
        return []
    used = await _used(conn, rows, loaded)
    pairs = [(row, _decide(row, loaded, used, terms)) for row in rows]
    moved = [(old, new) for old, new in pairs if new.step > old.step]
    await _book(conn, moved, loaded, wallet, terms)
    await hold_store.add(
        conn, [_hold(new, terms) for old, new in pairs if new.hold and not old.hold]
    )
    return pairs


def _decide(row: Referral, loaded: Loaded, used: Mapping[str, Used], terms: Terms) -> Referral:
    assert row.customer_id, "of erased friends none is loaded"
    registered_at = row.registered_at or loaded.joined.get(row.customer_id)
    told = replace(row, registered_at=registered_at)
    found = referrals.programme_of(terms.book, registered_at) if registered_at else None
    programme = found[0] if found else None
    verdict = referrals.judge(told, programme, facts_of(told, loaded))
    others = used[loaded.person(row.referrer_id)]
    others.friends.pop(row.id, None)
    at = verdict.order.told_at if verdict.order else None
    new = referral_awards.settle(
        told,
        verdict,
        programme,
        others,
        zone=terms.stores.get(verdict.order.store if verdict.order else row.store).tz,
        admitted=bool(at) and all(loaded.admits(id_, at, terms) for id_ in row.sides),
    )
    if new.qualified_at and (new.state == "awarded" or new.hold == "held"):
        others.friends[new.id] = new.qualified_at
    moved = sum(referral_awards.differences(row, new).values())
    for each in used.values():
        each.spent += moved
    return replace(new, step=new.step + bool(moved))


async def _used(conn: AsyncConnection, rows: Sequence[Referral], loaded: Loaded) -> dict[str, Used]:
    """By the referrer's person; the budget's row is locked until commit."""
    referrers = {row.referrer_id for row in rows if row.referrer_id}
    members = {member for id_ in referrers for member in loaded.members(id_)}
    spent = (await shopper_store.lock_budgets(conn, {BUDGET}))[BUDGET]
    used = {loaded.person(row.referrer_id): Used(spent=spent) for row in rows}
    for id_, referrer_id, at in await store.list_counted(conn, members):
        used[loaded.person(referrer_id)].friends[id_] = at
    return used


async def _book(
    conn: AsyncConnection,
    moved: Sequence[tuple[Referral, Referral]],
    loaded: Loaded,
    wallet: Wallet,
    terms: Terms,
) -> None:
    """Over the sides' own lots; to take back, also over what else they can spend."""
    if not moved:
        return
    documents = [referral_books.document_of(new, side) for _, new in moved for side in SIDES]
    wallet.bring(await lot_store.load_of_documents(conn, referrals.SOURCE, documents))
    losers = {side for old, new in moved if old.awarded for side in new.sides}
    accounts = [a.account_id for a in wallet.accounts.values() if a.customer_id in losers]
    if accounts:
        wallet.bring(await lot_store.load_spendable(conn, accounts))
    for old, new in moved:
        friend = loaded.members(new.customer_id)
        orders = [order for order in loaded.orders if order.customer_id in friend]
        referral_books.book(old, new, orders, wallet, terms)
    points = sum(sum(referral_awards.differences(old, new).values()) for old, new in moved)
    await shopper_store.add_to_budgets(conn, {BUDGET: points})


def _hold(row: Referral, terms: Terms) -> Hold:
    """Among the orders that wait for review; its id names nobody."""
    assert row.qualified_at, "it has qualified"
    assert row.registered_at, "he has registered"
    found = referrals.programme_of(terms.book, row.registered_at)
    assert found, "a programme held it"
    programme, version = found
    allowed = programme.review_per_day or 0
    return Hold(
        f"{HELD}{row.id}",
        row.referrer_id or "",
        programme.referrer_points + programme.friend_points,
        (Excess("review_per_day", allowed, allowed + 1),),
        {"programme_version": version},
        row.qualified_at,
    )


async def review(conn: AsyncConnection, held: Hold) -> None:
    """Keep what somebody decided on a held referral, and let the job carry it out; NotHeld if the
    friend was erased meanwhile. The referrer is locked."""
    id_ = UUID(held.order_id.removeprefix(HELD))
    friend = await store.decide(conn, id_, held.state)
    if friend is None and held.state == "released":
        raise NotHeld("the friend was erased, and cannot be awarded any more; decline it")
    if friend:
        await fact_store.mark_due(conn, [friend], ())


JOB = Job("settle_referrals", EVERY_S, settle_due, after_log=True)
