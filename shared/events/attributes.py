"""CloudEvents attributes, read from strings that a stranger sent: each has its check here.

They come under the names of Kafka's binding (`ce_id`), in structured mode too. A check
raises Reject with the attribute's name and what to do, and never quotes the value.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from shared.errors import Reject

FUTURE_MAX = timedelta(hours=1)
OWN_SOURCES = "regulars/"  # the services; a rehearsal may set their clock ahead
"""A producer's clock may be this wrong; more would reorder a customer's whole history."""

CHARS_MAX = {"id": 200, "source": 200, "type": 100}
"""`(consumer, source, id)` is an index entry: at 4 bytes a character it still fits a page."""

MAJOR = "1"
"""The major version of every model in this release."""

_FUTURE_MAX_MS = FUTURE_MAX // timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Attributes = Mapping[str, Any]


def text(attributes: Attributes, name: str) -> str:
    """A required attribute: `id`, `source` or `type`."""
    value = attributes.get(f"ce_{name}")
    if not value:
        raise Reject(f"{name}: missing or empty; set the CloudEvents attribute (ce_{name})")
    if not isinstance(value, str) or len(value) > CHARS_MAX[name] or "\0" in value:
        raise Reject(f"{name}: must be text of at most {CHARS_MAX[name]} characters without NUL")
    return value


def check_specversion(attributes: Attributes) -> None:
    """Any minor version of CloudEvents 1 reads the same."""
    value = attributes.get("ce_specversion")
    if value != "1.0" and not (isinstance(value, str) and value.startswith("1.")):
        raise Reject("specversion: must be 1.0 (ce_specversion)")


def check_dataschema(attributes: Attributes, type_: str) -> None:
    """Absent means version 1; a schema that is not ours says nothing to us."""
    value = attributes.get("ce_dataschema")
    if not isinstance(value, str) or not value.startswith("urn:regulars:"):
        return
    name, _, major = value.removeprefix("urn:regulars:").rpartition(":")
    if name != type_:
        raise Reject("dataschema: names another type than the attribute type")
    if major != MAJOR:
        raise Reject(f"dataschema: this release reads version {MAJOR} of {type_}; send that")


def time(attributes: Attributes, appended_ms: int) -> datetime:
    """When the fact became true, in UTC; `appended_ms` below 0: no append time to compare with."""
    value = attributes.get("ce_time")
    if not value or not isinstance(value, str):
        raise Reject("time: missing; say when the fact became true (ce_time, RFC 3339)")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise Reject("time: has no offset from UTC; end it with Z or +08:00")
        if moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Reject("time: not an RFC 3339 time such as 2026-01-31T08:00:00Z") from None
    if moment < _EPOCH:
        raise Reject("time: before 1970; say when the fact became true")
    ours = str(attributes.get("ce_source", "")).startswith(OWN_SOURCES)  # under REGULARS_CLOCK
    if 0 <= appended_ms < moment.timestamp() * 1000 - _FUTURE_MAX_MS and not ours:
        raise Reject("time: over an hour in the future; check the producer's clock and zone")
    return moment


def backfill(attributes: Attributes) -> bool:
    """Whether the event is history. A slip here would write to people about the past: be strict."""
    match attributes.get("ce_backfill"):
        case None | False | "false":
            return False
        case True | "true":
            return True
        case _:
            raise Reject("backfill: must be true or false, in lower case (ce_backfill)")


def traceparent(attributes: Attributes) -> str:
    """W3C trace context; one that is not well formed is no reason to lose an event."""
    value = attributes.get("traceparent") or attributes.get("ce_traceparent")
    return value if isinstance(value, str) and len(value) == 55 else ""


def explain(error: ValidationError) -> str:
    """Which fields of the data are wrong, and how, without their values.

    The keys under a free dictionary are the sender's own text, so they are not quoted.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [
        f"{_place(item['loc'])}: {item['msg'].removeprefix('Value error, ')}" for item in found
    ]
    more = f"; and {len(shown) - 5} more" if len(shown) > 5 else ""
    return "data: " + "; ".join(shown[:5]) + more


def _place(location: tuple[int | str, ...]) -> str:
    names: list[str] = []
    for part in location:
        if names and names[-1] in {"attributes", "traits", "erased", "gone_by"}:
            return ".".join((*names, "*"))
        names.append(str(part))
    return ".".join(names) or "(the whole)"
