"""Gives birthday rewards: to each member once a year, whatever the clock or replays do.

The job works through the birthdays of today and of the week before, in the zone of the
reward's store, so one that was away for some days catches up. A gift has the time at which the
birthday began, and an id derived from the reward, the account and the year; who has had one in
that year under any of his ids is left out, also if he has told another birthday since. 29
February falls on 1 March in other years. A reward that tiers name as their benefit is for
the members of those tiers.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.benefits.rewards import Reward, Standing, misses
from services.loyalty.books import ledger
from services.loyalty.books.ledger import Account
from services.loyalty.earning.orders import Terms
from services.loyalty.levels.tiers import TierPlan
from services.loyalty.store import coupons as store
from services.loyalty.store import definitions
from services.loyalty.store import members as member_store
from services.loyalty.store import shoppers as shopper_store
from services.loyalty.terms.conditions import falls_on
from services.loyalty.terms.definitions import Version
from services.loyalty.work import giving, issuing, tiering
from services.loyalty.work.issuing import Ask
from shared import aliases
from shared.aliases import Person
from shared.jobs import Job
from shared.world import World

CATCH_UP_DAYS = 7
MEMBERS_MAX = 1_000
"""In one transaction."""
PASSED = {"occasion", "points", "out_of_stock", "limit"}
"""What keeps nobody from his gift: it is given, it is free, and the stock sees to itself."""


async def give_due(engine: AsyncEngine, world: World) -> None:
    """All that is due by the business clock."""
    async with engine.connect() as conn:
        book = await definitions.book(conn)
    now = world.clock.now()
    rewards = [each for each in book.in_force(Reward, now) if each.body.occasion == "birthday"]
    for version in rewards:
        today = now.astimezone(world.stores.get(version.body.home()).tz).date()
        for days in range(CATCH_UP_DAYS, -1, -1):
            after: str | None = ""
            while after is not None:
                async with engine.begin() as conn:
                    day = today - timedelta(days)
                    after = await give_on(conn, world, version, day, after=after)


async def give_on(
    conn: AsyncConnection, world: World, version: Version[Reward], day: date, *, after: str
) -> str | None:
    """The gifts of one birthday, to members in the order of their ids after one of them; the last
    of them, or None if there are no more."""
    since, until = _year_of(day, world, version)
    found = await shopper_store.list_born(
        conn, born_on(day), version.id, since, until, after=after, members_max=MEMBERS_MAX
    )
    if found:
        people = await aliases.people_of(conn, found)
        ids = {id_ for person in people.values() for id_ in person.members}
        accounts = await member_store.lock(conn, ids)
        had = await store.list_had(conn, ids, [version.id], since, until)
        due = await _celebrate(conn, people, version, day, world)
        members = {customer_id: person.members for customer_id, person in people.items()}
        asks = [_ask(accounts[id_], version, day, world) for id_ in due if id_ in accounts]
        await issuing.give(conn, giving.first(asks, members, had), world.stores)
    return found[-1] if len(found) == MEMBERS_MAX else None


def born_on(day: date) -> set[str]:
    """The birthdays, as `MM-DD`, that fall on a day."""
    born = {day.strftime("%m-%d"), "02-29"}
    return {each for each in born if falls_on(f"--{each}", day.year) == day}


def for_tiers(version: Version[Reward], plan: TierPlan | None) -> Version[Reward]:
    """The reward for its own tiers and for those that name it; as it is, where none does."""
    naming = plan.giving(version.id) if plan else frozenset()
    tiers = version.body.tiers | naming
    return replace(version, body=version.body.model_copy(update={"tiers": tiers}))


async def _celebrate(
    conn: AsyncConnection,
    people: dict[str, Person],
    version: Version[Reward],
    day: date,
    world: World,
) -> Collection[str]:
    """Whose birthday it is by what is known of all his ids, and who is one that the gift is for."""
    members = {customer_id: person.members for customer_id, person in people.items()}
    terms, at = Terms(await definitions.book(conn), world.stores), _start(day, world, version)
    version = for_tiers(version, tiering.plans_in(terms.book, terms.stores).at(at))
    shoppers = await issuing.shoppers_of(conn, members, [version], at, terms)
    return [
        customer_id
        for customer_id, shopper in sorted(shoppers.items())
        if shopper.birthday
        and falls_on(shopper.birthday, day.year) == day
        and PASSED.issuperset(misses(version.body, Standing(shopper, 0)))
    ]


def _ask(account: Account, version: Version[Reward], day: date, world: World) -> Ask:
    """Named after the account, which nothing leads from once its member was erased."""
    name = "\x1f".join(("birthday", version.id, str(account.account_id), str(day.year)))
    id_ = uuid5(NAMESPACE_OID, name)
    cause = ledger.cause_of(ledger.SOURCE, f"coupon/{id_}", _start(day, world, version))
    return Ask(id_, account.customer_id, version, cause, given=True)


def _year_of(day: date, world: World, version: Version[Reward]) -> tuple[datetime, datetime]:
    first, last = date(day.year, 1, 1), date(day.year + 1, 1, 1)
    return _start(first, world, version), _start(last, world, version)


def _start(day: date, world: World, version: Version[Reward]) -> datetime:
    zone = world.stores.get(version.body.home()).tz
    return datetime.combine(day, time(0), zone).astimezone(world.clock.now().tzinfo)


JOB = Job("give_birthday_rewards", 600, give_due)
