"""The life that the demo lives: simulated weeks that end now, and whom to look at afterwards."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.events.customers import CustomerDeleted, CustomerIdentified
from shared.events.envelope import Event
from stack.show import bars
from stack.simulator import simulate

LIVE = timedelta(hours=40)  # an order's notice is fresh for 48
NOBODY = "c-demo"
"""The hero of a store in which nobody has ordered: the demo's own orders are his first."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much life; the same seed gives the same store, whose weeks end now."""

    customers: int = 300
    days: int = 30
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Story:
    """The simulated life, and whom to look at afterwards."""

    history: Sequence[Event]
    live: Sequence[Event]
    hero: str
    forgotten: str | None

    @property
    def types(self) -> Counter[str]:
        return Counter(event.type for event in (*self.history, *self.live))


def write(size: Size, now: datetime) -> Story:
    """The store's life up to `now`."""
    end = now.replace(second=0, microsecond=0)
    start = end - timedelta(days=size.days)
    live_from = end - LIVE
    history: list[Event] = []
    live: list[Event] = []
    with bars() as progress:
        task = progress.add_task("simulating", total=size.days)
        for event in marked(simulate(size.seed, size.customers, size.days, start), live_from):
            (history if event.backfill else live).append(event)
            progress.update(task, completed=(event.time - start).days)
        progress.update(task, completed=size.days)
    forgotten = [e.key for e in (*history, *live) if isinstance(e.data, CustomerDeleted)]
    hero = _hero(history, live, set(forgotten))
    return Story(history, live, hero, forgotten[0] if forgotten else None)


def marked(events: Iterable[Event], live_from: datetime) -> Iterator[Event]:
    """What was before `live_from` is history: it writes to nobody."""
    for event in events:
        yield replace(event, backfill=True) if event.time < live_from else event


def _hero(history: Sequence[Event], live: Sequence[Event], not_these: set[str]) -> str:
    """Who shows most: came anonymously at first, ordered lately, did many different things."""
    everything = (*history, *live)
    identified = {e.key for e in everything if isinstance(e.data, CustomerIdentified)}
    placed = {e.key for e in live if e.type == "order.placed"}
    kinds: dict[str, Counter[str]] = {}
    for event in everything:
        kinds.setdefault(event.key, Counter())[event.type] += 1
    named = (id_ for id_ in kinds if not id_.startswith(("anon:", "guest:")))
    candidates = [id_ for id_ in named if "order.placed" in kinds[id_] and id_ not in not_these]

    def shows(customer_id: str) -> tuple[bool, bool, int, int, str]:
        known = kinds[customer_id]
        met, lately = customer_id in identified, customer_id in placed
        return (met and lately, lately, len(known), known.total(), customer_id)

    return max(candidates, key=shows, default=NOBODY)
