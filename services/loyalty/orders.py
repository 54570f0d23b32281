"""How an order's next revision changes the books. Pure: no clock, no I/O, no framework.

For each line, the revision says what should be booked (`points.py`), the order's state says
what is, and the difference is posted. So nothing depends on which revisions came before,
in what order or how often: lost, late and doubled ones end in the same balances.

An order belongs to the customer whose event came first, and its points stay in his account.
Another id of the same person may carry later events of it; anybody else's use of the id is
rejected by name. A guest's order, which has booked nothing, goes to whoever claims it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.loyalty import announcements, ledger, points
from services.loyalty.ledger import Account, AccountKind, Journal, JournalKind, Posting
from services.loyalty.points import BASE, Rule, Verdict
from shared.errors import Reject
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot
from shared.stores import Stores


class LineState(NamedTuple):
    """A line's award, and what of it is booked: a tuple, as it is kept."""

    basis_minor: int
    awarded: int
    pending: int = 0
    active: int = 0


NOTHING = LineState(0, 0)


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order at the last revision seen; `lines` are those that earn."""

    order_id: str
    customer_id: str | None
    """None: the customer was erased, and the order changes no more."""
    revision: int
    type: str
    time: datetime
    store: str
    verdict: Verdict
    lines: Mapping[str, LineState] = field(default_factory=dict)
    earned_in: UUID | None = None
    """The last journal in which the order earned: what a reversal refers to."""


@dataclass(frozen=True, slots=True)
class AwardSnapshot:
    """A decision and its inputs, as it is kept: reversals never ask today's rules."""

    order_id: str
    line_id: str
    revision: int
    rule: Rule
    basis_minor: int
    points: int
    inputs: Mapping[str, object]
    """The order's; its lines share them."""


Judged = tuple[Event, Verdict]


@dataclass(frozen=True, slots=True)
class Known:
    """What was loaded for a batch: orders by id, accounts by customer id.

    `people` holds the members of the persons whose orders are carried by several ids.
    """

    orders: Mapping[str, OrderState]
    accounts: Mapping[str, Account]
    people: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch comes to: only what has changed."""

    orders: dict[str, OrderState] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    journals: list[Journal] = field(default_factory=list)
    awards: list[AwardSnapshot] = field(default_factory=list)
    facts: list[Event] = field(default_factory=list)


def judge(events: Iterable[Event], stores: Stores) -> list[Judged]:
    """The order events among `events`, each with whether its order earns."""
    return [
        (event, points.judge(event.type, event.data, stores))
        for event in events
        if isinstance(event.data, OrderSnapshot)
    ]


def owners_of(orders: Mapping[str, OrderState], judged: Iterable[Judged]) -> dict[str, str]:
    """Whose account each order belongs to; an order of somebody erased is nobody's."""
    owners = {id_: state.customer_id for id_, state in orders.items() if state.customer_id}
    for event, _ in judged:
        order_id = event.data.order_id
        owner = owners.get(order_id)
        if owner == event.key:
            continue
        erased = order_id in orders and orders[order_id].customer_id is None
        if not erased and (owner is None or points.is_guest(owner)):
            owners[order_id] = event.key
    return owners


def contested(owners: Mapping[str, str], judged: Iterable[Judged]) -> set[str]:
    """The owners of orders that arrive under another id, too."""
    return {
        owner
        for event, _ in judged
        if (owner := owners.get(event.data.order_id, event.key)) != event.key
        and not points.is_guest(owner)
    }


def fold(known: Known, judged: Iterable[Judged], base_currency: str) -> Outcome:
    """The books after these events; Reject names an event that can have no place in them."""
    out = Outcome()
    for event, verdict in judged:
        order: OrderSnapshot = event.data
        before = out.orders.get(order.order_id) or known.orders.get(order.order_id)
        owner = _owner(before, event, known.people)
        if owner is None or (before and order.revision <= before.revision):
            continue
        booked = before.lines if before else {}
        lines: Mapping[str, LineState] = {}
        if verdict == "earns":
            bases = points.bases_of(order, base_currency)
            standing = {line_id: line.basis_minor for line_id, line in booked.items()} == bases
            # The award stands while what it was made on stands: it is decided once.
            if standing:
                awarded = {line_id: line.awarded for line_id, line in booked.items()}
            else:
                awarded = points.award(bases, base_currency, BASE)
                out.awards.extend(_snapshots(order, base_currency, bases, awarded))
            lines = _targets(event, bases, awarded)
        earned_in = before.earned_in if before else None
        if lines != booked:
            account = out.accounts.get(owner) or known.accounts[owner]
            earned_in = _post(differences(booked, lines), event, account, earned_in, out)
        out.orders[order.order_id] = OrderState(
            order.order_id,
            owner,
            order.revision,
            event.type,
            event.time,
            order.store,
            verdict,
            lines,
            earned_in,
        )
    return out


