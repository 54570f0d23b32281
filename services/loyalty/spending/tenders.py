"""What an order's own events do to the points that it is paid with. Pure.

The order's `points` tender names its reservation. Once the order is paid the reservation is
confirmed, for as many points as the tender's amount takes at the rate at which they were set
aside, whatever the programme says by then; an order cancelled before frees it.
As pieces come back, points come back in the proportion of the order's value: the whole order,
all of them, in however many steps; what has come back before the order is paid is never spent,
nor told. An order that names a reservation of somebody else, of
another order or of nobody, or of more points than its reservation holds, gets a
`points.shortfall`, once.

A test order leaves the books as they are: when it is paid its reservation is freed, and what was
confirmed for it over HTTP is given back. It is told of no shortfall.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from services.loyalty.books import points
from services.loyalty.books.programme import Redemption, programme_at
from services.loyalty.books.wallet import Wallet
from services.loyalty.spending import redemption, reservations
from services.loyalty.spending.announcements import given_back, redeemed, shortfall
from services.loyalty.spending.reservations import Reason, Reservation, Shortfall
from services.loyalty.terms.definitions import Book
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot, Tender
from shared.stores import Stores


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

    def members(self, customer_id: str) -> Collection[str]:
        return self.people.get(customer_id, (customer_id,))


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
    paid = points.is_paid(event.type, order)
    reason: Reason | None = None
    if found is None or found.customer_id not in held.members(order.customer_id):
        reason = "unknown_reservation"
    elif found.order_id not in {None, order.order_id}:
        reason = "other_order"
    elif paid and order.test:
        out.reservations[id_] = _undo(held, event, found)
    else:
        out.reservations[id_] = _step(held, event, tender, found, out)
    if reason and paid and not order.test:
        missing = _points_of(held, event, tender, None)
        _miss(held, event, Shortfall(order.order_id, id_, missing, reason), out)


def _step(
    held: Held, event: Event, tender: Tender, found: Reservation, out: Outcome
) -> Reservation:
    """The buyer's own reservation after the event."""
    order: OrderSnapshot = event.data
    paid, void = points.is_paid(event.type, order), points.is_void(event.type, order.lines)
    if void and found.state == "reserved":
        found = reservations.release(held.wallet, found, "cancelled", event)
    elif paid and not void and (found.state == "reserved" or _is_late(event, found)):
        found = _confirm(held, event, tender, found, out)
    if found.state != "confirmed":
        return found
    if paid and not void:
        found = reservations.bind(found, order.order_id)
        _check_covered(held, event, tender, found, out)
    return _return(held, event, found, void=void)


def _undo(held: Held, event: Event, found: Reservation) -> Reservation:
    """Nothing is spent on a test order."""
    if found.state == "reserved":
        return reservations.release(held.wallet, found, "test_order", event)
    return _give_back(held, event, found, found.confirmed)


def _is_late(event: Event, found: Reservation) -> bool:
    """Whether the order goes on, though its points are free again."""
    return found.state != "confirmed" and event.type not in points.CLOSING_TYPES


def _confirm(
    held: Held, event: Event, tender: Tender, found: Reservation, out: Outcome
) -> Reservation:
    order_id = event.data.order_id
    late = found.state != "reserved"
    wanted = _points_of(held, event, tender, found)
    taken = wanted if late else min(wanted, found.points)
    back = _back_of(held, event, found, taken)
    if back and back == taken:
        return found if late else reservations.release(held.wallet, found, "cancelled", event)
    missing = 0
    if late:
        # Of what it was set aside from, what is still the buyer's: a merge may have ended.
        members, accounts = held.members(event.data.customer_id), held.wallet.accounts
        own = [id_ for id_ in found.account_ids if accounts[id_].customer_id in members]
        after, missing = reservations.confirm_late(
            held.wallet, found, taken, order_id, event, of=own, back=back
        )
    else:
        # The time-out is for checkouts that never came back: this one has been paid.
        after = reservations.confirm(held.wallet, found, taken, order_id, event, back=back)
    if after.confirmed > after.given_back:
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
    spent_minor = max(
        found.share_minor(found.confirmed), redemption.worth(found.confirmed, rules, currency)
    )
    missing_minor = _in_base(event.data, tender.amount_minor, currency) - spent_minor
    if missing_minor > 0:
        points_ = redemption.price(missing_minor, rules, currency)
        _miss(held, event, Shortfall(event.data.order_id, found.id, points_, "too_few"), out)


def _return(held: Held, event: Event, found: Reservation, *, void: bool) -> Reservation:
    target = found.confirmed if void else _back_of(held, event, found, found.confirmed)
    return _give_back(held, event, found, target)


def _back_of(held: Held, event: Event, found: Reservation, taken: int) -> int:
    """How many of the points that the order took have come back with it so far."""
    order: OrderSnapshot = event.data
    amount_minor = found.share_minor(taken)
    if order.currency != held.stores.base_currency and order.base_total_minor:
        amount_minor = amount_minor * order.total_minor // order.base_total_minor
    back, whole = redemption.returned_share(order, amount_minor)
    return taken * back // max(1, whole)


def _give_back(held: Held, event: Event, found: Reservation, target: int) -> Reservation:
    """So many points have come back in all."""
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


def _points_of(held: Held, event: Event, tender: Tender, found: Reservation | None) -> int:
    """How many points the tender's amount takes; of another currency by the order's own rate."""
    currency = held.stores.base_currency
    amount_minor = _in_base(event.data, tender.amount_minor, currency)
    return redemption.price(amount_minor, _rules(held, event, found), currency)


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
