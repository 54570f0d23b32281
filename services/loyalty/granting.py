"""Tiers that are not earned: granted by somebody, bought with a membership, imported.

A grant is kept with the account of the id that it was given to, so that it goes with that
id when persons are parted. It ends by itself, or is ended; the earned tier is then what
counts again.
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.dossier import Dossier, Holding
from services.loyalty.ladder import Ladder, Roster
from services.loyalty.standing import Grant, Person, Why, advance, run_dues
from services.loyalty.store import members as member_store
from services.loyalty.store import standings
from services.loyalty.tiering import lock, save
from services.loyalty.tiers import Plans
from shared.errors import Conflict, NotFound, Unprocessable

GRANTS_MAX = 100  # of one account; what is over makes room, and stays in the history


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
    alive = [each for each in own.grants if each.until is None or each.until > now]
    if len(alive) >= GRANTS_MAX:
        raise TooManyGrants("end one of them first")
    over = [each for each in own.grants if each not in alive]
    given = replace(own, grants=(*over, *alive, new)[-GRANTS_MAX:])
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
        for each in own.grants:
            if each.id == grant_id and (each.until is None or each.until > now):
                assert dossier, "it has the holding"
                begun = min(each.starts_at, now)
                ended = replace(each, until=now, starts_at=begun, ended_for=reason)
                grants = tuple(ended if one is each else one for one in own.grants)
                less = replace(own, grants=grants)
                return await _save(
                    conn, dossier, less, plans, now=now, why="grant_ended", document=grant_id
                )
    raise NotFound("this customer has no grant of this id, or it has ended")


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
    await standings.save_grants(conn, own, changed.grants)
    await save(conn, ladder)
    return ladder.person(own)
