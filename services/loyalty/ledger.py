"""The books: accounts, postings, journals. Pure.

A posting moves points from one account (debit) to another (credit). It is one row, so it
sums to zero by construction, and so do the books. What an account holds is its credits
less its debits: a member's account holds what we owe him, a programme's account the other
side of it, mostly below zero.

A journal is one business fact with its postings: what one revision of one order earned,
activated or reversed. Its business key (source, document, revision, kind) is unique for
ever, and its id is derived from it, so a fact that is booked twice is an error that the
database refuses, not a second effect.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from hashlib import blake2b
from typing import Literal
from uuid import UUID

from shared.errors import Reject
from shared.events.envelope import Event

POINTS_MAX = 10**12
"""Of one order, and of one balance either way: what an event on the wire can hold."""


class AccountKind(IntEnum):
    """Stored as a number, so a number is never used again. Below 10: one for each member."""

    PENDING = 1  # earned, and not spendable yet
    ACTIVE = 2  # spendable; below zero is a debt that the next points pay
    RESERVED = 3  # set aside for a checkout
    ISSUED = 11
    REDEEMED = 12
    EXPIRED = 13
    CLAWED_BACK = 14
    ADJUSTED = 15


JournalKind = Literal["earn", "activate", "reverse"]
RANK: dict[JournalKind, int] = {"earn": 0, "activate": 1, "reverse": 2}
"""The order of one event's journals, for readers. A number is never used again."""

ORDER = "order"
"""The source of journals whose document is an order."""


@dataclass(frozen=True, slots=True)
class Posting:
    """`points` from the account `debit` to the account `credit`, for one line of the document."""

    line: str
    debit: AccountKind
    credit: AccountKind
    points: int


@dataclass(frozen=True, slots=True)
class Journal:
    """One fact in one member's books, and the event that caused it."""

    id: UUID
    account_id: UUID
    source: str
    document: str
    revision: int
    kind: JournalKind
    postings: tuple[Posting, ...]
    cause: Event

    @property
    def points(self) -> int:
        return sum(posting.points for posting in self.postings)


@dataclass(frozen=True, slots=True)
class Account:
    """What a member holds under one customer id; `account_id` is all that the books know of him."""

    customer_id: str
    account_id: UUID
    pending: int = 0
    active: int = 0
    reserved: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Purse:
    """What a person holds, in whole points; `active` below zero is a debt."""

    pending: int
    active: int
    reserved: int


def journal_id(
    time: datetime, source: str, document: str, revision: int, kind: JournalKind
) -> UUID:
    """A UUIDv8: 48 bits of the event's time in ms, 12 of the kind, 62 of the business key's hash.

    Derived, so that a retry names the same journal; led by the time, so that a member's
    journals sort as they happened and new rows land at the end of an index of millions.
    """
    stamp = max(0, int(time.timestamp() * 1000))
    name = "\x1f".join((source, document, str(revision), kind)).encode()
    rest = int.from_bytes(blake2b(name, digest_size=8).digest()) >> 2
    return UUID(int=stamp << 80 | 0x8 << 76 | RANK[kind] << 64 | 0b10 << 62 | rest)


def journal_of(
    account: Account, cause: Event, kind: JournalKind, postings: Iterable[Posting]
) -> Journal:
    """The journal of one revision of an order, in the account that the order belongs to."""
    order = cause.data
    name = journal_id(cause.time, ORDER, order.order_id, order.revision, kind)
    return Journal(
        id=name,
        account_id=account.account_id,
        source=ORDER,
        document=order.order_id,
        revision=order.revision,
        kind=kind,
        postings=tuple(postings),
        cause=cause,
    )


def book(account: Account, journal: Journal) -> Account:
    """The account after the journal; Reject if it then holds more than can be told."""
    pending, active, reserved = account.pending, account.active, account.reserved
    for posting in journal.postings:
        assert posting.points > 0, "a posting moves points"
        for kind, points in (posting.debit, -posting.points), (posting.credit, posting.points):
            if kind is AccountKind.PENDING:
                pending += points
            elif kind is AccountKind.ACTIVE:
                active += points
            elif kind is AccountKind.RESERVED:
                reserved += points
    assert pending >= 0, "no order takes back more pending points than it gave"
    assert reserved >= 0, "no reservation frees more than it holds"
    if max(pending, abs(active), reserved) > POINTS_MAX:
        raise Reject(f"the account would hold over {POINTS_MAX} points; check the order's amounts")
    version = account.version + 1
    return Account(account.customer_id, account.account_id, pending, active, reserved, version)
