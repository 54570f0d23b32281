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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from hashlib import blake2b
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from shared.errors import Reject
from shared.events.envelope import Event

POINTS_MAX = 10**12
"""Of one order, and of one balance either way: what an event on the wire can hold."""


class AccountKind(IntEnum):
    """Stored as a number, so a number is never used again. Below 10: one for each member."""

    PENDING = 1  # earned, and not spendable yet
    ACTIVE = 2  # spendable: what remains in the member's lots
    RESERVED = 3  # set aside for a checkout
    OWED = 4  # below zero: what he owes us, until his next points pay it
    ISSUED = 11
    REDEEMED = 12
    EXPIRED = 13
    CLAWED_BACK = 14
    ADJUSTED = 15
    OPENING = 16  # brought along from another system
    DONATED = 17
    SETTLED = 18  # spent points of a returned order, which a lower refund has paid

    __hash__ = int.__hash__  # an enumeration's own is a function in Python


JournalKind = Literal[
    "earn",
    "activate",
    "reverse",
    "expire",
    "reserve",
    "redeem",
    "free",
    "give_back",
    "adjust",
    "opening",
    "donate",
    "forfeit",
]
RANK: dict[JournalKind, int] = {kind: rank for rank, kind in enumerate(get_args(JournalKind))}
"""The order of one event's journals, for readers. A number is never used again."""

ORDER = "order"
"""The source of journals whose document is an order."""
SOURCE = "regulars/loyalty"
"""The source of what this service causes itself, and of what it tells."""


class Posting(NamedTuple):
    """`points` from the account `debit` to the account `credit`, for one line of the document."""

    line: str
    debit: AccountKind
    credit: AccountKind
    points: int
    lot_id: UUID | None = None
    """Which lot they went into, came from or stay in; none has what is pending or owed."""


def points_of(postings: Sequence[Posting]) -> int:
    """What a journal is about: what went where its first posting went. Other postings say what
    became of those points at once, such as to pay a debt."""
    credit = postings[0].credit
    return sum([p.points for p in postings if p.credit is credit])


class Journal(NamedTuple):
    """One fact in one member's books, and what caused it: an event, a request, a due time."""

    id: UUID
    account_id: UUID
    source: str
    document: str
    revision: int
    kind: JournalKind
    store: str
    postings: tuple[Posting, ...]
    cause: Event

    @property
    def points(self) -> int:
        return points_of(self.postings)


class Account(NamedTuple):
    """What a member holds under one customer id; `account_id` is all that the books know of him."""

    customer_id: str
    account_id: UUID
    pending: int = 0
    active: int = 0
    reserved: int = 0
    owed: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Purse:
    """What a person holds, in whole points. `active` is spendable; `owed` he owes us."""

    pending: int
    active: int
    reserved: int
    owed: int = 0


class Deed(NamedTuple):
    """A fact to be booked: a journal's business key, but for its kind, and its cause."""

    source: str
    document: str
    revision: int
    cause: Event
    store: str = ""


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
    account_id: UUID, deed: Deed, kind: JournalKind, postings: Iterable[Posting]
) -> Journal:
    """What the deed does of one kind in one account."""
    source, document, revision, cause, store = deed
    id_ = journal_id(cause.time, source, document, revision, kind)
    return Journal(id_, account_id, source, document, revision, kind, store, tuple(postings), cause)


def cause_of(source: str, id_: str, time: datetime) -> Event:
    """A cause that is in no log: a request (its caller and key) or a due time."""
    return Event(id=id_, source=source, type="", time=time, topic="", key="", data=None)


def book(account: Account, journal: Journal) -> Account:
    """The account after the journal; Reject if it then holds more than can be told."""
    held = {
        AccountKind.PENDING: account.pending,
        AccountKind.ACTIVE: account.active,
        AccountKind.RESERVED: account.reserved,
        AccountKind.OWED: -account.owed,
    }
    for _, debit, credit, points, _ in journal.postings:
        assert points > 0, "a posting moves points"
        if debit in held:
            held[debit] -= points
        if credit in held:
            held[credit] += points
    pending, active, reserved, owed = held.values()
    assert pending >= 0, "no order takes back more pending points than it gave"
    assert active >= 0, "nobody spends what is in no lot"
    assert reserved >= 0, "no reservation frees more than it holds"
    assert owed <= 0, "nobody pays more than he owes"
    if max(pending, active, reserved, -owed) > POINTS_MAX:
        raise Reject(f"the account would hold over {POINTS_MAX} points; check the order's amounts")
    return Account(
        account.customer_id,
        account.account_id,
        pending,
        active,
        reserved,
        -owed,
        account.version + 1,
    )
