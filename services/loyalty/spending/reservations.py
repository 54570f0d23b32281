"""A reservation: points set aside for a checkout, and what becomes of them, once. Pure.

    reserved -> confirmed (all, or a part; the rest is freed)
             -> cancelled | timed_out | test_order (all is freed)
    confirmed -> points are given back as the order is returned

A reservation is resolved once, whoever comes first: the checkout over HTTP or the order's
own events, whose `points` tender names it. What comes later finds it resolved and is told
so by name. An order that is paid after the time-out still gets its points if they are there,
and is told how many are missing if not (`points.shortfall`).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.loyalty.books import lots, wallet
from services.loyalty.books.ledger import AccountKind, Deed
from services.loyalty.books.lots import Part
from services.loyalty.books.wallet import DEED_ACCOUNTS_MAX, Wallet
from shared.errors import Conflict, Unprocessable
from shared.events.envelope import Event

Freed = Literal["cancelled", "timed_out", "test_order"]
"""Why its points are free again; `test_order`: its order is paid, and is a test."""
State = Literal["reserved", "confirmed"] | Freed
SOURCE = "reservation"
"""The source of its journals; the document is its id."""


class AlreadyConfirmed(Conflict):
    """The reservation has been confirmed; it can be neither confirmed again nor cancelled."""


class AlreadyCancelled(Conflict):
    """The reservation has been cancelled."""


class TimedOut(Conflict):
    """The reservation's time is over, and its points are free again."""


class OfTestOrder(Conflict):
    """The reservation's order is a test, which spends nothing; its points are free again."""


class MoreThanReserved(Unprocessable):
    """The reservation holds fewer points than are to be confirmed."""


class OfAnotherOrder(Conflict):
    """The reservation belongs to another order."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """`parts` are the points that it holds, by lot; once confirmed, those spent for good."""

    id: str
    customer_id: str | None
    """None: erased."""
    account_ids: tuple[UUID, ...]
    store: str
    points: int
    amount_minor: int
    currency: str
    """Of `amount_minor`: the base currency."""
    expires_at: datetime
    parts: tuple[Part, ...]
    order_id: str | None = None
    state: State = "reserved"
    confirmed: int = 0
    """How many the order took, those given back since included."""
    given_back: int = 0
    step: int = 1
    """How often it has been booked: what follows is another revision."""
    points_per_unit: int | None = None
    """The rate that was agreed; None: set aside by a release that did not keep it."""

    def share_minor(self, points: int) -> int:
        """The share of so many points in `amount_minor`, rounded down."""
        return self.amount_minor * points // max(1, self.points)


Reason = Literal["unknown_reservation", "other_order", "too_late", "too_few"]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Points that an order says it was paid with, and that were not there."""

    order_id: str
    reservation_id: str
    points: int
    reason: Reason


def deed_of(reservation: Reservation, cause: Event) -> Deed:
    """What the next step of the reservation books."""
    revision = reservation.step * DEED_ACCOUNTS_MAX
    return Deed(SOURCE, reservation.id, revision, cause, reservation.store)


def open_one(book: Wallet, new: Reservation, cause: Event) -> Reservation:
    """Set the points aside; NotEnoughPoints if they are not there."""
    reserved = AccountKind.RESERVED
    parts = wallet.spend(book, deed_of(new, cause), new.points, reserved, cause.time)
    touched = sorted({book.lots[part.lot_id].account_id for part in parts})
    return replace(new, parts=parts, account_ids=tuple(touched), step=new.step + 1)


def check_open(reservation: Reservation, now: datetime, order_id: str | None) -> None:
    """Refuses what has been resolved, or what is another order's, by name."""
    if order_id and reservation.order_id not in {None, order_id}:
        raise OfAnotherOrder
    match reservation.state:
        case "confirmed":
            raise AlreadyConfirmed
        case "cancelled":
            raise AlreadyCancelled
        case "timed_out":
            raise TimedOut
        case "test_order":
            raise OfTestOrder
        case "reserved":
            if reservation.expires_at <= now:
                raise TimedOut


def confirm(
    book: Wallet,
    reservation: Reservation,
    points: int,
    order_id: str | None,
    cause: Event,
    *,
    back: int = 0,
) -> Reservation:
    """Spend `points` of what is set aside, and free the rest; `back` of them are never spent, for
    so much of the order has come back already."""
    if points > reservation.points:
        raise MoreThanReserved(f"points: {reservation.points} are reserved")
    spent, rest = lots.split(reservation.parts, points - back)
    if spent:
        wallet.settle(book, deed_of(reservation, cause), spent)
    if rest:
        wallet.free(book, deed_of(reservation, cause), rest, cause.time)
    return replace(
        reservation,
        parts=tuple(spent),
        order_id=order_id or reservation.order_id,
        state="confirmed",
        confirmed=points,
        given_back=back,
        step=reservation.step + 1,
    )


def bind(reservation: Reservation, order_id: str) -> Reservation:
    """The order has it from now on, and no other."""
    if reservation.order_id:
        return reservation
    return replace(reservation, order_id=order_id, step=reservation.step + 1)


def release(book: Wallet, reservation: Reservation, state: Freed, cause: Event) -> Reservation:
    """Free all that is set aside: to its own lots, with their own dates."""
    wallet.free(book, deed_of(reservation, cause), reservation.parts, cause.time)
    return replace(reservation, parts=(), state=state, step=reservation.step + 1)


def confirm_late(
    book: Wallet,
    reservation: Reservation,
    points: int,
    order_id: str,
    cause: Event,
    *,
    of: Collection[UUID],
    back: int = 0,
) -> tuple[Reservation, int]:
    """The order is paid though the points are free again: spend what there is of them, less `back`,
    in these accounts, in the order of dates; how many are missing."""
    wanted = points - back
    there = min(wanted, book.spendable(cause.time, of))
    parts: tuple[Part, ...] = ()
    if there:
        deed, redeemed = deed_of(reservation, cause), AccountKind.REDEEMED
        parts = wallet.spend(book, deed, there, redeemed, cause.time, of=of)
    after = replace(
        reservation,
        parts=parts,
        order_id=order_id,
        state="confirmed",
        confirmed=there + back,
        given_back=back,
        step=reservation.step + 1,
    )
    return after, wanted - there


def give_back(
    book: Wallet, reservation: Reservation, points: int, cause: Event
) -> tuple[Reservation, int]:
    """Give back so many in all, to the lots they came from; how many of them are new."""
    more = min(points, reservation.confirmed) - reservation.given_back
    if more <= 0:
        return reservation, 0
    back, kept = lots.split(reservation.parts[::-1], more)  # the last to expire first
    wallet.give_back(book, deed_of(reservation, cause), back, cause.time)
    after = replace(
        reservation,
        parts=tuple(kept[::-1]),
        given_back=reservation.given_back + more,
        step=reservation.step + 1,
    )
    return after, more
