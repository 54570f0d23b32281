"""Events and the records that carry them, whole or with a part replaced."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events.codec import decode, encode, make, structured
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot
from shared.message import Message

TIME = datetime(2026, 1, 31, 8, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TOPIC = "shop.orders.v1"
CLOUD = "application/cloudevents+json; charset=UTF-8"


def order(**changes: Any) -> OrderSnapshot:
    line = Line(line_id="1", product_id="mug", quantity=2, unit_price_minor=1200, total_minor=2400)
    given: dict[str, Any] = {
        "customer_id": "ada",
        "order_id": "o-1",
        "revision": 1,
        "store": "main",
    }
    given |= {"currency": "EUR", "total_minor": 2400, "lines": (line,)}
    return OrderSnapshot(**(given | changes))


def placed(data: OrderSnapshot | None = None, **changes: Any) -> Event:
    given: dict[str, Any] = {"id": "e-1", "source": "shop", "time": TIME}
    return make("order.placed", data or order(), **(given | changes))


def message(
    event: Event,
    *,
    value: bytes | None = None,
    key: bytes | None = None,
    **headers: bytes | None,
) -> Message:
    """The record of the event, with some of it replaced; a header of None is left out."""
    body, found = encode(event)
    changed = dict(found) | {name.replace("__", "-"): text for name, text in headers.items()}
    return Message(
        topic=event.topic,
        partition=3,
        offset=41,
        timestamp_ms=int((event.time + timedelta(seconds=1)).timestamp() * 1000),
        key=event.key.encode() if key is None else key,
        value=body if value is None else value,
        headers=tuple((name, text) for name, text in changed.items() if text is not None),
    )


def structured_message(event: Event, **changes: Any) -> Message:
    value = json.dumps(structured(event) | changes).encode()
    return message(event, value=value, content__type=CLOUD.encode())


def bare(key: bytes, topic: str = TOPIC) -> Message:
    return Message(topic, 3, 41, int(TIME.timestamp() * 1000), key, None)


def without(data: bytes, *names: str) -> bytes:
    return json.dumps({k: v for k, v in json.loads(data).items() if k not in names}).encode()


def amended(event: Event, **changes: Any) -> bytes:
    return json.dumps(json.loads(encode(event)[0]) | changes).encode()


def read(record: Message) -> Event:
    """The event in a record that holds one of a known type."""
    event = decode(record)
    assert isinstance(event, Event)
    return event
