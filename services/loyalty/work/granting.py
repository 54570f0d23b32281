"""Tiers that are not earned: granted by somebody, bought with a membership, imported.

A grant is kept with the account of the id that it was given to, so that it goes with that
id when persons are parted. It ends by itself, or is ended; the earned tier is then what
counts again.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.levels.dossier import Dossier, Holding
from services.loyalty.levels.ladder import Ladder, Roster
from services.loyalty.levels.standing import Grant, Person, Why, advance, count, run_dues
from services.loyalty.levels.tiers import Bucket, Plans
from services.loyalty.store import members as member_store
from services.loyalty.store import standings
from services.loyalty.work.tiering import lock, save
from shared.errors import Conflict, NotFound, Unprocessable

GRANTS_MAX = 100  # of one account; what is over makes room, and stays in the history
NOTHING = Bucket()


class NoSuchTier(Unprocessable):
    """The plan in force has no tier of this code."""


class TooManyGrants(Conflict):
    """The customer has as many tiers granted as there may be."""


async def give(
    conn: AsyncConnection, customer_id: str, new: Grant, plans: Plans, now: datetime
) -> Person:
    """Grant a tier; the person as he then is. Whoever has no account gets one."""
    plan = plans.at(now)
    if plan is None or new.tier not in plan.levels:
        raise NoSuchTier("tier: give the code of a tier of the plan; GET /v1/tiers lists them")
    await member_store.add_missing(conn, [customer_id])
    dossier = await _open(conn, customer_id, plans, now)
    assert dossier, "the account has just been made sure of"
    own = next(each for each in dossier.holdings if each.customer_id == customer_id)
    given = replace(own, grants=_with(own.grants, new, now))
    return await _save(conn, dossier, given, plans, now=now, why="granted", document=new.id)


async def end(
    conn: AsyncConnection,
    customer_id: str,
    grant_id: str,
    plans: Plans,
    *,
    now: datetime,
    reason: str = "",
) -> Person:
    """End a grant before its time; NotFound if there is none of this id, or it is over."""
    dossier = await _open(conn, customer_id, plans, now)
    for own in dossier.holdings if dossier else ():
        grants = _without(own.grants, grant_id, now, reason)
        if grants != own.grants:
            assert dossier, "it has the holding"
            less = replace(own, grants=grants)
            return await _save(
                conn, dossier, less, plans, now=now, why="grant_ended", document=grant_id
            )
    raise NotFound("this customer has no grant of this id, or it has ended")


@dataclass(frozen=True, slots=True)
class Change:
    """What comes to one customer id from elsewhere, or goes again."""

    customer_id: str
    given: Grant | None = None
    ended: str = ""
    """The id of a grant."""
    day: date | None = None
    counts: Bucket = NOTHING
    """By how much more, or less, the day counts."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Whose accounts they were, and which grants were still there to be ended."""

    accounts: dict[str, UUID]
    ended: set[str]


async def change(
    conn: AsyncConnection, changes: Sequence[Change], plans: Plans, now: datetime, why: Why
) -> Changed:
    """Carry out all of these, in a fixed number of statements; every id has an account.

    What is told of it is history: nobody gets a message about a tier that he had.
    """
    by_customer: defaultdict[str, list[Change]] = defaultdict(list)
    for each in changes:
        by_customer[each.customer_id].append(each)
    await lock(conn, by_customer)
    wanted = dict.fromkeys(by_customer, (plans.day_of(now), True))
    ladder = Ladder.open(Roster(plans, await standings.load(conn, wanted, plans)))
    holdings = [each for one in ladder.by_id.values() for each in one.holdings]
    accounts = {each.customer_id: each.account_id for each in holdings}
    before = {each.account_id: each.grants for each in holdings}
    grants = dict(before)
    for customer_id, own in by_customer.items():
        _alter(ladder, accounts[customer_id], own, grants, now=now, why=why)
    await standings.save_grants(
        conn, {id_: held for id_, held in grants.items() if held != before[id_]}
    )
    ladder.facts = [replace(fact, backfill=True) for fact in ladder.facts]
    await save(conn, ladder)
    over = {
        grant.id
        for id_, held in grants.items()
        for grant in held
        if grant.until == now and grant not in before[id_]
    }
    return Changed(accounts, over)


def _alter(
    ladder: Ladder,
    account_id: UUID,
    changes: Iterable[Change],
    grants: dict[UUID, tuple[Grant, ...]],
    *,
    now: datetime,
    why: Why,
) -> None:
    """Bring the account's person to what these make of him; `grants` are all of his accounts'."""
    plans, person, document = ladder.plans, ladder.person(account_id), ""
    if person.standing.earned:  # what was due before came with what was known then
        ladder.put(account_id, run_dues(plans, person, now), None)
    for each in changes:
        held = grants[account_id]
        if each.ended:
            held = _without(held, each.ended, now, why)
        if each.given:
            held = _with(held, each.given, now)
        grants[account_id] = held
        document = each.given.id if each.given else each.ended or document
    accounts = (each.account_id for each in ladder.by_account[account_id].holdings)
    pooled = tuple(grant for id_ in accounts for grant in grants[id_])
    person = replace(ladder.person(account_id), grants=pooled)
    ladder.put(account_id, advance(plans, person, now, why), None, document)
    for each in changes:
        if each.day:
            key = account_id, each.day
            ladder.days[key] = ladder.days[key].plus(each.counts)
            told = count(plans, ladder.person(account_id), each.day, each.counts, now)
            ladder.put(account_id, told, None, document)


def _with(held: tuple[Grant, ...], new: Grant, now: datetime) -> tuple[Grant, ...]:
    """The grants of an account with one more; TooManyGrants if there is no room."""
    alive = [each for each in held if each.until is None or each.until > now]
    if len(alive) >= GRANTS_MAX:
        raise TooManyGrants("end one of them first")
    over = [each for each in held if each not in alive]
    return (*over, *alive, new)[-GRANTS_MAX:]


def _without(
    held: tuple[Grant, ...], grant_id: str, now: datetime, reason: str
) -> tuple[Grant, ...]:
    """The grants with this one ended, if it is there and not over."""
    return tuple(
        replace(each, until=now, starts_at=min(each.starts_at, now), ended_for=reason)
        if each.id == grant_id and (each.until is None or each.until > now)
        else each
        for each in held
    )


async def _open(
    conn: AsyncConnection, customer_id: str, plans: Plans, now: datetime
) -> Dossier | None:
    await lock(conn, [customer_id])
    found = await standings.load(conn, {customer_id: (plans.day_of(now), True)}, plans)
    return found.get(customer_id)


async def _save(
    conn: AsyncConnection,
    dossier: Dossier,
    changed: Holding,
    plans: Plans,
    *,
    now: datetime,
    why: Why,
    document: str,
) -> Person:
    """Keep one account's grants, and bring the person to what they make of him."""
    ladder = Ladder.open(Roster(plans, {dossier.canonical_id: dossier}))
    own, person = changed.account_id, dossier.person
    if person.standing.earned:  # what was due before came with the grants as they were
        ladder.put(own, run_dues(plans, person, now), None)
    holdings = [changed if each.account_id == own else each for each in dossier.holdings]
    grants = tuple(each for holding in holdings for each in holding.grants)
    person = replace(ladder.person(own), grants=grants)
    ladder.put(own, advance(plans, person, now, why), None, document)
    await standings.save_grants(conn, {own: changed.grants})
    await save(conn, ladder)
    return ladder.person(own)
