"""Whether a customer who was invited has earned both sides their points, or why not. Pure.

Nothing here depends on the order in which things were heard of: a referral is judged anew
from all facts whenever one of them changes, and what is booked is the difference
(`referral_awards.py`).

Two persons share a *signal* if both were seen with the same e-mail address, phone, device or
delivery address before the first order was placed. Signals are kept as keyed hashes.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self, get_args
from uuid import UUID

from pydantic import Field, model_validator

from services.loyalty.benefits import codes
from services.loyalty.books.programme import DEFAULT
from services.loyalty.earning.limits import HoldState
from services.loyalty.earning.rules import Limit, RulePoints
from services.loyalty.terms.conditions import Part
from services.loyalty.terms.definitions import Book, Definition
from shared.events.fields import Amount

SOURCE = "referral"
"""The source of journals and lots whose document is one side of a referral."""
HELD = "referral:"
"""What a held referral's id begins with, among the orders that are held."""
LINKS_MAX = 10
"""How far up a chain of invitations is looked: rings of more people than that are no trick."""

SignalKind = Literal["email", "phone", "device", "address"]
State = Literal["invited", "registered", "qualified", "awarded", "refused", "reversed"]

Friends = Annotated[int, Field(ge=1, le=1_000_000)]


class ReferralCaps(Part):
    """At most so much, over all versions; absent: no limit. What is reversed is free again."""

    per_month: Friends | None = None
    """Friends of one referrer who are awarded in a calendar month of the store's zone."""
    per_year: Friends | None = None
    ever: Friends | None = None
    budget: Limit | None = None
    """Points to all members together, both sides added up."""


class ReferralProgramme(Definition):
    """What a friend must do, and what each side gets: the one in force when he registered."""

    order_min_minor: Amount = 0
    """What he must keep of his first paid order, in minor units of the base currency."""
    within_days: Annotated[int, Field(ge=1, le=3_660)] = 90
    """From his registration until that order is placed."""
    referrer_points: RulePoints = 0
    friend_points: RulePoints = 0
    caps: ReferralCaps = ReferralCaps()
    review_per_day: Friends | None = None
    """So many friends of one referrer are awarded in a day; more wait for review."""
    signals: frozenset[SignalKind] = frozenset(get_args(SignalKind))
    """Which of them refuse a friend who shares one with his referrer."""

    @model_validator(mode="after")
    def _gives_something(self) -> Self:
        if not self.referrer_points and not self.friend_points:
            raise ValueError("referrer_points, friend_points: give points to one side at least")
        return self


@dataclass(frozen=True, slots=True)
class Referral:
    """One friend's, as it is kept. `referrer_points` and `friend_points` are what is booked now."""

    id: UUID
    customer_id: str | None
    """The friend; None: he was erased, and it changes no more."""
    referrer_id: str | None
    """None: nobody has the code, or he was erased (`forgotten`)."""
    store: str
    invited_at: datetime | None
    registered_at: datetime | None
    state: State = "invited"
    reason: str = ""
    order_id: str = ""
    qualified_at: datetime | None = None
    referrer_points: int = 0
    friend_points: int = 0
    step: int = 0
    """How often something was booked."""
    hold: HoldState = ""
    forgotten: bool = False

    @property
    def awarded(self) -> bool:
        return bool(self.referrer_points or self.friend_points)

    @property
    def sides(self) -> list[str]:
        """The customer ids of friend and referrer, as far as they are known."""
        return [side for side in (self.customer_id, self.referrer_id) if side]


@dataclass(frozen=True, slots=True)
class OrderFact:
    """What of an order matters here, at its last revision."""

    order_id: str
    customer_id: str
    revision: int
    placed_at: datetime
    told_at: datetime
    store: str
    paid: bool
    net_minor: int
    """What he keeps of its products, in minor units of the base currency."""
    arrived: bool
    """All of that was delivered."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that a customer was seen with, as a keyed hash, and since when."""

    customer_id: str
    kind: SignalKind
    digest: bytes
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What a referral is judged by. Each person is all ids that were merged into him."""

    friend: Collection[str]
    referrer: Collection[str] = ()
    ancestors: Collection[str] = ()
    """Who invited the referrer, and so on up."""
    orders: Sequence[OrderFact] = ()
    """The friend's."""
    signals: Sequence[Signal] = ()
    """Of all of them."""
    known_since: datetime | None = None
    """Since when the friend is a customer under another id, or by an older order."""
    first: bool = True
    """False: another of his ids was invited before."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`qualified`, or what is missing or wrong; with the order that counts, if there is one."""

    state: State
    reason: str = ""
    order: OrderFact | None = None


