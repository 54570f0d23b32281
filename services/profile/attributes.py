"""What the customer is like: the newest value of each attribute, by the event's time. Pure.

A value carries the stamp of the event that told it, so late and doubled events change
nothing and members' attributes merge. A null clears the attribute and keeps its stamp. The
shop's own attributes are named `custom.<name>`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.events.customers import CustomerAttributes, CustomerRegistered
from shared.events.envelope import Event

NAMED = frozenset(
    {"email", "phone", "name", "gender", "birthday", "locale", "zone", "country", "city"}
)
Stamp = tuple[str, str, str]  # time in UTC with all its digits, so that it sorts as text


@dataclass(frozen=True, slots=True)
class Attributes:
    """One id's attributes; every name in `values` is in `stamps`."""

    customer_id: str
    values: dict[str, Any]
    stamps: dict[str, Stamp]


def stamp_of(time: datetime, source: str = "", id_: str = "") -> Stamp:
    """Equal and ordered as (time, source, id) are."""
    return (time.astimezone(UTC).isoformat(timespec="microseconds"), source, id_)


def learn(known: Attributes, event: Event) -> Attributes:
    """With what this event tells, where nothing newer is known."""
    stamp = stamp_of(*event.order)
    values, stamps = dict(known.values), dict(known.stamps)
    for name, value in told(event).items():
        if name in stamps and stamp <= tuple(stamps[name]):
            continue
        stamps[name] = stamp
        if value is None:
            values.pop(name, None)
        else:
            values[name] = value
    return Attributes(known.customer_id, values, stamps)


def told(event: Event) -> dict[str, Any]:
    """What a `customer.registered` or `customer.updated` says, null where it clears."""
    fact: CustomerAttributes = event.data
    values = {name: getattr(fact, name) for name in NAMED & fact.model_fields_set}
    values |= {f"custom.{name}": value for name, value in fact.attributes.items()}
    if isinstance(fact, CustomerRegistered):
        values["registered_at"] = (fact.registered_at or event.time).isoformat()
        if fact.referral_code:
            values["referral_code"] = fact.referral_code
    return values


def join(members: Iterable[Attributes], customer_id: str) -> Attributes:
    """The person's: of each attribute the newest among the members."""
    values: dict[str, Any] = {}
    stamps: dict[str, Stamp] = {}
    for member in members:
        for name, stamp in member.stamps.items():
            if name in stamps and tuple(stamp) <= stamps[name]:
                continue
            stamps[name] = stamp[0], stamp[1], stamp[2]
            values.pop(name, None)
            if name in member.values:
                values[name] = member.values[name]
    return Attributes(customer_id, values, stamps)


def since(known: Attributes, until: datetime) -> Attributes:
    """What was told after `until`: the rest that an erasure leaves."""
    limit = stamp_of(until)[0]
    stamps = {name: stamp for name, stamp in known.stamps.items() if stamp[0] > limit}
    values = {name: value for name, value in known.values.items() if name in stamps}
    return Attributes(known.customer_id, values, stamps)
