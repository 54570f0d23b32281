"""What may be wrong with events, for who builds a producer: one event, and several together.

An error is what a consumer would reject or get wrong; a warning is what is probably not
meant. Texts name fields and may show amounts; they never quote ids, names or addresses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from shared.errors import Reject
from shared.events import codec, orders
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot
from shared.events.registry import MODELS, nearest
from shared.events.unknown import unknown_fields

ATTRIBUTES = (
    *("specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "subject"),
    *("data", "backfill", "traceparent", "tracestate", "partitionkey"),
)
HISTORY_AGE = timedelta(hours=48)
"""An order notice is fresh for this long; an older live event is history in disguise."""

_PERSONAL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|\+\d{8,15}|1[3-9]\d{9}")


class Finding(NamedTuple):
    """One thing to look at, and what to do."""

    severity: Literal["error", "warning"]
    text: str


def check_document(document: Any, *, now: datetime) -> tuple[Event | None, list[Finding]]:
    """One event as a JSON object; `now` is when it would be sent."""
    if not isinstance(document, dict):
        return None, [Finding("error", "not a JSON object; send one CloudEvents object")]
    found = [
        Finding("warning", f"{name}: unknown attribute; did you mean {close}?")
        for name in document
        if name not in ATTRIBUTES and (close := nearest(name, ATTRIBUTES))
    ]
    model = MODELS.get(str(document.get("type")))
    if model:
        found += unknown(model, document.get("data"))
    try:
        event = codec.from_structured(document, received=now)
    except Reject as error:
        return None, [*found, Finding("error", str(error))]
    return event, [*found, *check_event(event, now=now)]


def unknown(model: Any, data: Any) -> list[Finding]:
    """Fields that every consumer would pass over in silence."""
    return [
        Finding("error", f"data.{path}: unknown field{f'; did you mean {near}?' if near else ''}")
        for path, near in unknown_fields(model, data)
    ]


def check_event(event: Event, *, now: datetime) -> Iterator[Finding]:
    """What can be said about one event that reads well."""
    for name in sorted(_personal_ids({"id": event.id, "source": event.source}, "")):
        yield Finding("error", f"{name}: looks like a phone number or e-mail; use an opaque id")
    for name in sorted(_personal_ids(event.data.model_dump(exclude_unset=True), "data.")):
        yield Finding("error", f"{name}: looks like a phone number or e-mail; use an opaque id")
    if now - event.time > HISTORY_AGE and not event.backfill:
        yield Finding("warning", "time: over 48 hours ago; history needs backfill=true")
    if isinstance(event.data, OrderSnapshot):
        yield from _check_order(event.data, paid=event.type != "order.placed")


def _personal_ids(value: Any, path: str) -> set[str]:
    """Paths of ids that look like a person's phone or address; list places are left out."""
    if isinstance(value, tuple | list):
        return {name for item in value for name in _personal_ids(item, path)}
    if not isinstance(value, dict):
        return set()
    found = set()
    for name, item in value.items():
        named = isinstance(item, str) and (name.endswith("id") or name == "source")
        if named and _PERSONAL.fullmatch(item):
            found.add(f"{path}{name}")
        found |= _personal_ids(item, f"{path}{name}.")
    return found


def _check_order(order: OrderSnapshot, *, paid: bool) -> Iterator[Finding]:
    for index, line in enumerate(order.lines):
        yield from _check_line(line, f"data.lines.{index}")
    total = sum(line.total_minor for line in order.lines)
    if total != order.total_minor:
        yield Finding(
            "error",
            f"data.total_minor: {order.total_minor}, but the lines' total_minor sum to {total}; "
            "shipping and fees are lines, order discounts are shared out to lines",
        )
    tendered = sum(tender.amount_minor for tender in order.tenders)
    if order.tenders and tendered != order.total_minor:
        yield Finding(
            "error" if paid else "warning",
            f"data.tenders: amount_minor sums to {tendered}, total_minor is {order.total_minor}",
        )
    if (order.rate is None) != (order.base_total_minor is None):
        yield Finding("warning", "data: base_total_minor and rate belong together; send both")
    if order.customer_id.startswith("guest:"):
        if order.contact is None:
            yield Finding("warning", "data.contact: absent, so nobody can write to this guest")
        if order.customer_id != f"guest:{order.order_id}":
            yield Finding("warning", "data.customer_id: a guest is guest:<order_id>")


def _check_line(line: Line, path: str) -> Iterator[Finding]:
    """Prices contain the tax, or the tax comes on top: either is fine, and shows in the sum."""
    net = line.quantity * line.unit_price_minor - line.discount_minor
    if line.total_minor not in {net, net + line.tax_minor}:
        yield Finding(
            "error",
            f"{path}.total_minor: {line.total_minor}, but quantity x unit_price_minor - "
            f"discount_minor = {line.quantity} x {line.unit_price_minor} - {line.discount_minor} "
            f"= {net}, with tax_minor {net + line.tax_minor}",
        )
    if line.refunded_minor > max(line.total_minor, 0):
        yield Finding("warning", f"{path}.refunded_minor: more than the line's total_minor")
    for name in ("shipped", "delivered"):
        if getattr(line, name) > line.quantity:
            yield Finding("error", f"{path}.{name}: more than quantity; counts are cumulative")
    if line.kind == "product" and line.product_id is None:
        yield Finding("error", f"{path}.product_id: absent; only shipping and fees have none")


@dataclass(slots=True)
class Sequence:
    """What can only be seen between events; holds a digest of the last EVENTS_MAX of them."""

    EVENTS_MAX = 200_000

    _seen: dict[tuple[str, str], int] = field(default_factory=dict)
    _orders: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def check(self, event: Event) -> Iterator[Finding]:
        """Compare with the events before it."""
        digest = hash((event.type, event.time, codec.encode(event)[0]))
        before = self._seen.setdefault((event.source, event.id), digest)
        if before != digest:
            yield Finding("error", "id: used before by this source for another event")
        elif event.topic == orders.TOPIC:
            yield from self._check_revision(event)
        for memory in (self._seen, self._orders):
            if len(memory) > self.EVENTS_MAX:
                memory.pop(next(iter(memory)))  # type: ignore[call-overload]  # its own key

    def _check_revision(self, event: Event) -> Iterator[Finding]:
        order: OrderSnapshot = event.data
        digest = hash((event.type, codec.encode(event)[0]))
        revision, known, customer = self._orders.get(order.order_id, (0, digest, event.key))
        if customer != event.key:
            yield Finding("error", "data.order_id: used before for another customer's order")
        elif order.revision == revision and digest != known:
            yield Finding("error", "data.revision: two events of this order have the same one")
        elif order.revision < revision:
            yield Finding("warning", "data.revision: lower than before, so it changes no state")
        if order.revision >= revision:
            self._orders[order.order_id] = (order.revision, digest, event.key)
