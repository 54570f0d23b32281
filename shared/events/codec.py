"""Between Kafka's bytes and an Event: CloudEvents 1.0, Kafka binding.

We write binary mode (attributes in `ce_*` headers, data in the value) and read binary and
structured mode. What becomes of a record that is not a plain event:

| record | fate |
| --- | --- |
| JSON that does not parse, data that breaks its model, text with a NUL | Reject |
| `id`, `source`, `type` or `time` missing, empty or too long | Reject |
| `specversion` other than 1.x, a data schema of another type or major version | Reject |
| `time` naive, unreadable, or over an hour past the record's append time | Reject |
| `backfill` that is neither true nor false | Reject |
| value over EVENT_BYTES_MAX | Reject |
| a type that this release does not know | Unknown: skipped and counted |
| a known type on another topic | Reject |
| null key, or a key that the data contradicts | Reject |
| null value on a compacted topic | a withdrawal of what the key names |
| null value on any other topic | Reject |

A Reject's message names the field and what to do, and never quotes a value: it is logged,
stored and shown to people who may not see the customer's data.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from shared.errors import Reject
from shared.events import attributes as ce
from shared.events.envelope import Event, Fact, derived_id
from shared.events.registry import (
    KEY_NAMES,
    KEY_OF,
    KINDS,
    TOPIC_OF,
    TOPICS_OF,
    nearest,
)
from shared.events.withdrawals import withdrawal
from shared.message import Message

EVENT_BYTES_MAX = 1024 * 1024
"""The value of one record: room for an order of 3,000 long lines."""

_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event of a type that this release does not know: the producer is ahead, or misspelt."""

    type: str
    source: str


def decode(message: Message) -> Event | Unknown:
    """Read a record; raises Reject. See the module's table for what becomes of what."""
    if message.key is None:
        raise Reject(f"the record has no key; set it to the {_key_name(message.topic)}")
    try:
        key = message.key.decode()
        headers = {name: text.decode() for name, text in message.headers if text}
    except UnicodeDecodeError:
        raise Reject("the key or a header is not UTF-8; encode it as UTF-8") from None
    value = message.value
    if value is None:
        return withdrawal(message, key)
    check_value(value)
    content_type = headers.get("content-type", "")
    if content_type[:23].lower() == "application/cloudevents":
        attributes, data = _document(content_type, value)
        return _event(attributes, data, message, key)
    return _event(headers, value, message, key)


def encode(event: Event) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of the event in binary mode; fields that were never set are not written."""
    time = event.time.isoformat()
    return encode_data(event.data), binary_headers(
        event.id,
        event.source,
        event.type,
        time,
        backfill=event.backfill,
        traceparent=event.traceparent,
    )


def encode_data(data: Fact) -> bytes:
    """The value in binary mode."""
    value: bytes = data.__pydantic_serializer__.to_json(data, exclude_unset=True)
    return value


def binary_headers(  # the outbox keeps these six as columns
    id_: str, source: str, type_: str, time: str, *, backfill: bool, traceparent: str
) -> list[tuple[str, bytes]]:
    """The headers in binary mode; `time` as ISO 8601 with its zone."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id_.encode()),
        ("ce_source", source.encode()),
        ("ce_type", type_.encode()),
        ("ce_time", time.encode()),
        ("content-type", b"application/json"),
    ]
    if backfill:
        headers.append(("ce_backfill", b"true"))
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def structured(event: Event) -> dict[str, Any]:
    """The event as one JSON object: what the HTTP intake takes, and what examples show."""
    document = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": event.data.model_dump(mode="json", exclude_unset=True),
    }
    if event.backfill:
        document["backfill"] = True
    if event.traceparent:
        document["traceparent"] = event.traceparent
    return document


def from_structured(document: dict[str, Any], *, received: datetime | None = None) -> Event:
    """An event from one JSON object; `received` is now, for the check of future times.

    Raises Reject, for an unknown type too: who sends over HTTP can be told.
    """
    attributes, data = _parts(document)
    name = ce.text(attributes, "type")
    if name not in TOPIC_OF:
        close = nearest(name, TOPIC_OF)
        raise Reject(f"type: not known{f'; did you mean {close}?' if close else ''}")
    received_ms = int(received.timestamp() * 1000) if received else -1
    message = Message(TOPIC_OF[name], -1, -1, received_ms, None, None)
    event = _event(attributes, data, message, None)
    assert isinstance(event, Event)
    check_value(encode(event)[0])
    return event


