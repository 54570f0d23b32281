"""Whether the books balance: pure arithmetic over their sums."""

from collections import Counter
from collections.abc import Iterable

from services.loyalty.books.ledger import AccountKind

MEMBER_KINDS = frozenset({AccountKind.PENDING, AccountKind.ACTIVE, AccountKind.RESERVED})

Flow = tuple[int, int, int]
"""Debit, credit, points: all that moved between two kinds of account."""


def sums(flows: Iterable[Flow]) -> dict[AccountKind, int]:
    """What each kind of account holds: its credits less its debits."""
    held: Counter[AccountKind] = Counter()
    for debit, credit, points in flows:
        held[AccountKind(credit)] += points
        held[AccountKind(debit)] -= points
    return {kind: held[kind] for kind in AccountKind}


def liability(held: dict[AccountKind, int]) -> int:
    """The points that members hold: what the shop owes."""
    return sum(points for kind, points in held.items() if kind in MEMBER_KINDS)
