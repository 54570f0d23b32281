"""Loads whose tiers a batch may change, and keeps what became of them (`ladder.py`).

The accounts of all ids of the persons are locked by the caller, as `lock` does. A fixed
number of statements, whatever the batch; and the job that ends periods.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.earning import actions
from services.loyalty.earning.actions import Done
from services.loyalty.earning.orders import Judged, OrderState, Terms
from services.loyalty.earning.rules import asked
from services.loyalty.levels import contributions
from services.loyalty.levels.ladder import Ladder, Roster
from services.loyalty.levels.standing import advance, run_dues
from services.loyalty.levels.tiers import Plans, Tier, plans_of
from services.loyalty.store import definitions, standings, tier_history
from services.loyalty.store import members as member_store
from services.loyalty.terms.definitions import Book
from shared import aliases, outbox
from shared.events.envelope import Event
from shared.jobs import Job
from shared.stores import Stores
from shared.world import World

STANDINGS_MAX = 500  # of one transaction of the job

_plans: WeakKeyDictionary[Book, Plans] = WeakKeyDictionary()


def plans_in(book: Book, stores: Stores) -> Plans:
    """The tier plan's versions, made once for a book."""
    found = _plans.get(book)
    if found is None:
        found = _plans[book] = plans_of(book, stores)
    return found


async def load(
    conn: AsyncConnection,
    judged: Iterable[Judged],
    joined: Collection[Event],
    known: Mapping[str, OrderState],
    terms: Terms,
    *,
    owners: Mapping[str, str],
    acted: Iterable[Done] = (),
) -> Roster:
    """The persons whose tier the batch may change, or is decided by; they are locked."""
    plans = plans_in(terms.book, terms.stores)
    if not plans.days:
        return Roster()
    wanted = _Wanted(plans)
    for event in joined:
        wanted.add(event.key, plans.day_of(event.time), event.time)
    seen: set[str] = set()
    for event, verdict in judged:
        order_id = event.data.order_id
        state, owner = known.get(order_id), owners.get(order_id)
        before, lines = (state.counted, state.lines) if state else (None, {})
        found = contributions.outlook(event, verdict, lines, before, terms.stores.base_currency)
        if owner is None or found == "same":
            continue
        placed_at = event.data.placed_at or (state.time if state else event.time)
        zone = terms.stores.get(event.data.store).tz
        day = before.day if before else contributions.day_of(event, placed_at, zone)
        again = order_id in seen and contributions.takes_back(event)
        wanted.add(owner, day, event.time, whole=again or found == "may_shrink")
        seen.add(order_id)
    for done in acted:
        day = actions.day_of(done, terms.stores)
        plan = plans.on(day)
        if (plan and plan.counts_actions) or asked(terms.book).tiers_of_actions:
            wanted.add(done.customer_id, day, done.at)
    people = await standings.load(conn, wanted.days, plans) if wanted.days else {}
    return Roster(plans, people, tuple(joined))


class _Wanted:
    """From which day on each customer is needed, and whether whole: because something is
    taken back, or comes after what is later."""

    def __init__(self, plans: Plans) -> None:
        self.days: dict[str, tuple[date, bool]] = {}
        self._plans = plans
        self._reached: dict[str, date] = {}

    def add(self, customer_id: str, day: date, at: datetime, *, whole: bool = False) -> None:
        first, before = self.days.get(customer_id, (day, False))
        reached = self._reached.get(customer_id, day)
        self.days[customer_id] = min(first, day), whole or before or day < reached
        self._reached[customer_id] = max(reached, day, self._plans.day_of(at))


async def save(conn: AsyncConnection, ladder: Ladder) -> None:
    """What counts now, who has which tier, and what is told of it."""
    await tier_history.add_to_days(conn, ladder.days)
    await standings.save(conn, ladder.people.values(), ladder.plans)
    if ladder.unloaded:
        await standings.doubt(conn, ladder.unloaded)
    await tier_history.append(conn, ladder.entries)
    await outbox.enqueue(conn, ladder.facts)


async def lock(conn: AsyncConnection, customer_ids: Collection[str]) -> None:
    """Lock the accounts of all ids of the persons behind these ids."""
    people = await aliases.people_of(conn, customer_ids)
    await member_store.lock(conn, {id_ for each in people.values() for id_ in each.members})


async def tiers_at(
    conn: AsyncConnection, moments: Mapping[str, datetime], plans: Plans, *, pooled: bool = True
) -> dict[str, Tier]:
    """The tier of each customer at a time, over all ids of the person: one statement.

    Its code and its `benefits.multiplier_percent`. Who has bought nothing yet has the first;
    who asks when there is no plan is left out. `pooled` false: over the one id.
    """
    if not plans.days or not moments:
        return {}
    wanted = {id_: (plans.day_of(at), False) for id_, at in moments.items()}
    ladder = Ladder.open(Roster(plans, await standings.load(conn, wanted, plans, pooled=pooled)))
    tiers = {id_: ladder.tier(id_, at) for id_, at in moments.items()}
    return {id_: tier for id_, tier in tiers.items() if tier}


async def end_periods(conn: AsyncConnection, world: World) -> bool:
    """What is due by the business clock, the longest due first; whether there may be more."""
    now = world.clock.now()
    due = await standings.list_due(conn, now, STANDINGS_MAX)
    if not due:
        return False
    plans = plans_in(await definitions.book(conn), world.stores)
    await lock(conn, due)
    wanted = {customer_id: (plans.day_of(now), False) for customer_id in due}
    roster = Roster(plans, await standings.load(conn, wanted, plans))
    ladder = Ladder.open(roster)
    for dossier in roster.by_id.values():
        account_id = dossier.holdings[0].account_id
        person = ladder.person(account_id)
        told = run_dues(plans, person, now)
        if told[0].standing.as_of == person.standing.as_of:
            told = advance(plans, person, now, "period_end")
        ladder.put(account_id, told, None)
    await save(conn, ladder)
    return len(due) == STANDINGS_MAX


async def _run(engine: AsyncEngine, world: World) -> None:
    more = True
    while more:
        async with engine.begin() as conn:
            more = await end_periods(conn, world)


JOB = Job("end_tier_periods", 10, _run, after_log=True)