def programme_of(book: Book, at: datetime) -> tuple[ReferralProgramme, int] | None:
    """The programme in force, and its version."""
    found = book.one_in_force(ReferralProgramme, DEFAULT, at)
    return (found.body, found.version) if found else None


def is_laid_down(book: Book) -> bool:
    """Whether there ever was one: without, nothing is kept."""
    return bool(book.versions(ReferralProgramme, DEFAULT))


def code_of(digest: bytes) -> str:
    """A member's own code, of a keyed digest of his account: always the same, and not to guess."""
    return codes.encode(digest[: codes.RANDOM_BYTES])


def judge(referral: Referral, programme: ReferralProgramme | None, facts: Facts) -> Verdict:
    """By the facts alone, whatever was decided before."""
    if referral.registered_at is None:
        return Verdict("invited", "not_registered")
    known = bool(facts.referrer) or referral.forgotten
    if not known or programme is None:
        return Verdict("registered", "no_programme" if known else "unknown_code")
    order = first_order(facts.orders)
    if reason := _refusal(referral, referral.registered_at, programme, facts, order):
        return Verdict("refused", reason, order)
    if reason := _missing(programme, order):
        return Verdict("registered", reason, order)
    return Verdict("qualified", "", order)


def _missing(programme: ReferralProgramme, order: OrderFact | None) -> str:
    if order is None:
        return "no_order"
    if order.net_minor < programme.order_min_minor:
        return "order_too_small"
    return "" if order.arrived else "not_delivered"


def first_order(orders: Iterable[OrderFact]) -> OrderFact | None:
    """The first paid order of which something is kept."""
    kept = [order for order in orders if order.paid and order.net_minor > 0]
    return min(kept, key=lambda order: (order.placed_at, order.order_id), default=None)


def _refusal(
    referral: Referral,
    registered_at: datetime,
    programme: ReferralProgramme,
    facts: Facts,
    order: OrderFact | None,
) -> str:
    friend = set(facts.friend)
    since = [o.placed_at for o in facts.orders if o.paid]
    since += [facts.known_since] if facts.known_since else []
    before = any(at < registered_at for at in since)
    early = referral.invited_at is not None and registered_at < referral.invited_at
    last = registered_at + timedelta(programme.within_days)
    told = (
        ("self_referral", not friend.isdisjoint(facts.referrer)),
        ("already_referred", not facts.first),
        ("customer_before", before or early),
        ("ring", not friend.isdisjoint(facts.ancestors)),
        ("too_late", order is not None and order.placed_at > last),
    )
    named = next((reason for reason, wrong in told if wrong), "")
    return named or _shared(programme, facts, friend, order)


def _shared(
    programme: ReferralProgramme, facts: Facts, friend: set[str], order: OrderFact | None
) -> str:
    """What the friend has in common with who invited him, or the device with who invited that
    one: as seen before the order, for who gives a present later does nothing wrong."""
    until = order.placed_at if order else None
    shared = shared_kinds(facts.signals, friend, set(facts.referrer), until)
    if found := shared & programme.signals:
        return f"same_{min(found)}"
    above = shared_kinds(facts.signals, friend, set(facts.ancestors), until)
    return "chain_device" if "device" in above & programme.signals else ""


def shared_kinds(
    signals: Iterable[Signal], one: set[str], other: set[str], until: datetime | None
) -> set[SignalKind]:
    """Of which kinds both persons were seen with the same, by then; None: by now."""
    seen = [each for each in signals if until is None or each.seen_at <= until]
    of_one = {(each.kind, each.digest) for each in seen if each.customer_id in one}
    return {
        each.kind
        for each in seen
        if each.customer_id in other and (each.kind, each.digest) in of_one
    }
