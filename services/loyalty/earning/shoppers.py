"""What is known of who buys: single facts, each the newest by the event's time. Pure.

A fact's name is `birthday`, `joined`, `segment/<id>` or `attribute/<name>`. Each keeps the
stamp of the event that told it, so events in any order, doubled or late, leave the same
facts; a person's are the newest among all his ids.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.loyalty.terms.cart import Shopper
from shared.events.customers import CustomerAttributes, CustomerRegistered
from shared.events.envelope import Event
from shared.events.profiles import ProfileChanged, SegmentEntered, SegmentFact

Stamp = tuple[datetime, str, str]
"""Time, source and id of the event."""
ALWAYS = frozenset({"joined"})
"""Facts that are told with every shopper."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of one id; a `value` of None: no longer so."""

    customer_id: str
    name: str
    value: Any
    stamp: Stamp


def told(event: Event) -> Iterator[Fact]:
    """The facts that an event tells."""
    data = event.data
    match data:
        case SegmentFact():
            entered = isinstance(data, SegmentEntered)
            yield Fact(event.key, f"segment/{data.segment_id}", entered or None, event.order)
        case ProfileChanged():
            for name, value in {**data.traits, **data.attributes}.items():
                yield Fact(event.key, f"attribute/{name}", value, event.order)
        case CustomerAttributes():
            if "birthday" in data.model_fields_set:
                yield Fact(event.key, "birthday", data.birthday, event.order)
            if isinstance(data, CustomerRegistered):
                joined = data.registered_at or event.time
                yield Fact(event.key, "joined", joined.isoformat(), event.order)


def newest(facts: Iterable[Fact]) -> dict[tuple[str, str], Fact]:
    """Of each id and name the newest."""
    found: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        known = found.get((fact.customer_id, fact.name))
        if known is None or known.stamp < fact.stamp:
            found[fact.customer_id, fact.name] = fact
    return found


def shopper_of(customer_id: str, facts: Iterable[Fact], orders: int) -> Shopper:
    """The person behind `customer_id`, by the facts of all his ids."""
    held: dict[str, Any] = {}
    for fact in sorted(facts, key=lambda fact: fact.stamp):
        held[fact.name] = fact.value
    joined = held.get("joined")
    return Shopper(
        customer_id,
        segments=frozenset(
            name.removeprefix("segment/")
            for name, value in held.items()
            if value and name.startswith("segment/")
        ),
        attributes={
            name.removeprefix("attribute/"): value
            for name, value in held.items()
            if value is not None and name.startswith("attribute/")
        },
        birthday=held.get("birthday") or "",
        orders_before=orders,
        joined_at=datetime.fromisoformat(joined) if joined else None,
    )
