"""What the store lays down, in versions: the programme, earning rules, offers, rewards. Pure.

A change is a new version that starts at its `starts_at`; nothing is ever rewritten. At any
time the version in force of an id is the highest that has started by then, unless that one
is switched off or over. So an order is judged by what was in force when it was placed,
however late it is heard of, and a change never touches the past.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Generic, Self, TypeVar

from pydantic import AwareDatetime, Field, model_validator

from services.loyalty.terms.conditions import Part
from shared.events.fields import Label

DefinitionId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")]
VERSIONS_MAX = 1_000
"""Of one definition: hundreds of changes a year, which no honest store makes."""
SPANS_MAX = 1_000
"""Of which it is known what counts in them: more changes than a batch or a back-test meets."""


class Definition(Part):
    """What every definition says beside its own."""

    RESERVED: ClassVar[frozenset[str]] = frozenset()
    """Ids that may not be laid down: something built in has them."""

    name: Label = ""
    """For people."""
    enabled: bool = True
    """False: switched off, from this version's start on."""
    starts_at: AwareDatetime | None = None
    """From when this version counts; absent: from the moment it is laid down."""
    ends_at: AwareDatetime | None = None
    """The first moment at which it no longer counts; absent: until another version does."""

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError("ends_at: give a time after starts_at")
        return self


D = TypeVar("D", bound=Definition)


@dataclass(frozen=True, slots=True)
class Version(Generic[D]):
    """One version of one definition; `starts_at` is never absent here."""

    id: str
    version: int
    starts_at: datetime
    body: D

    def counts(self, at: datetime) -> bool:
        return self.body.enabled and (self.body.ends_at is None or at < self.body.ends_at)


class Book:
    """All versions of everything, as read at one moment; looked up by kind."""

    def __init__(self, versions: Iterable[tuple[str, Version[Definition]]] = ()) -> None:
        self._by_kind: defaultdict[str, defaultdict[str, list[Version[Definition]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for kind, each in versions:
            self._by_kind[kind][each.id].append(each)
        for by_id in self._by_kind.values():
            for found in by_id.values():
                found.sort(key=lambda each: each.version)
        self._turns = {kind: _turns(by_id.values()) for kind, by_id in self._by_kind.items()}
        self._in_force: dict[tuple[str, int], dict[str, Version[Definition]]] = {}

    def versions(self, kind: type[D], id_: str) -> Sequence[Version[D]]:
        """Of one definition, the oldest first."""
        return list(self._of(kind).get(id_, ()))

    def newest(self, kind: type[D]) -> list[Version[D]]:
        """The last version of each, by id, whether it counts or not."""
        return [found[-1] for _, found in sorted(self._of(kind).items())]

    def in_force(self, kind: type[D], at: datetime) -> list[Version[D]]:
        """The versions that count at a time, by id."""
        return list(self._at(kind, at).values())

    def one_in_force(self, kind: type[D], id_: str, at: datetime) -> Version[D] | None:
        return self._at(kind, at).get(id_)

    def _at(self, kind: type[D], at: datetime) -> Mapping[str, Version[D]]:
        """What counts at a time, by id: found once for all times between two turns."""
        turns = self._turns.get(kind.__name__)
        if turns is None:
            return {}
        key = kind.__name__, bisect_right(turns, at)
        found: Mapping[str, Version[D]] | None = self._in_force.get(key)  # type: ignore[assignment]
        if found is None:
            found = {
                id_: started[-1]
                for id_, versions in sorted(self._of(kind).items())
                if (started := [each for each in versions if each.starts_at <= at])
                and started[-1].counts(at)
            }
            if len(self._in_force) >= SPANS_MAX:
                self._in_force.clear()
            self._in_force[key] = found  # type: ignore[assignment]
        return found

    def _of(self, kind: type[D]) -> Mapping[str, list[Version[D]]]:
        found: Mapping[str, list[Version[D]]] = self._by_kind.get(  # type: ignore[assignment]
            kind.__name__, {}
        )
        return found


def _turns(every: Iterable[Sequence[Version[Definition]]]) -> list[datetime]:
    """When another version comes into force, or one goes out of it."""
    versions = [each for one in every for each in one]
    ends = {each.body.ends_at for each in versions if each.body.ends_at}
    return sorted({each.starts_at for each in versions} | ends)
