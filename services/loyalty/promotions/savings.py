"""What one offer gives on a cart as earlier offers have left it. Pure arithmetic.

A discount is computed once for all its lines, in whole minor units, and shared out among
them by cumulative difference. No line gets more than what may still come off it, so none
falls below zero. Pieces of one line may differ by one minor unit, so that they sum to it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, assert_never

from services.loyalty.books.points import apportion
from services.loyalty.promotions.offers import (
    Basis,
    Every,
    GiftOffer,
    NthPiece,
    Offer,
    PiecesFor,
    Steps,
)
from services.loyalty.terms.cart import Item


@dataclass(frozen=True, slots=True)
class Row:
    """A line that may be lowered, and what is left to pay for it."""

    item: Item
    left_minor: int

    @property
    def line_id(self) -> str:
        return self.item.line_id

    @property
    def list_minor(self) -> int:
        return self.item.total_minor + self.item.discount_minor

    def counts(self, basis: Basis) -> int:
        match basis:
            case "list":
                return self.list_minor
            case "price":
                return self.item.total_minor
            case "left":
                return self.left_minor

    def free(self, share_max_percent: int) -> int:
        """What may still come off it."""
        allowed = self.list_minor * share_max_percent // 100
        gone = self.list_minor - self.left_minor
        return max(0, min(self.left_minor, allowed - gone))


@dataclass(frozen=True, slots=True)
class Saving:
    """What an offer gives: by line; which level is reached; what the next one lacks."""

    level: int = 0
    by_line: Mapping[str, int] = field(default_factory=dict)
    missing_minor: int = 0
    missing_pieces: int = 0

    @property
    def discount_minor(self) -> int:
        return sum(self.by_line.values())


class Run(NamedTuple):
    """Pieces of one price, of one line."""

    price: int
    line_id: str
    pieces: int


def saving(offer: Offer, rows: Sequence[Row], shipping: Sequence[Row]) -> Saving:
    """What the offer gives for the rows that it selects; `shipping` are the order's parcels."""
    gives = offer.gives
    spend = have = max(0, sum(row.counts(offer.basis) for row in rows))
    runs = runs_of(rows, offer.basis) if gives.measure == "pieces" else []
    if gives.measure == "pieces":
        have = sum(run.pieces for run in runs)
    level = gives.level(have) if spend >= offer.when.spend_min_minor else 0
    missing_minor = max(0, offer.when.spend_min_minor - spend)
    missing_pieces = 0
    if (needs := gives.needs(level + 1)) is not None and needs > have:
        if gives.measure == "money":
            missing_minor = max(missing_minor, needs - have)
        elif not missing_minor:
            missing_pieces = needs - have
    by_line = _by_line(offer, level, rows, runs, shipping) if level else {}
    return Saving(level, by_line, missing_minor, missing_pieces)


def _by_line(
    offer: Offer, level: int, rows: Sequence[Row], runs: Sequence[Run], shipping: Sequence[Row]
) -> dict[str, int]:
    gives = offer.gives
    match gives:
        case Steps():
            step, lowered = gives.steps[level - 1], rows if gives.off == "lines" else shipping
            counted = max(0, sum(row.counts(offer.basis) for row in lowered))
            wanted = step.save_minor or counted * step.percent // 100
            return _share(offer, wanted, lowered)
        case Every():
            return _share(offer, level * gives.save_minor, rows)
        case NthPiece():
            paid = _nth(gives, level, runs)
            wanted = sum(paid.values()) * gives.percent // 100
            return _share(offer, wanted, rows, paid)
        case PiecesFor():
            wanted, paid = _sets(gives, level, runs)
            return _share(offer, wanted, rows, paid)
        case GiftOffer():
            return {}
        case _:
            assert_never(gives)


def _share(
    offer: Offer, wanted: int, rows: Iterable[Row], concerned: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The discount by line: by what may come off each; of `concerned`, no more than that."""
    every = list(rows)
    free = {row.line_id: row.free(offer.share_max_percent) for row in every}
    if concerned is not None:
        free = {id_: min(free[id_], minor) for id_, minor in concerned.items()}
    # A line below zero (a discount given as a line) is not given away a second time.
    net = max(0, sum(row.left_minor for row in every))
    shares = apportion(min(wanted, net, sum(free.values())), free)
    return {line_id: minor for line_id, minor in shares.items() if minor}


def runs_of(rows: Iterable[Row], basis: Basis) -> list[Run]:
    """The pieces of lines that cost something, the dearest first; ties by line."""
    runs = []
    for row in rows:
        minor, pieces = row.counts(basis), row.item.quantity
        if minor <= 0 or not pieces:
            continue
        low, dearer = divmod(minor, pieces)
        if dearer:
            runs.append(Run(low + 1, row.line_id, dearer))
        runs.append(Run(low, row.line_id, pieces - dearer))
    runs.sort(key=lambda run: (-run.price, run.line_id))
    return runs


def _nth(gives: NthPiece, level: int, runs: Sequence[Run]) -> dict[str, int]:
    """What the pieces cost that are lowered, by line."""
    costs: dict[str, int] = {}
    end = 0
    for run in runs if gives.which == "cheapest_of_set" else reversed(runs):
        start, end = end, end + run.pieces
        if gives.which == "cheapest_of_set":
            taken = min(end // gives.n, level) - min(start // gives.n, level)
        else:
            taken = min(end, level) - min(start, level)
        if taken:
            costs[run.line_id] = costs.get(run.line_id, 0) + taken * run.price
    return costs


def _sets(gives: PiecesFor, level: int, runs: Sequence[Run]) -> tuple[int, dict[str, int]]:
    """What the sets save that cost more than their price, and their pieces' cost by line.

    Each set costs at most as much as the one before, so those that save come first.
    """
    ends = list(accumulate(run.pieces for run in runs))
    sums = [0, *accumulate(run.pieces * run.price for run in runs)]

    def first(pieces: int) -> int:
        """The cost of the dearest so many."""
        at = bisect_left(ends, pieces)
        started = ends[at - 1] if at else 0
        return sums[at] + (pieces - started) * runs[at].price if at < len(runs) else sums[-1]

    n, price = gives.pieces, gives.price_minor
    saving_sets = bisect_left(
        range(1, level + 1), 1, key=lambda k: first(k * n) - first((k - 1) * n) <= price
    )
    costs: dict[str, int] = {}
    rest = saving_sets * n
    for run in runs:
        taken = min(rest, run.pieces)
        if taken:
            costs[run.line_id] = costs.get(run.line_id, 0) + taken * run.price
        rest -= taken
    return sum(costs.values()) - saving_sets * price, costs
