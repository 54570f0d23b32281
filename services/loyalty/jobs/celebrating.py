"""Birthdays and anniversaries: points once a year, whatever the clock or a replay does.

A job looks at the days of the last week, in the first store's zone, and congratulates who has
not been congratulated for that year: what was given is noted with the year. 29 February is
1 March in other years. Who tells his birthday later gets it from the next on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.books import ledger
from services.loyalty.books.wallet import Wallet
from services.loyalty.earning.actions import Done
from services.loyalty.earning.orders import Terms
from services.loyalty.levels.ladder import Ladder
from services.loyalty.store import actions as store
from services.loyalty.store import definitions
from services.loyalty.store import members as member_store
from services.loyalty.store.actions import Celebrant
from services.loyalty.work import acting, booking, tiering
from shared import aliases
from shared.aliases import Person
from shared.jobs import Job
from shared.stores import Store
from shared.world import World

DAYS_BACK = 7
"""How long the job may have been away before a day is missed."""
MEMBERS_MAX = 500
EVERY_S = 600.0

Kind = Literal["birthday", "anniversary"]
KINDS: tuple[Kind, ...] = ("birthday", "anniversary")


@dataclass(frozen=True, slots=True)
class Day:
    """A day on which members are congratulated, with the days of the year that fall on it."""

    date: date
    names: frozenset[str]


def days_until(today: date) -> Iterator[Day]:
    """The last days up to `today`; the leap day's own falls on 1 March where there is none."""
    for back in range(DAYS_BACK, -1, -1):
        day = today - timedelta(back)
        names = {f"{day:%m-%d}"}
        if (day.month, day.day) == (3, 1) and (day - timedelta(1)).day == 28:
            names.add("02-29")
        yield Day(day, frozenset(names))


async def congratulate(engine: AsyncEngine, world: World) -> None:
    """All members whose day it is, a bounded number in each transaction."""
    home = next(iter(world.stores.by_id.values()))
    today = world.clock.now().astimezone(home.tz).date()
    async with engine.connect() as conn:
        kinds = acting.kinds_of(Terms(await definitions.book(conn), world.stores))
    for kind in KINDS:
        for day in days_until(today) if kind in kinds else ():
            after: str | None = ""
            while after is not None:
                async with engine.begin() as conn:
                    after = await _some(conn, world, kind, day, after=after)


async def _some(
    conn: AsyncConnection, world: World, kind: Kind, day: Day, *, after: str
) -> str | None:
    """Congratulate the next members; the id after which to go on, None at the end."""
    home = next(iter(world.stores.by_id.values()))
    found = await store.list_celebrants(
        conn, kind, day.names, str(day.date.year), after=after, members_max=MEMBERS_MAX
    )
    if not found:
        return None
    terms = Terms(await definitions.book(conn), world.stores)
    dones = [
        _done(one, kind, day, home)
        for one in found
        if kind == "birthday" or int(one.since[:4]) < day.date.year
    ]
    people = await aliases.people_of(conn, {done.customer_id for done in dones})
    ids = {id_ for person in people.values() for id_ in person.members}
    accounts = await member_store.lock(conn, ids)
    dones = await _once(conn, [done for done in dones if done.customer_id in accounts], people)
    wallet = Wallet.open(accounts.values())
    ladder = Ladder.open(await tiering.load(conn, (), (), {}, terms, owners={}, acted=dones))
    await acting.follow(conn, dones, wallet, ladder, terms)
    await booking.save(conn, wallet, world.stores)
    await tiering.save(conn, ladder)
    return found[-1].customer_id


async def _once(
    conn: AsyncConnection, dones: Sequence[Done], people: Mapping[str, Person]
) -> list[Done]:
    """One for each person: several of his ids may tell a birthday, not all of them the same."""
    every = {done.key: people[done.customer_id] for done in dones}
    keys = {(id_, *key[1:]) for key, person in every.items() for id_ in person.members}
    past = {key[0] for key in await store.load_done(conn, keys)} if keys else set()
    first: dict[str, Done] = {}
    for done in dones:
        person = every[done.key]
        if past.isdisjoint(person.members):
            first.setdefault(person.canonical_id, done)
    return list(first.values())


def _done(one: Celebrant, kind: Kind, day: Day, home: Store) -> Done:
    at = datetime.combine(day.date, time(0), home.tz)
    id_ = uuid5(NAMESPACE_OID, f"{kind}/{day.date.year}/{one.account_id}")  # it is shown
    cause = ledger.cause_of(ledger.SOURCE, f"{kind}/{id_}", at)
    years = day.date.year - int(one.since[:4]) if one.since[0] != "-" else None
    return Done(
        one.customer_id,
        kind,
        str(day.date.year),
        home.id,
        at,
        cause,
        attributes={"years": years} if years is not None else {},
    )


CELEBRATE = Job("congratulate", EVERY_S, congratulate)
