"""How an order's next revision changes the books. Pure: no clock, no I/O, no framework.

For each line, the revision says what should be booked (`points.py`), the order's state says
what is, and the difference is posted. So nothing depends on which revisions came before,
in what order or how often: lost, late and doubled ones end in the same balances.

An order belongs to the customer whose event came first, and its points stay in his account.
Another id of the same person may carry later events of it; anybody else's use of the id is
rejected by name. A guest's order, which has booked nothing, goes to whoever claims it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.loyalty.books import ledger, points
from services.loyalty.books import wallet as wallets
from services.loyalty.books.ledger import ORDER, SOURCE, Account, Deed, JournalKind, Posting
from services.loyalty.books.lines import Lines, LineState, differences, matured, next_due, targets
from services.loyalty.books.lots import Lot
from services.loyalty.books.points import BASE, RuleName, Verdict
from services.loyalty.books.programme import programme_at
from services.loyalty.books.reversal import take_back
from services.loyalty.books.wallet import Wallet
from services.loyalty.earning import decisions
from services.loyalty.earning.decisions import Case, Decided, Evidence
from services.loyalty.earning.limits import HoldState, Watch, Weighed, under
from services.loyalty.levels import contributions
from services.loyalty.levels.contributions import Counted
from services.loyalty.levels.ladder import Ladder, Roster
from services.loyalty.spending import announcements
from services.loyalty.terms.definitions import Book
from shared.errors import Reject
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot
from shared.stores import Stores

NO_LINES: Mapping[str, LineState] = {}


class OrderState(NamedTuple):
    """An order at the last revision seen; `lines` are those that earn."""

    order_id: str
    customer_id: str | None
    """None: the customer was erased, and the order changes no more."""
    revision: int
    type: str
    time: datetime
    store: str
    verdict: Verdict
    lines: Mapping[str, LineState] = NO_LINES
    earned_in: UUID | None = None
    """The last journal in which the order earned: what a reversal refers to."""
    activates_at: datetime | None = None
    """When the next of its points become active by themselves."""
    counted: Counted | None = None
    """What it counts for a tier; None: it never did."""
    import_id: int | None = None
    """The batch that brought it: its awards were made elsewhere, and stand whatever comes."""
    hold: HoldState = ""
    """Whether somebody has to look first, or has: then its points stay pending, or are gone."""


Judged = tuple[Event, Verdict]


@dataclass(frozen=True, slots=True)
class Known:
    """What was loaded for a batch: orders by id, accounts by customer id, the orders' lots.

    `people` holds the members of the person behind each owner of an order;
    `evidence` what the rules ask for, `roster` who has which tier.
    """

    orders: Mapping[str, OrderState]
    accounts: Mapping[str, Account]
    lots: Collection[Lot] = ()
    people: Mapping[str, Collection[str]] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
    roster: Roster = field(default_factory=Roster)
    watch: Watch | None = None
    """None: nobody has laid down limits of earning."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the store has laid down, in versions, and its stores."""

    book: Book
    stores: Stores


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch comes to: only what has changed."""

    wallet: Wallet
    orders: dict[str, OrderState] = field(default_factory=dict)
    decided: Decided = field(default_factory=Decided)
    weighed: Weighed = field(default_factory=Weighed)
    applied: list[Event] = field(default_factory=list)
    """The events that were the newest revision of their order so far."""
    ladder: Ladder = field(default_factory=Ladder)


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


def fold(known: Known, judged: Iterable[Judged], terms: Terms) -> Outcome:
    """The books after these events; Reject names an event that can have no place in them."""
    wallet = Wallet.open(known.accounts.values(), known.lots)
    out = Outcome(wallet, ladder=Ladder.open(known.roster))
    for event, verdict in judged:
        order: OrderSnapshot = event.data
        before = out.orders.get(order.order_id) or known.orders.get(order.order_id)
        owner = _owner(before, event, known.people)
        if owner is None or (before and order.revision <= before.revision):
            continue
        out.applied.append(event)
        account = known.accounts.get(owner)
        # What was due before this happened came first, whatever the job has come to.
        while before and account and before.activates_at and before.activates_at <= event.time:
            before = mature(before, account, terms, out)
        booked = before.lines if before else {}
        case = _case(event, owner, booked, known=known, terms=terms, out=out)
        lines, hold = _lines_of(case, before, known.watch, out, earns=verdict == "earns")
        earned_in = before.earned_in if before else None
        if moves := {kind: p for kind, p in differences(booked, lines).items() if p}:
            assert account, "who earns has an account"
            deed = Deed(ORDER, order.order_id, order.revision, event, order.store)
            rules = decisions.rules_of(case)
            earned_in = post(moves, deed, account, terms, out, earned_in=earned_in, rules=rules)
        out.orders[order.order_id] = OrderState(
            *(order.order_id, owner, order.revision, event.type, event.time, order.store),
            verdict,
            lines,
            earned_in,
            None if hold == "held" else next_due(lines),
            _count(case, before, {} if hold == "declined" else lines, account, out),
            before.import_id if before else None,
            hold,
        )
    return out


def _count(
    case: Case,
    before: OrderState | None,
    lines: Mapping[str, LineState],
    account: Account | None,
    out: Outcome,
) -> Counted | None:
    """What the order counts for its buyer's tier, from this event on."""
    counts = before.counted if before else None
    elsewhere = before is not None and before.import_id is not None
    if account is None or elsewhere or (counts is None and not lines):
        return counts
    zone = case.stores.get(case.order.store).tz
    day = counts.day if counts else contributions.day_of(case.event, case.placed_at, zone)
    counted = Counted(day, contributions.bucket_of(case.event, lines))
    for change in contributions.changes(counts, counted, account, case.event):
        out.ladder.count(change)
    return counted


