"""What the customer did, in numbers: a fold over orders, browsing and presence. Pure.

Counters, minima and maxima: the same whatever the order of the events and the cutting into
batches, and mergeable, so that a person is the sum of the members' rows. An order changes
the counters by the difference to its last revision seen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.profile.orders import NOTHING, Count, OrderState, state_of
from shared.events.browse import TOPIC as BROWSE
from shared.events.browse import TYPES as BROWSE_TYPES
from shared.events.envelope import Event
from shared.events.orders import TOPIC as ORDERS

OrderKey = tuple[str, str]  # order_id, customer_id


@dataclass(frozen=True, slots=True)
class Traits:
    """One id's counters; see `orders` for what each counts."""

    customer_id: str
    orders: int = 0
    units: int = 0
    spend_minor: int = 0
    placed_orders: int = 0
    placed_minor: int = 0
    orders_left_out: int = 0
    first_order_at: datetime | None = None
    last_order_at: datetime | None = None
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None
    browse: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Folded:
    """After a batch. `bounds` are the ids whose first or last order must be looked up again:
    the order that it was has moved or stands no longer, and the next one is not in the batch.
    """

    traits: dict[str, Traits]
    orders: dict[OrderKey, OrderState] = field(default_factory=dict)
    bounds: set[str] = field(default_factory=set)


def fold(
    traits: Mapping[str, Traits],
    orders: Mapping[OrderKey, OrderState],
    events: Iterable[Event],
    base_currency: str,
) -> Folded:
    """The rows after `events`; `orders` of the result holds only those that changed."""
    after = Folded(dict(traits))
    for event in events:
        row, time = after.traits[event.key], event.time
        if event.topic == ORDERS:
            key = (event.data.order_id, event.key)
            before = after.orders.get(key) or orders.get(key)
            if before is None or event.data.revision > before.revision:
                state = state_of(event, base_currency)
                after.orders[key] = state
                if _moves_bound(row, before, state):
                    after.bounds.add(event.key)
                row = moved(row, time, difference(before, state), _stands_at(state))
            else:
                row = moved(row, time)
        elif event.topic == BROWSE:
            counts = {**row.browse, event.type: row.browse.get(event.type, 0) + 1}
            row = moved(row, time, browse=counts)
        else:
            row = moved(row, time)
        after.traits[event.key] = row
    return after


def difference(before: OrderState | None, state: OrderState) -> Count:
    """What an order's new state adds to the counters."""
    new = state.counted
    if before is None:
        return new
    old = before.counted
    return Count(
        new.orders - old.orders,
        new.units - old.units,
        new.spend_minor - old.spend_minor,
        new.placed_orders - old.placed_orders,
        new.placed_minor - old.placed_minor,
        new.orders_left_out - old.orders_left_out,
    )


def moved(
    row: Traits,
    time: datetime,
    count: Count = NOTHING,
    standing_at: datetime | None = None,
    browse: Mapping[str, int] | None = None,
) -> Traits:
    """The row after something at `time`. (`replace` would cost four times as much.)"""
    return Traits(
        row.customer_id,
        row.orders + count.orders,
        row.units + count.units,
        row.spend_minor + count.spend_minor,
        row.placed_orders + count.placed_orders,
        row.placed_minor + count.placed_minor,
        row.orders_left_out + count.orders_left_out,
        _earlier(row.first_order_at, standing_at),
        _later(row.last_order_at, standing_at),
        _earlier(row.first_seen_at, time),
        _later(row.last_seen_at, time),
        row.browse if browse is None else browse,
    )


def join(rows: Iterable[Traits], customer_id: str) -> Traits:
    """The person: the sum of the members' rows."""
    rows = list(rows)
    browsed: Counter[str] = Counter()
    for row in rows:
        browsed.update(row.browse)
    return Traits(
        customer_id,
        orders=sum(row.orders for row in rows),
        units=sum(row.units for row in rows),
        spend_minor=sum(row.spend_minor for row in rows),
        placed_orders=sum(row.placed_orders for row in rows),
        placed_minor=sum(row.placed_minor for row in rows),
        orders_left_out=sum(row.orders_left_out for row in rows),
        first_order_at=min(filter(None, (row.first_order_at for row in rows)), default=None),
        last_order_at=max(filter(None, (row.last_order_at for row in rows)), default=None),
        browse=dict(browsed),
        first_seen_at=min(filter(None, (row.first_seen_at for row in rows)), default=None),
        last_seen_at=max(filter(None, (row.last_seen_at for row in rows)), default=None),
    )


def rebuild(
    customer_id: str,
    orders: Iterable[OrderState],
    visits: Iterable[tuple[str, int, datetime, datetime]],
) -> Traits:
    """The row of what an erasure leaves: these orders, and (type, count, first, last) of the
    timeline. Events after the erasure's time are a new person's.
    """
    row = Traits(customer_id)
    counts: dict[str, int] = {}
    for type_, count, first, last in visits:
        row = moved(moved(row, first), last)
        if type_ in BROWSE_TYPES:
            counts[type_] = count
    seen = row.first_seen_at
    assert seen, "who was never seen is not kept"
    for state in orders:
        row = moved(row, seen, state.counted, _stands_at(state))
    return replace(row, browse=counts)


def _stands_at(state: OrderState) -> datetime | None:
    return state.placed_at if state.standing else None


def _earlier(known: datetime | None, time: datetime | None) -> datetime | None:
    return time if known is None or (time is not None and time < known) else known


def _later(known: datetime | None, time: datetime | None) -> datetime | None:
    return time if known is None or (time is not None and time > known) else known


def _moves_bound(row: Traits, before: OrderState | None, state: OrderState) -> bool:
    """Whether the first or last order was `before`, and is there no longer."""
    return (
        before is not None
        and before.standing
        and before.placed_at in {row.first_order_at, row.last_order_at}
        and not (state.standing and state.placed_at == before.placed_at)
    )
