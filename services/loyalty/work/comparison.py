"""Holds another system's balances against ours, customer by customer, while both run.

A person is all ids that were merged: the file's rows of all of them are added up, and so is
what we hold. Read a page at a time; what the file says is kept on this machine's disk.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.arrivals.import_fields import Fault, Fields, Terms
from services.loyalty.books.ledger import POINTS_MAX, Purse
from services.loyalty.store import held as store
from services.loyalty.store import journals as journal_store
from services.loyalty.store.journals import LAST, Entry, Since
from services.loyalty.store.scratch import Scratch
from services.loyalty.work.import_files import Source
from shared import aliases
from shared.world import World

PAGE_ROWS = 1_000
JOURNALS_SHOWN = 3
DIFFERENCES_EXPLAINED_MAX = 10_000  # after so many the cause is another one than a journal

Verdict = Literal["differs", "missing here", "missing there"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A person of whom the two systems say different things, and our last journals of him."""

    customer_id: str
    verdict: Verdict
    theirs: int
    ours: int
    journals: tuple[Entry, ...] = ()

    @property
    def by(self) -> int:
        return self.ours - self.theirs


@dataclass(slots=True)
class Totals:
    """What the comparison comes to, in persons and points."""

    equal: int = 0
    differs: int = 0
    missing_here: int = 0
    missing_there: int = 0
    theirs: int = 0
    ours: int = 0
    wrong: int = 0
    """Rows of the file that cannot be read."""

    @property
    def same(self) -> bool:
        return not (self.differs or self.missing_here or self.missing_there or self.wrong)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared with what. `since` None: with what is kept now."""

    source: Source
    at: datetime
    since: Since | None = None
    pending: bool = False
    """Whether pending points count on our side."""

    def points(self, purse: Purse) -> int:
        return purse.active - purse.owed + (purse.pending if self.pending else 0)


@dataclass(slots=True)
class Comparison:
    """One run."""

    engine: AsyncEngine
    world: World
    asked: Asked
    on_fault: Callable[[Fault], None]
    on_difference: Callable[[Difference], None]
    step: Callable[[int], None] = lambda _: None
    totals: Totals = field(default_factory=Totals)

    async def run(self) -> Totals:
        scratch = Scratch()
        try:
            await self._listen(scratch)
            await self._hold_against(scratch)
            for customer_id, theirs in scratch.unmet():
                self.totals.missing_here += 1
                self.on_difference(Difference(customer_id, "missing here", theirs, 0))
        finally:
            scratch.close()
        return self.totals

    async def _listen(self, scratch: Scratch) -> None:
        """Add up what the file says, by person."""
        self.asked.source.learn(scratch)
        told = self._told(scratch)
        while page := list(islice(told, PAGE_ROWS)):
            async with self.engine.connect() as conn:
                people = await aliases.people_of(conn, {customer_id for customer_id, _ in page})
            scratch.tell((people[id_].canonical_id, points) for id_, points in page)
            self.totals.theirs += sum(points for _, points in page)
            self.step(len(page))

    def _told(self, scratch: Scratch) -> Iterator[tuple[str, int]]:
        source, stores = self.asked.source, self.world.stores
        terms = Terms(
            "compare", source.mapping, stores, self.asked.at, translated=source.ids is not None
        )
        for number, record in source.records():
            taken = Fields(number, record, terms, scratch)
            customer_id = taken.customer()
            points = taken.number("points", POINTS_MAX, least=-POINTS_MAX)
            if not taken.faults:
                yield customer_id, points
                continue
            self.totals.wrong += 1
            for fault in taken.faults:
                self.on_fault(fault)

    async def _hold_against(self, scratch: Scratch) -> None:
        """Go through our members; of a person under his canonical id, else his first."""
        after = ""
        while True:
            async with self.engine.connect() as conn:
                page = await store.list_members(conn, after, PAGE_ROWS)
                if not page:
                    return
                await self._page(conn, page, scratch)
            after = page[-1]
            self.step(len(page))

    async def _page(self, conn: AsyncConnection, page: Sequence[str], scratch: Scratch) -> None:
        people = await aliases.people_of(conn, page)
        everyone = {member for person in people.values() for member in person.members}
        held = await store.sum_each(conn, everyone, self.asked.at, self.asked.since)
        for customer_id in page:
            person = people[customer_id]
            if customer_id != min(id_ for id_ in person.members if id_ in held):
                continue  # his first account speaks for all
            ours = sum(self.asked.points(held[id_]) for id_ in person.members if id_ in held)
            theirs = scratch.meet(person.canonical_id)
            await self._judge(conn, person, theirs, ours)

    async def _judge(
        self, conn: AsyncConnection, person: aliases.Person, theirs: int | None, ours: int
    ) -> None:
        totals = self.totals
        totals.ours += ours
        if ours == (theirs or 0):
            totals.equal += 1
            return
        verdict: Verdict = "missing there" if theirs is None else "differs"
        if theirs is None:
            totals.missing_there += 1
        else:
            totals.differs += 1
        journals: Iterable[Entry] = ()
        if totals.differs + totals.missing_there <= DIFFERENCES_EXPLAINED_MAX:
            journals = await journal_store.list_of_person(
                conn, person.members, LAST, JOURNALS_SHOWN
            )
        self.on_difference(
            Difference(person.canonical_id, verdict, theirs or 0, ours, tuple(journals))
        )
