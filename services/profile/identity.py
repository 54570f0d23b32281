"""Which ids are one person: a journal of links, and what follows from it. Pure.

Each id has at most one *home*, another id of the same person; following the homes leads to
the person's root, its canonical id. So people are trees, a join is one edge, and cutting
that edge undoes the join exactly.

* `customer.identified` gives an anonymous id the customer of its *first* link by event time
  as home; whatever order the links arrive in, the home is the same. Later links to other
  customers stay in the journal, where the timeline finds them (`timeline.spans`).
* It never joins two customers: only ids named `anon:` or `guest:` get a home by it.
  Whoever sets his phone to yours would read your orders.
* A *decision*, by a person or with the platform's key (merge, unmerge), stands above what
  was identified: the latest decision about an id is its home, or that it has none.

A change of membership is told under the key of every id that it concerns, with a version
above all their versions before.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from shared.aliases import Person
from shared.events.profiles import MEMBERS_MAX

ANONYMOUS = ("anon:", "guest:")
FOREVER_AGO = datetime.min.replace(tzinfo=UTC)

Kind = Literal["identified", "merged", "unmerged"]
People = Mapping[str, Person]


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the journal: `member_id` is (unmerged: is not) one person with `other_id`.

    `refused`: kept to be seen, and never acted on.
    """

    member_id: str
    other_id: str
    kind: Kind
    time: datetime
    source: str
    id: str
    refused: bool = False

    @property
    def order(self) -> tuple[datetime, str, str]:
        return (self.time, self.source, self.id)


@dataclass(frozen=True, slots=True)
class Home:
    """Where an id belongs, and by which link; `home_id` None: parted, a person of its own."""

    member_id: str
    home_id: str | None
    decided: bool
    time: datetime
    source: str
    id: str

    @property
    def order(self) -> tuple[datetime, str, str]:
        return (self.time, self.source, self.id)


def is_anonymous(customer_id: str) -> bool:
    return customer_id.startswith(ANONYMOUS)


def complete(homes: Iterable[Home], people: People) -> dict[str, Home]:
    """The homes, brought into line with the people as they were published.

    They differ after a rebuild from a log that no longer holds the first links, and in a
    database that was restored from before a decision: what everyone was told stands. A home
    that only the published people remember is older than any link.
    """
    known = {home.member_id: home for home in homes}
    for id_, person in people.items():
        home = known.get(id_)
        if person.canonical_id == id_:
            if home and home.home_id:
                known[id_] = replace(home, home_id=None, decided=True)
        elif home is None:
            known[id_] = Home(id_, person.canonical_id, False, FOREVER_AGO, "", "")
        elif home.home_id not in person.members:
            known[id_] = replace(home, home_id=person.canonical_id, decided=True)
    return known


def judge(link: Link, people: People) -> Link:
    """A `customer.identified`, refused if it must not join its two ids."""
    sizes = {id_: len(people[id_].members) for id_ in (link.member_id, link.other_id)}
    together = people[link.member_id].canonical_id == people[link.other_id].canonical_id
    fits = together or sum(sizes.values()) <= MEMBERS_MAX
    allowed = is_anonymous(link.member_id) and not is_anonymous(link.other_id) and fits
    return replace(link, refused=not allowed)


def home_by(link: Link, known: Home | None, people: People) -> Home | None:
    """The home that an identified id gets by this link; None: it stays where it is."""
    if link.refused:
        return None
    if known and known.time == FOREVER_AGO:
        if people[link.member_id].canonical_id != people[link.other_id].canonical_id:
            return None
    elif known and (known.decided or known.order < link.order):
        return None
    return Home(link.member_id, link.other_id, False, *link.order)


def merged(link: Link, people: People) -> tuple[Link, Home]:
    """The decision that `link`'s two people are one: the edge between their roots."""
    ours, theirs = people[link.other_id].canonical_id, people[link.member_id].canonical_id
    child, parent = _child_and_parent(ours, theirs)
    edge = replace(link, member_id=child, other_id=parent)
    return edge, Home(child, parent, True, *link.order)


def unmerged(link: Link) -> Home:
    """The decision that an id, with what hangs on it, is someone else."""
    return Home(link.member_id, None, True, *link.order)


def regroup(homes: Mapping[str, Home], before: People) -> dict[str, Person]:
    """The people among the ids of `before`, those that changed with a new version.

    `before` holds every member of everyone concerned.
    """
    after = _people(homes, before.keys())
    changed = {id_ for id_, old in before.items() if after[id_] != (old.canonical_id, old.members)}
    version = 1 + max((before[id_].version for id_ in changed), default=0)
    return {
        id_: Person(*after[id_], version) if id_ in changed else old for id_, old in before.items()
    }


def dissolved(person: Person) -> dict[str, Person]:
    """Each id for itself, from when the person is to be forgotten: whoever joins one of them
    later does not join the others.
    """
    return {id_: Person(id_, (id_,), person.version + 1) for id_ in person.members}


def removed(old: Person, after: People) -> tuple[str, ...]:
    """The old members that are no longer with the old canonical id."""
    stays = after[old.canonical_id].canonical_id
    return tuple(id_ for id_ in old.members if after[id_].canonical_id != stays)


def _people(
    homes: Mapping[str, Home], ids: Collection[str]
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Of each id the canonical one, and all members in ascending order."""
    members: dict[str, list[str]] = {}
    for id_ in sorted(ids):
        members.setdefault(_root(homes, id_), []).append(id_)
    return {id_: (root, tuple(together)) for root, together in members.items() for id_ in together}


def _root(homes: Mapping[str, Home], id_: str) -> str:
    for _ in range(MEMBERS_MAX):  # no longer way without going in a circle
        home = homes.get(id_)
        if home is None or home.home_id is None:
            break
        id_ = home.home_id
    return id_


def _child_and_parent(ours: str, theirs: str) -> tuple[str, str]:
    """Which root hangs on which: canonical is a customer, else the smallest anonymous id."""
    if is_anonymous(ours) != is_anonymous(theirs):
        return (ours, theirs) if is_anonymous(ours) else (theirs, ours)
    if is_anonymous(ours):
        return max(ours, theirs), min(ours, theirs)
    return theirs, ours
