"""A coupon: a reward in a member's hand, and what becomes of it, once. Pure.

    issued -> reserved -> used
    issued | reserved -> used, void
    reserved -> issued              freed, or its time is over
    used -> issued                  its order was cancelled

A coupon's end is a matter of time alone: past `expires_at` it is worth nothing, whether or
not any job has run, and there is no state for it. What a checkout reserved in time may still
be used until the reservation's own end. Every action is idempotent for the same order: what
has been done is answered as it was; every other refusal has its name.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, assert_never
from uuid import UUID

from services.loyalty.books.lots import Part
from shared.errors import Conflict
from shared.events.envelope import Event

State = Literal["issued", "reserved", "used", "void"]
Shown = Literal["issued", "reserved", "used", "void", "expired"]
"""What a reader is told: time has its say."""
Action = Literal["issue", "reserve", "use", "free", "give_back", "void"]


class CouponExpired(Conflict):
    """The coupon's time is over."""


class CouponUsed(Conflict):
    """The coupon has been used."""


class CouponVoid(Conflict):
    """The coupon has been made void."""


class CouponReserved(Conflict):
    """Another order holds the coupon; it is free again when that is paid elsewise or times out."""


class NotTheirs(Conflict):
    """Only the member who got the coupon may use it."""


@dataclass(frozen=True, slots=True)
class Coupon:
    """One issue of a reward. `reward_version` is what it is worth, whatever comes later."""

    id: UUID
    customer_id: str | None
    """None: erased."""
    reward_id: str
    reward_version: int
    issued_at: datetime
    expires_at: datetime | None = None
    """The first moment at which it can no longer be reserved or used; None: never."""
    state: State = "issued"
    code: str | None = None
    """As it is shown; None where there is none to show: it is over, or it never had one."""
    digest: bytes | None = None
    """By which the code is found."""
    points: int = 0
    parts: tuple[Part, ...] = ()
    """What was paid for it, by lot: given back when it is made void."""
    order_id: str | None = None
    reserved_until: datetime | None = None
    step: int = 1
    """How often it has changed."""

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def is_held(self, now: datetime) -> bool:
        """A checkout holds it."""
        until = self.reserved_until
        return self.state == "reserved" and until is not None and now < until

    def shown(self, now: datetime) -> Shown:
        if self.state in {"used", "void"} or self.is_held(now):
            return self.state
        return "expired" if self.is_over(now) else "issued"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a coupon's history: what it was after an action, or what was refused."""

    coupon: Coupon
    action: Action
    order_id: str | None
    cause: Event
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Reserve:
    """A checkout sets it aside for an order, for a time."""

    order_id: str
    lasting: timedelta


@dataclass(frozen=True, slots=True)
class Use:
    """An order has it."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Free:
    """A checkout lets go of it; what was used stays used."""

    order_id: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Its order was cancelled: it is the member's again, until its own end."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Void:
    """It counts no more."""


Deed = Reserve | Use | Free | GiveBack | Void


def act(coupon: Coupon, deed: Deed, now: datetime) -> Coupon:
    """The coupon after the deed: the same object if that has been done already, or changes
    nothing; else one step on. Raises the name of what forbids it."""
    match deed:
        case Reserve(order_id, lasting):
            return _reserve(coupon, order_id, now, lasting)
        case Use(order_id):
            return _use(coupon, order_id, now)
        case Free(order_id):
            return _free(coupon, order_id, now)
        case GiveBack(order_id):
            return _give_back(coupon, order_id)
        case Void():
            return _void(coupon, now)
        case _:
            assert_never(deed)


def _reserve(coupon: Coupon, order_id: str, now: datetime, lasting: timedelta) -> Coupon:
    if coupon.state == "used" and coupon.order_id == order_id:
        return coupon
    own = coupon.order_id == order_id
    if coupon.is_held(now) and own and coupon.is_over(now):
        return coupon  # what was set aside in time keeps its time, and gets no more
    _check_open(coupon, order_id, now)
    until = now + lasting
    if coupon.is_held(now) and own and coupon.reserved_until and coupon.reserved_until >= until:
        return coupon
    return _step(coupon, state="reserved", order_id=order_id, reserved_until=until)


def _use(coupon: Coupon, order_id: str, now: datetime) -> Coupon:
    if coupon.state == "used" and coupon.order_id == order_id:
        return coupon
    if not (coupon.is_held(now) and coupon.order_id == order_id):
        _check_open(coupon, order_id, now)
    return _step(coupon, state="used", order_id=order_id, reserved_until=None)


def _free(coupon: Coupon, order_id: str, now: datetime) -> Coupon:
    match coupon.state:
        case "void":
            raise CouponVoid
        case "used":
            raise CouponUsed("an order has it; only the order's cancellation gives it back")
        case "reserved" if coupon.order_id == order_id:
            return _step(coupon, state="issued", order_id=None, reserved_until=None)
        case "reserved" if coupon.is_held(now):
            raise CouponReserved
        case _:
            return coupon


def _give_back(coupon: Coupon, order_id: str) -> Coupon:
    if coupon.state in {"reserved", "used"} and coupon.order_id == order_id:
        return _step(coupon, state="issued", order_id=None, reserved_until=None)
    return coupon


def _void(coupon: Coupon, now: datetime) -> Coupon:
    if coupon.state == "void":
        return coupon
    if coupon.state == "used":
        raise CouponUsed
    if coupon.is_held(now):
        raise CouponReserved("a checkout holds it: free it first")
    return _step(coupon, state="void", order_id=None, reserved_until=None)


def _check_open(coupon: Coupon, order_id: str, now: datetime) -> None:
    """Refuses what cannot be had for this order now."""
    if coupon.state == "used":
        raise CouponUsed
    if coupon.state == "void" or coupon.customer_id is None:
        raise CouponVoid
    if coupon.is_held(now) and coupon.order_id != order_id:
        raise CouponReserved(headers={"Retry-After": "60"})
    if coupon.is_over(now):
        raise CouponExpired


def _step(
    coupon: Coupon, *, state: State, order_id: str | None, reserved_until: datetime | None
) -> Coupon:
    return replace(
        coupon,
        state=state,
        order_id=order_id,
        reserved_until=reserved_until,
        step=coupon.step + 1,
    )
