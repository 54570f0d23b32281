"""What events tell of referrals: who invited whom, who registered, orders, signals. Pure.

Of personal data only a keyed hash leaves this module.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.loyalty.benefits import codes
from services.loyalty.books import points
from services.loyalty.inviting.referrals import OrderFact, Signal, SignalKind
from shared.events.customers import CustomerAttributes, CustomerRegistered
from shared.events.engagement import ReferralInvited
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot
from shared.events.profiles import ProfileMerged, ProfileUnmerged
from shared.stores import Stores

Digest = Callable[[str], bytes]
"""A keyed hash."""
NOT_A_DIGIT = re.compile(r"\D")


@dataclass(frozen=True, slots=True)
class Invitation:
    """Somebody invited: by a code (its digest), by name, or both. No id: his own code."""

    customer_id: str
    referral_id: str
    code: bytes | None
    invited_id: str | None
    invited_at: datetime


@dataclass(frozen=True, slots=True)
class Registration:
    """Somebody registered with a code."""

    customer_id: str
    code: bytes
    store: str
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """What a batch tells, each thing once."""

    invitations: dict[tuple[str, str], Invitation] = field(default_factory=dict)
    registrations: dict[str, Registration] = field(default_factory=dict)
    orders: dict[str, OrderFact] = field(default_factory=dict)
    signals: dict[tuple[str, SignalKind, bytes], Signal] = field(default_factory=dict)
    due: set[str] = field(default_factory=set)
    """Whose own referral is to be judged anew."""
    wide: set[str] = field(default_factory=set)
    """Of whom also the friends'."""


def told(events: Iterable[Event], stores: Stores, digest: Digest) -> Told:
    found = Told()
    for event in events:
        if points.is_guest(event.key):
            continue
        _add(found, event, stores)
        for kind, value, at in _seen(event):
            signal = Signal(event.key, kind, digest(f"{kind}/{value}"), at)
            key = (event.key, kind, signal.digest)
            known = found.signals.get(key)
            if known is None or signal.seen_at < known.seen_at:
                found.signals[key] = signal
            found.due.add(event.key)
    return found


def _add(found: Told, event: Event, stores: Stores) -> None:
    data = event.data
    match data:
        case ReferralInvited():
            code = codes.digest(data.referral_code) if data.referral_code else None
            key = (event.key, data.referral_id)
            invited = Invitation(*key, code, data.invited_customer_id, event.time)
            found.invitations.setdefault(key, invited)
            found.wide.add(event.key)
            found.due.add(data.invited_customer_id or event.key)
        case CustomerRegistered():
            found.wide.add(event.key)
            if data.referral_code and not event.backfill:
                new = Registration(
                    event.key,
                    codes.digest(data.referral_code),
                    data.store or "",
                    data.registered_at or event.time,
                )
                known = found.registrations.get(event.key)
                if known is None or new.registered_at < known.registered_at:
                    found.registrations[event.key] = new
        case OrderSnapshot():
            found.due.add(event.key)
            _add_order(found, order_fact(event, stores))
        case ProfileMerged():
            found.wide.update({event.key, *data.members})
        case ProfileUnmerged():
            found.wide.update({event.key, *data.members, *data.removed})


def _add_order(found: Told, new: OrderFact) -> None:
    known = found.orders.get(new.order_id)
    if known:
        placed_at = min(known.placed_at, new.placed_at)
        new = replace(max((known, new), key=lambda one: one.revision), placed_at=placed_at)
    found.orders[new.order_id] = new


def order_fact(event: Event, stores: Stores) -> OrderFact:
    """What of the order matters for a referral. Money in minor units of the base currency."""
    order: OrderSnapshot = event.data
    paid = points.judge(event.type, order, stores) == "earns"
    net: dict[str, int] = {}
    if paid and not points.is_void(event.type, order.lines):
        bases = points.bases_of(order, stores.base_currency)
        lines = {line.line_id: line for line in order.lines}
        net = {id_: points.kept(basis, lines[id_], order) for id_, basis in bases.items()}
    waiting = {id_ for id_, minor in net.items() if minor > 0}
    return OrderFact(
        order.order_id,
        event.key,
        order.revision,
        order.placed_at or event.time,
        event.time,
        order.store,
        paid,
        max(0, sum(net.values())),
        bool(waiting) and waiting <= points.arrivals(event.type, order.lines),
    )


def _seen(event: Event) -> Iterator[tuple[SignalKind, str, datetime]]:
    """What the customer was seen with, as it is compared, and when."""
    data = event.data
    match data:
        case CustomerAttributes():
            email, phone, address, at = data.email, data.phone, "", event.time
            device = data.device_id if isinstance(data, CustomerRegistered) else ""
        case OrderSnapshot():
            email = data.contact.email if data.contact else None
            phone = data.contact.phone if data.contact else None
            device, address = data.device_id, data.address_hash
            at = data.placed_at or event.time
        case _:
            return
    told: tuple[tuple[SignalKind, str], ...] = (
        ("email", normal_email(email or "")),
        ("phone", normal_phone(phone or "")),
        ("device", device),
        ("address", address),
    )
    yield from ((kind, value, at) for kind, value in told if value)


def normal_email(typed: str) -> str:
    """As addresses are compared: no case, and without what follows a plus, which all mailboxes
    of one person may differ in."""
    local, _, domain = typed.strip().casefold().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}" if local else ""


def normal_phone(typed: str) -> str:
    """The digits, without the zeros of an international prefix."""
    return NOT_A_DIGIT.sub("", typed).lstrip("0")
