"""The events of a small shop."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from shared.events import codec
from shared.events.customers import CustomerRegistered, CustomerUpdated
from shared.events.envelope import Event
from shared.events.fields import Contact, Shipment
from shared.events.orders import Line, OrderSnapshot
from shared.events.profiles import (
    ConsentChanged,
    ErasureRequested,
    ProcessingRestricted,
    ProfileMerged,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
_numbers = count(1)

TEA = Line(
    line_id="1",
    product_id="tea",
    name="Green tea",
    quantity=2,
    unit_price_minor=450,
    total_minor=900,
)
POST = Line(line_id="2", kind="shipping", quantity=1, unit_price_minor=300, total_minor=300)


def event(
    type_: str, data: Any, *, at: datetime = NOON, backfill: bool = False, id_: str = ""
) -> Event:
    identity = id_ or f"e{next(_numbers)}"
    return codec.make(type_, data, id=identity, source="shop", time=at, backfill=backfill)


def order(
    type_: str = "order.placed",
    order_id: str = "o1",
    revision: int = 1,
    *,
    customer: str = "ada",
    at: datetime = NOON,
    backfill: bool = False,
    **more: Any,
) -> Event:
    fields = {"store": "uk", "currency": "GBP", "total_minor": 1200, "lines": (TEA, POST)}
    snapshot = OrderSnapshot(
        customer_id=customer, order_id=order_id, revision=revision, **(fields | more)
    )
    return event(type_, snapshot, at=at, backfill=backfill)


def shipped(number: str = "", pieces: int = 2, revision: int = 3, **more: Any) -> Event:
    lines = (TEA.model_copy(update={"shipped": pieces}), POST)
    parcel = Shipment(carrier="Royal Mail", tracking_number=number) if number else None
    return order("order.shipped", revision=revision, lines=lines, shipment=parcel, **more)


def cancelled(revision: int = 9, **more: Any) -> Event:
    lines = (TEA.model_copy(update={"cancelled": 2}), POST)
    return order("order.cancelled", revision=revision, lines=lines, **more)


def registered(customer: str = "ada", at: datetime = NOON, **more: Any) -> Event:
    fields = {"email": f"{customer}@a.example", "name": customer.title()} | more
    return event("customer.registered", CustomerRegistered(customer_id=customer, **fields), at=at)


def updated(customer: str = "ada", at: datetime = NOON, **more: Any) -> Event:
    return event("customer.updated", CustomerUpdated(customer_id=customer, **more), at=at)


def consent(
    state: str,
    *,
    version: int = 1,
    purpose: str = "transactional",
    channel: str = "email",
    customer: str = "ada",
    at: datetime = NOON,
) -> Event:
    fact = ConsentChanged(
        customer_id=customer, purpose=purpose, channel=channel, state=state, version=version, at=at
    )
    return event("consent.changed", fact, at=at)


def restricted(*, on: bool = True, version: int = 1, customer: str = "ada") -> Event:
    fact = ProcessingRestricted(
        customer_id=customer, request_id="r", restricted=on, members=(customer,), version=version
    )
    return event("processing.restricted", fact)


def merged(*members: str, version: int = 1) -> list[Event]:
    """Each member's copy."""
    return [
        event(
            "profile.merged",
            ProfileMerged(
                customer_id=member, canonical_id=members[0], members=members, version=version
            ),
        )
        for member in members
    ]


def erased(customer: str = "ada", at: datetime = NOON + timedelta(hours=1)) -> Event:
    fact = ErasureRequested(
        customer_id=customer,
        request_id="r",
        members=(customer,),
        erased_until=at,
        deadline=at + timedelta(days=30),
    )
    return event("erasure.requested", fact, at=at)


def contact(**more: Any) -> Contact:
    return Contact(**more)
