"""Lots: points of one earning with one date of expiry. Pure.

What a member may spend is what remains in his lots: ACTIVE of the ledger is the sum of
`remaining`, RESERVED the sum of `reserved`. Every point that ever went into a lot is in
exactly one of its five shares, so a lot can say where each went.

The first to expire is spent first; of equal dates the older lot. Whether a lot has expired
is a matter of time alone: one that is past its date is never spent, whether or not the job
that books the expiry has come by.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Literal, NamedTuple
from uuid import UUID

Share = Literal["remaining", "reserved", "used", "expired", "taken_back"]
SHARES: tuple[Share, ...] = ("remaining", "reserved", "used", "expired", "taken_back")

NEVER = datetime.max.replace(tzinfo=UTC)


class Lot(NamedTuple):
    """`points` went in so far; `used` are spent, donated, or paid a debt."""

    id: UUID
    account_id: UUID
    source: str
    document: str
    """What earned it: an order, an adjustment, an import."""
    store: str
    earned_at: datetime
    expires_at: datetime | None
    """The first moment at which it is no longer spendable; None: never."""
    points: int
    remaining: int
    reserved: int = 0
    used: int = 0
    expired: int = 0
    taken_back: int = 0

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def move(self, source: Share, target: Share, points: int) -> "Lot":
        """Points of the lot from one share to another."""
        values: list[Any] = list(self)
        values[PLACE[source]] -= points
        assert points >= 0, "a share gives what it has"
        assert values[PLACE[source]] >= 0, "a share gives what it has"
        values[PLACE[target]] += points
        return Lot._make(values)

    def add(self, points: int) -> "Lot":
        return self._replace(points=self.points + points, remaining=self.remaining + points)


PLACE = {share: Lot._fields.index(share) for share in SHARES}


class Part(NamedTuple):
    """So many points of one lot: what a reservation holds, and gives back to its own lots."""

    lot_id: UUID
    points: int


def lot_id(earned_at: datetime, source: str, document: str, expires_at: datetime | None) -> UUID:
    """A UUIDv8 as a journal's: led by the time in ms, so that lots sort by age."""
    name = "\x1f".join((source, document, expires_at.isoformat() if expires_at else ""))
    rest = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> 2
    stamp = max(0, int(earned_at.timestamp() * 1000))
    return UUID(int=stamp << 80 | 0x8 << 76 | 0b10 << 62 | rest)


def _turn(lot: Lot) -> tuple[datetime, datetime, UUID]:
    return (lot.expires_at or NEVER, lot.earned_at, lot.id)


def by_expiry(lots: Iterable[Lot]) -> list[Lot]:
    """In the order in which they are spent."""
    return sorted(lots, key=_turn)


def first_of(found: Iterable[Lot], lots_max: int) -> list[Lot]:
    """The lots before which none is missing, where at most `lots_max` of each account were read.

    Of several accounts: those up to where the first account that may have more breaks off.
    """
    by_account: defaultdict[UUID, list[Lot]] = defaultdict(list)
    for lot in found:
        by_account[lot.account_id].append(lot)
    ends = [max(map(_turn, own)) for own in by_account.values() if len(own) >= lots_max]
    end = min(ends, default=None)
    every = [lot for own in by_account.values() for lot in own]
    return [lot for lot in every if end is None or _turn(lot) <= end]


def pick(lots: Iterable[Lot], points: int, now: datetime) -> list[Part]:
    """The first to expire among those that are not over; together `points`, or all there is."""
    parts: list[Part] = []
    for lot in by_expiry(lots):
        if points and lot.remaining and not lot.is_over(now):
            take = min(points, lot.remaining)
            parts.append(Part(lot.id, take))
            points -= take
    return parts


def split(parts: Sequence[Part], points: int) -> tuple[list[Part], list[Part]]:
    """The first `points` of the parts, and the rest."""
    first: list[Part] = []
    rest: list[Part] = []
    for part in parts:
        take = min(points, part.points)
        points -= take
        if take:
            first.append(Part(part.lot_id, take))
        if part.points > take:
            rest.append(Part(part.lot_id, part.points - take))
    return first, rest


def total(parts: Iterable[Part]) -> int:
    return sum(part.points for part in parts)