def make(
    type: str,  # noqa: A002 -- CloudEvents' own name
    data: Fact,
    *,
    id: str,  # noqa: A002 -- CloudEvents' own name
    source: str,
    time: datetime,
    backfill: bool = False,
    topic: str = "",
    traceparent: str = "",
) -> Event:
    """A new event; topic and key follow from type and data. `topic` only where a type has two."""
    topic = topic or TOPIC_OF[type]
    assert isinstance(data, KINDS[topic][type].model), f"{type} carries another model"
    assert time.tzinfo is not None, "an event's time is aware"
    return Event(
        id=id,
        source=source,
        type=type,
        time=time.astimezone(UTC),
        topic=topic,
        key=KEY_OF[topic](data),
        data=data,
        backfill=backfill,
        traceparent=traceparent,
    )


def follow(
    cause: Event,
    name: str,
    type: str,  # noqa: A002 -- CloudEvents' own name
    data: Fact,
    *,
    source: str,
    time: datetime | None = None,
    topic: str = "",
) -> Event:
    """What follows from `cause`: the same id however often it arrives; history stays history.

    `name` sets this consequence apart from the others of the same cause.
    """
    return make(
        type,
        data,
        id=derived_id(cause, name),
        source=source,
        time=time or cause.time,
        backfill=cause.backfill,
        topic=topic,
        traceparent=cause.traceparent,
    )


def check_value(value: bytes) -> None:
    """Refuse what no handler could store: too large, or with a NUL, which PostgreSQL has not."""
    if len(value) > EVENT_BYTES_MAX:
        raise Reject(f"the value is over {EVENT_BYTES_MAX} bytes; make the event smaller")
    if b"\\u0000" in value and _ESCAPED_NUL.search(value):
        raise Reject("a text contains the character NUL; remove it")


def _event(
    attributes: dict[str, Any], data: Any, message: Message, key: str | None
) -> Event | Unknown:
    """From attributes and data (bytes in binary mode) to an Event, through every check."""
    identity = ce.text(attributes, "id")
    source = ce.text(attributes, "source")
    name = ce.text(attributes, "type")
    ce.check_specversion(attributes)
    kind = KINDS.get(message.topic, {}).get(name)
    if kind is None:
        if name in TOPICS_OF:
            topics = " or ".join(TOPICS_OF[name])
            raise Reject(f"type: {name} does not belong on this topic; send it to {topics}")
        return Unknown(name, source)
    ce.check_dataschema(attributes, name)
    time = ce.time(attributes, message.timestamp_ms)
    try:
        binary = isinstance(data, bytes)
        fact = kind.validate_json(data) if binary else kind.model.model_validate(data)
    except ValidationError as error:
        raise Reject(ce.explain(error)) from None
    own = kind.key_of(fact)
    if key is not None and key != own:
        expected = _key_name(message.topic)
        raise Reject(f"the record's key is not the data's {expected}; they must be equal")
    return Event(
        id=identity,
        source=source,
        type=name,
        time=time,
        topic=message.topic,
        key=own,
        data=fact,
        backfill=ce.backfill(attributes),
        traceparent=ce.traceparent(attributes),
        partition=message.partition,
        offset=message.offset,
    )


def _document(content_type: str, value: bytes) -> tuple[dict[str, Any], Any]:
    """Attributes and data of structured mode."""
    if content_type.partition(";")[0].strip().lower() != "application/cloudevents+json":
        raise Reject("content-type: only application/cloudevents+json is read, one event a record")
    try:
        document = from_json(value)
    except ValueError:
        raise Reject("the value is not JSON; send one CloudEvents JSON object") from None
    if not isinstance(document, dict):
        raise Reject("the value is not a JSON object; send one CloudEvents JSON object")
    return _parts(document)


def _parts(document: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Attributes, under the names that they have as headers, and data."""
    attributes = {f"ce_{name}": value for name, value in document.items() if name != "data"}
    return attributes, document.get("data")


def _key_name(topic: str) -> str:
    return KEY_NAMES.get(topic, "customer_id")