def _owner(
    before: OrderState | None, event: Event, people: Mapping[str, Collection[str]]
) -> str | None:
    """Whose order it is; None if nobody's any more."""
    if before is None or before.customer_id == event.key:
        return event.key
    owner = before.customer_id
    if owner is None or event.key in people.get(owner, ()):
        return owner
    if points.is_guest(owner):
        return event.key
    raise Reject(
        "order_id: another customer has an order of this id; an order's id is never used again"
    )


def _targets(
    event: Event, bases: Mapping[str, int], awarded: Mapping[str, int]
) -> dict[str, LineState]:
    """What the event's snapshot says should be booked, by line."""
    order: OrderSnapshot = event.data
    void = points.is_void(event.type, order.lines)
    arrived = points.arrivals(event.type, order.lines)
    targets: dict[str, LineState] = {}
    for line in order.lines:
        line_id = line.line_id
        if line_id in bases:
            gross = awarded[line_id]
            net = 0 if void else points.kept(gross, line)
            split = (0, net) if line_id in arrived else (net, 0)
            targets[line_id] = LineState(bases[line_id], gross, *split)
    return targets


def _post(
    moves: Mapping[JournalKind, list[Posting]],
    event: Event,
    account: Account,
    earned_in: UUID | None,
    out: Outcome,
) -> UUID | None:
    """Book what there is to move; the journal in which the order earned last."""
    for kind, postings in moves.items():
        if postings:
            journal = ledger.journal_of(account, event, kind, postings)
            account = ledger.book(account, journal)
            if kind == "earn":
                earned_in = journal.id
            out.journals.append(journal)
            out.facts.append(announcements.announce(journal, account, BASE, earned_in))
    out.accounts[account.customer_id] = account
    return earned_in


def differences(
    before: Mapping[str, LineState], after: Mapping[str, LineState]
) -> dict[JournalKind, list[Posting]]:
    """The postings that lead from one to the other, in the order in which they are booked.

    What becomes active comes out of pending; what pending lacks for that is earned; what is
    taken back is taken from where it is.
    """
    earn: list[Posting] = []
    activate: list[Posting] = []
    reverse: list[Posting] = []
    for line in sorted(before.keys() | after.keys()):
        old, new = before.get(line, NOTHING), after.get(line, NOTHING)
        rise = new.active - old.active
        gap = new.pending - old.pending + max(0, rise)
        if gap > 0:
            earn.append(Posting(line, AccountKind.ISSUED, AccountKind.PENDING, gap))
        if rise > 0:
            activate.append(Posting(line, AccountKind.PENDING, AccountKind.ACTIVE, rise))
        if gap < 0:
            reverse.append(Posting(line, AccountKind.PENDING, AccountKind.CLAWED_BACK, -gap))
        if rise < 0:
            reverse.append(Posting(line, AccountKind.ACTIVE, AccountKind.CLAWED_BACK, -rise))
    return {"earn": earn, "activate": activate, "reverse": reverse}


def _snapshots(
    order: OrderSnapshot, base_currency: str, bases: Mapping[str, int], awarded: Mapping[str, int]
) -> Sequence[AwardSnapshot]:
    """The decisions that this revision took: one for each line that may earn."""
    inputs = {
        "currency": order.currency,
        "total_minor": order.total_minor,
        "base_currency": base_currency,
        "base_total_minor": order.base_total_minor,
        "order_basis_minor": sum(bases.values()),
        "order_points": sum(awarded.values()),
        "points_per_unit": BASE.points_per_unit,
    }
    return [
        AwardSnapshot(
            order_id=order.order_id,
            line_id=line_id,
            revision=order.revision,
            rule=BASE,
            basis_minor=basis_minor,
            points=awarded[line_id],
            inputs=inputs,
        )
        for line_id, basis_minor in bases.items()
    ]
