"""What a shop publishes, in few words, and the loop from our outbox back to us."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from services.profile.handlers import TOPICS
from shared.events import codec
from shared.events.browse import ProductViewed
from shared.events.customers import (
    CustomerConsented,
    CustomerDeleted,
    CustomerIdentified,
    CustomerRegistered,
    CustomerUpdated,
)
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot
from shared.testing import Door

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
_numbers = count(1)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def event(type_: str, data: Any, minutes: float, *, id_: str = "", **more: Any) -> Event:
    identity = id_ or f"e{next(_numbers)}"
    return codec.make(type_, data, id=identity, source="shop", time=at(minutes), **more)


def order(
    customer: str = "ada",
    order_id: str = "o1",
    *,
    type_: str = "order.placed",
    revision: int = 1,
    minutes: float = 0,
    price: int = 1000,
    quantity: int = 2,
    **more: Any,
) -> Event:
    """One line of `quantity` pieces; `line` is more of it, anything else more of the order."""
    line = Line(
        line_id="1",
        product_id="mug",
        quantity=quantity,
        unit_price_minor=price,
        total_minor=price * quantity,
        **more.pop("line", {}),
    )
    id_ = more.pop("id_", "")
    fields: dict[str, Any] = {
        "store": "default",
        "currency": "EUR",
        "total_minor": price * quantity,
        "lines": (line,),
        "placed_at": NOON,
        **more,
    }
    snapshot = OrderSnapshot(customer_id=customer, order_id=order_id, revision=revision, **fields)
    return event(type_, snapshot, minutes, id_=id_)


def registered(customer: str = "ada", minutes: float = 0, **fields: Any) -> Event:
    return event("customer.registered", CustomerRegistered(customer_id=customer, **fields), minutes)


def updated(customer: str = "ada", minutes: float = 0, **fields: Any) -> Event:
    return event("customer.updated", CustomerUpdated(customer_id=customer, **fields), minutes)


def identified(anonymous: str, customer: str = "ada", minutes: float = 0) -> Event:
    fact = CustomerIdentified(customer_id=customer, anonymous_id=anonymous)
    return event("customer.identified", fact, minutes)


def consented(customer: str = "ada", minutes: float = 0, *, granted: bool = True) -> Event:
    fact = CustomerConsented(
        customer_id=customer, purpose="marketing", channel="email", granted=granted
    )
    return event("customer.consented", fact, minutes)


def deleted(customer: str = "ada", minutes: float = 0) -> Event:
    return event("customer.deleted", CustomerDeleted(customer_id=customer), minutes)


def viewed(customer: str = "ada", minutes: float = 0, product: str = "mug") -> Event:
    fact = ProductViewed(customer_id=customer, store="default", product_id=product)
    return event("product.viewed", fact, minutes)


async def come_round(door: Door) -> list[Event]:
    """What profile publishes comes back to it, until it has nothing more to say."""
    told: list[Event] = []
    while news := await door.published():
        told += news
        await door.give(*[news for news in news if news.topic in TOPICS])
    return told


async def profile(door: Door, customer: str = "ada") -> dict[str, Any]:
    async with door.client() as http:
        answer = await http.get(f"/v1/profiles/{customer}")
    return answer.json() if answer.is_success else {"status": answer.status_code}


async def state(door: Door) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that is a view of the events."""
    tables = ("profile", "order_state", "timeline", "consent", "identity", "identity_link")
    return {
        table: sorted(map(tuple, await door.query(f"SELECT * FROM {table}")), key=repr)
        for table in tables
    }


def replace_id(event: Event, id_: str) -> Event:
    """The same event under another id."""
    return replace(event, id=id_)