def _case(
    event: Event,
    owner: str,
    booked: Mapping[str, LineState],
    *,
    known: Known,
    terms: Terms,
    out: Outcome,
) -> Case:
    order_id = event.data.order_id
    before = out.decided.decisions.get(order_id) or known.evidence.decided.get(order_id)
    return Case(
        event,
        owner,
        booked,
        before,
        known.evidence,
        terms.book,
        terms.stores,
        out.decided,
        out.ladder,
    )


def _lines_of(
    case: Case, before: OrderState | None, watch: Watch | None, out: Outcome, *, earns: bool
) -> tuple[Lines, HoldState]:
    """What should be booked of the order, and whether somebody has to look at it first."""
    imported = before is not None and before.import_id is not None
    hold = before.hold if before else ""
    lines: Lines = {}
    if earns:
        if imported:  # it was decided elsewhere, and stands whatever the rules here say
            bases = {line_id: line.basis_minor for line_id, line in case.booked.items()}
            awarded = {line_id: line.awarded for line_id, line in case.booked.items()}
        else:
            bases = points.bases_of(case.order, case.stores.base_currency)
            awarded = dict(decisions.decide(case, bases))
        activation = programme_at(case.book, case.event.time).activation
        lines = targets(case.event, bases, awarded, case.booked, activation, stays=imported)
    elif not imported:
        decisions.notice(case)
    if watch and not hold and not imported:
        hold = watch.hold_of(case.event, case.owner, case.booked, lines, out.weighed)
    lines = under(hold, lines)
    decisions.count(case, lines)
    return lines, hold


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


def mature(state: OrderState, account: Account, terms: Terms, out: Outcome) -> OrderState:
    """The order after the points that are due next have become active, at their own time."""
    due = state.activates_at
    assert due, "nothing of this order waits"
    after = matured(state.lines, due)
    # Below zero: a due time, which no revision of the order is.
    cause = ledger.cause_of(SOURCE, f"{state.order_id}@{int(due.timestamp())}", due)
    deed = Deed(ORDER, state.order_id, -int(due.timestamp()), cause, state.store)
    moves = differences(state.lines, after)
    post(moves, deed, account, terms, out, earned_in=state.earned_in)
    return state._replace(lines=after, activates_at=next_due(after))


def post(
    moves: Mapping[JournalKind, list[Posting]],
    deed: Deed,
    account: Account,
    terms: Terms,
    out: Outcome,
    *,
    earned_in: UUID | None,
    rules: tuple[RuleName, ...] = (BASE,),
) -> UUID | None:
    """Book what there is to move; the journal in which the order earned last."""
    at, store = deed.cause.time, terms.stores.get(deed.store)
    programme = programme_at(terms.book, at)
    wallet, own = out.wallet, account.account_id
    for kind, postings in moves.items():
        if not postings:
            continue
        reversal = None
        match kind:
            case "activate":
                expires_at = programme.expiry.expires_at(at, store.tz)
                journal = wallets.activate(wallet, own, deed, postings, expires_at)
            case "reverse":
                policy = programme.returns
                reversal = take_back(wallet, own, deed, postings, policy, now=at)
                journal = reversal.journal
            case _:
                journal = wallet.book(own, deed, kind, postings)
                earned_in = journal.id
        told = announcements.announce(journal, wallet.accounts[own], rules, earned_in, reversal)
        wallet.facts.append(told)
    return earned_in
