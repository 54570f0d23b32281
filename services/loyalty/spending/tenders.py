"""What an order's own events do to the points that it is paid with. Pure.

The order's `points` tender names its reservation. Once the order is paid the reservation is
confirmed, for as many points as the tender's amount takes at the rate at which they were set
aside, whatever the programme says by then; an order cancelled before frees it.
As pieces come back, points come back in the proportion of the order's value: the whole order,
all of them, in however many steps. An order that names a reservation of somebody else, of
another order or of nobody, or of more points than its reservation holds, gets a
`points.shortfall`, once.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from services.loyalty.books import points
from services.loyalty.books.programme import Redemption, programme_at
from services.loyalty.books.wallet import Wallet
from services.loyalty.spending import redemption, reservations
from services.loyalty.spending.announcements import given_back, redeemed, shortfall
from services.loyalty.spending.reservations import Reservation, Shortfall
from services.loyalty.terms.definitions import Book
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot, Tender
from shared.stores import Stores

CLOSING_TYPES = frozenset({"order.cancelled", "order.refunded", "return.received"})
"""What may follow on a cancellation, which has freed the points: it asks for none again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reservations that have changed, and new shortfalls."""

    reservations: dict[str, Reservation] = field(default_factory=dict)
    shortfalls: dict[tuple[str, str], Shortfall] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """What was loaded: reservations by id, the shortfalls known already, who is who."""

    reservations: Mapping[str, Reservation]
    shortfalls: Collection[tuple[str, str]]
    people: Mapping[str, Collection[str]]
    """The members of the person behind each order's customer id."""
    wallet: Wallet
    book: Book
    stores: Stores


def of(order: OrderSnapshot) -> list[Tender]:
    """The order's tenders in points that name a reservation: one for each, with the sum of them."""
    sums: dict[str, int] = {}
    for tender in order.tenders:
        if tender.kind == "points" and tender.reservation_id:
            id_ = tender.reservation_id
            sums[id_] = sums.get(id_, 0) + tender.amount_minor
    return [
        Tender.model_construct(kind="points", amount_minor=amount_minor, reservation_id=id_)
        for id_, amount_minor in sums.items()
    ]


def fold(held: Held, applied: Iterable[Event]) -> Outcome:
    """What the events, each the newest revision of its order so far, do to reservations."""
    out = Outcome()
    for event in applied:
        for tender in of(event.data):
            _follow(held, event, tender, out)
    return out


def _follow(held: Held, event: Event, tender: Tender, out: Outcome) -> None:
    order: OrderSnapshot = event.data
    id_ = tender.reservation_id or ""
    found = out.reservations.get(id_) or held.reservations.get(id_)
    paid, void = points.is_paid(event.type, order), points.is_void(event.type, order.lines)
    own = found and found.customer_id in held.people.get(order.customer_id, (order.customer_id,))
    rules = _rules(held, event, found if own else None)
    wanted = _points_of(order, tender, rules, held.stores.base_currency)
    if found is None or not own:
        if paid:
            _miss(held, event, Shortfall(order.order_id, id_, wanted, "unknown_reservation"), out)
        return
    if found.order_id not in {None, order.order_id}:
        if paid:
            _miss(held, event, Shortfall(order.order_id, id_, wanted, "other_order"), out)
        return
    if void and found.state == "reserved":
        found = reservations.release(held.wallet, found, "cancelled", event)
    elif paid and not void and (found.state == "reserved" or _is_late(event, found)):
        found = _confirm(held, event, found, wanted, out)
    if found.state == "confirmed":
        if paid and not void:
            found = reservations.bind(found, order.order_id)
            _check_covered(held, event, tender, found, out)
        found = _return(held, event, found, void=void)
    out.reservations[id_] = found


def _is_late(event: Event, found: Reservation) -> bool:
    """Whether the order goes on, though its points are free again."""
    return found.state != "confirmed" and event.type not in CLOSING_TYPES


def _confirm(
    held: Held, event: Event, found: Reservation, wanted: int, out: Outcome
) -> Reservation:
    order_id = event.data.order_id
    if found.state == "reserved":
        # The time-out is for checkouts that never came back: this one has been paid.
        spent = min(wanted, found.points)
        after, missing = reservations.confirm(held.wallet, found, spent, order_id, event), 0
    else:
        # Of what it was set aside from, what is still the buyer's: a merge may have ended.
        members = held.people.get(event.data.customer_id, (event.data.customer_id,))
        accounts = held.wallet.accounts
        own = [id_ for id_ in found.account_ids if accounts[id_].customer_id in members]
        late = reservations.confirm_late(held.wallet, found, wanted, order_id, event, of=own)
        after, missing = late
    if after.confirmed:
        held.wallet.facts.append(redeemed(after, held.wallet, event))
    if missing:
        _miss(held, event, Shortfall(order_id, found.id, missing, "too_late"), out)
    return after


def _check_covered(
    held: Held, event: Event, tender: Tender, found: Reservation, out: Outcome
) -> None:
    """Tell what the order says it took beyond what was spent. Of a part, the rate's worth may be a
    minor unit more than its share of what all are worth, which was rounded down."""
    rules = _rules(held, event, found)
    currency = held.stores.base_currency
    share_minor = found.amount_minor * found.confirmed // max(1, found.points)
    spent_minor = max(share_minor, redemption.worth(found.confirmed, rules, currency))
    missing_minor = _in_base(event.data, tender.amount_minor, currency) - spent_minor
    if missing_minor > 0:
        points_ = redemption.price(missing_minor, rules, currency)
        _miss(held, event, Shortfall(event.data.order_id, found.id, points_, "too_few"), out)


def _return(held: Held, event: Event, found: Reservation, *, void: bool) -> Reservation:
    order: OrderSnapshot = event.data
    amount_minor = found.amount_minor * found.confirmed // max(1, found.points)
    if order.currency != held.stores.base_currency and order.base_total_minor:
        amount_minor = amount_minor * order.total_minor // order.base_total_minor
    back, whole = redemption.returned_share(order, amount_minor)
    target = found.confirmed if void else found.confirmed * back // max(1, whole)
    after, more = reservations.give_back(held.wallet, found, target, event)
    if more:
        held.wallet.facts.append(given_back(after, more, held.wallet, event))
    return after


def _rules(held: Held, event: Event, found: Reservation | None) -> Redemption:
    """The programme at the order's time, with the rate at which the points were set aside."""
    rules = programme_at(held.book, event.time).redemption
    if found is None or found.points_per_unit is None:
        return rules
    return rules.model_copy(update={"points_per_unit": found.points_per_unit})


def _points_of(order: OrderSnapshot, tender: Tender, rules: Redemption, currency: str) -> int:
    """How many points the tender's amount takes; of another currency by the order's own rate."""
    return redemption.price(_in_base(order, tender.amount_minor, currency), rules, currency)


def _in_base(order: OrderSnapshot, amount_minor: int, currency: str) -> int:
    if order.currency != currency and order.base_total_minor and order.total_minor > 0:
        return amount_minor * order.base_total_minor // order.total_minor
    return amount_minor


def _miss(held: Held, event: Event, missing: Shortfall, out: Outcome) -> None:
    key = (missing.order_id, missing.reservation_id)
    if key in held.shortfalls or key in out.shortfalls or not missing.points:
        return
    out.shortfalls[key] = missing
    held.wallet.facts.append(shortfall(missing, event))
