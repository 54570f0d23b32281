"""The closing statement: how what members are owed came from one month's end to the next. Pure.

    opening + earned + restored - redeemed - expired - reversed + adjusted + moved = closing

Each line is a store and a *cohort*: the points that became spendable in one month, as their
lots say. What is pending belongs to no cohort yet, and what members owe (below zero) to none
any more; both have lines of their own. `moved` is what went from one line to another, when
pending points became spendable or paid what was owed: it sums to zero.

In money, a line's balance is its points times the value of one, rounded half up, once. Each
movement is the difference of two such balances, in the order above, so a line adds up to the
last minor unit, and so do the sums of lines. `revalued` is what a new value of the point did
to the opening balance.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Literal, NamedTuple

from services.loyalty.books.ledger import AccountKind
from services.loyalty.reporting.valuation import round_half_up

Group = Literal["pending", "lots", "owed"]
"""`lots`: spendable or set aside for a checkout."""
Column = Literal["earned", "restored", "redeemed", "expired", "reversed", "adjusted", "moved"]

SIGNS: dict[Column, int] = {
    "earned": 1,
    "restored": 1,
    "redeemed": -1,
    "expired": -1,
    "reversed": -1,
    "adjusted": 1,
    "moved": 1,
}
"""In the order in which they are told; those below zero are told as what left."""

GROUPS: dict[AccountKind, Group] = {
    AccountKind.PENDING: "pending",
    AccountKind.ACTIVE: "lots",
    AccountKind.RESERVED: "lots",
    AccountKind.OWED: "owed",
}
COLUMNS: dict[AccountKind, Column] = {
    AccountKind.ISSUED: "earned",
    AccountKind.REDEEMED: "redeemed",
    AccountKind.EXPIRED: "expired",
    AccountKind.CLAWED_BACK: "reversed",
    AccountKind.ADJUSTED: "adjusted",
    AccountKind.OPENING: "adjusted",
    AccountKind.DONATED: "redeemed",
    AccountKind.SETTLED: "reversed",
}
RESTORED_FROM = frozenset({AccountKind.REDEEMED, AccountKind.EXPIRED, AccountKind.DONATED})
"""What comes from there to a member was his before."""


class Key(NamedTuple):
    """What a line is about. `cohort` is a month's first day; None but for lots."""

    store: str
    group: Group
    cohort: date | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """All points that moved in one way; `store` and `cohort` are those of the lot, if any."""

    store: str
    cohort: date | None
    debit: AccountKind
    credit: AccountKind
    points: int


@dataclass(frozen=True, slots=True)
class Sums:
    """An opening balance and what moved: in points, or in minor units."""

    opening: int
    moves: Mapping[Column, int]
    """As told, so `redeemed` is above zero."""
    revalued: int = 0
    """Only in money."""

    @property
    def closing(self) -> int:
        moved = sum(SIGNS[column] * amount for column, amount in self.moves.items())
        return self.opening + self.revalued + moved


@dataclass(frozen=True, slots=True)
class Line:
    """One store and cohort. `breakage` is what of the closing nobody is expected to ask for."""

    key: Key
    points: Sums
    minor: Sums
    breakage_points: int = 0
    breakage_minor: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """A line's movements while they are gathered, each with its sign."""

    opening: int = 0
    changes: defaultdict[Column, int] = field(default_factory=lambda: defaultdict(int))


def fold(opening: Mapping[Key, int], flows: Iterable[Flow]) -> dict[Key, Sums]:
    """The lines in points, of what the last statement closed with and what moved since."""
    lines = {key: Moved(points) for key, points in opening.items()}
    for flow in flows:
        debit, credit = _key(flow, flow.debit), _key(flow, flow.credit)
        for key, other, points in (
            (debit, flow.credit, -flow.points),
            (credit, flow.debit, flow.points),
        ):
            if key and debit != credit:
                column = _column(other, points) if other in COLUMNS else "moved"
                lines.setdefault(key, Moved()).changes[column] += points
    return {
        key: Sums(
            moved.opening,
            {column: SIGNS[column] * moved.changes[column] for column in SIGNS},
        )
        for key, moved in sorted(lines.items(), key=_order)
        if moved.opening or any(moved.changes.values())
    }


def closing_of(lines: Iterable[Line]) -> dict[Key, tuple[int, int]]:
    """What the next statement opens with: points and minor units."""
    return {line.key: (line.points.closing, line.minor.closing) for line in lines}


def value(points: Sums, opened_minor: int | None, of_one: Fraction) -> Sums:
    """The line in minor units. `opened_minor`: what the last statement closed with, if any."""
    balance, mark = points.opening, round_half_up(points.opening * of_one)
    opening = mark if opened_minor is None else opened_minor
    revalued, moves = mark - opening, {}
    for column, sign in SIGNS.items():
        balance += sign * points.moves[column]
        before, mark = mark, round_half_up(balance * of_one)
        moves[column] = sign * (mark - before)
    return Sums(opening, moves, revalued)


def total(lines: Sequence[Sums]) -> Sums:
    """The lines added up."""
    return Sums(
        sum(line.opening for line in lines),
        {column: sum(line.moves[column] for line in lines) for column in SIGNS},
        sum(line.revalued for line in lines),
    )


def _key(flow: Flow, kind: AccountKind) -> Key | None:
    """The line that a side of the flow belongs to; None: the programme's side."""
    group = GROUPS.get(kind)
    if group is None:
        return None
    return Key(flow.store, group, flow.cohort if group == "lots" else None)


def _column(other: AccountKind, points: int) -> Column:
    return "restored" if points > 0 and other in RESTORED_FROM else COLUMNS[other]


def _order(item: tuple[Key, Moved]) -> tuple[str, str, date]:
    key = item[0]
    return key.store, key.group, key.cohort or date.min
