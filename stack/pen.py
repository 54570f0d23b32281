"""Writes the simulator's events: numbers them, and rounds their times.

Ids are numbered in the order of writing and carry a tag of seed and start, so two runs of
the simulator on one stack tell of different facts, and one run repeated of the same.
"""

from datetime import datetime, timedelta
from hashlib import blake2b
from random import Random
from typing import Any

from shared.events import codec
from shared.events.envelope import Event, Fact


class Pen:
    """`rng` is the one source of chance of the whole simulation."""

    def __init__(self, seed: int, start: datetime) -> None:
        self.rng = Random(seed)  # noqa: S311 -- a simulation, and no secret
        self.tag = blake2b(f"{seed}/{start.isoformat()}".encode(), digest_size=2).hexdigest()
        self.source = f"simulator/{self.tag}"
        self._counts: dict[str, int] = {}

    def number(self, kind: str) -> str:
        """The next id of this kind, such as `o-3fa9-0017`."""
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}-{self.tag}-{count:04d}"

    def write(self, type_: str, data: Fact, time: datetime) -> Event:
        """The event; its time is rounded to milliseconds, as shops have it."""
        rounded = time - timedelta(microseconds=time.microsecond % 1000)
        return codec.make(type_, data, id=self.number("e"), source=self.source, time=rounded)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def between(self, least: timedelta, most: timedelta) -> timedelta:
        """A span between the two, in whole seconds: nearer the shorter, as delays are."""
        seconds = self.rng.triangular(least.total_seconds(), most.total_seconds(), None)
        return timedelta(seconds=int(seconds))

    def choice(self, of: Any) -> Any:
        return self.rng.choice(of)
