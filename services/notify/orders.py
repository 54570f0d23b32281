"""What of an order is told to its buyer. Pure.

A confirmation arises from `order.placed`, or from `order.paid` where that comes first, and
is one for each order, ever. A shipping notice arises from `order.shipped`: one for each
tracking number, or where there is none, one for each time that more pieces have left. An
event of a lower revision than one we know tells nothing; a newer one may still tell it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.notify.notices import About, Notice, notice_id
from services.notify.policy import RULES, Candidate, Kind, Reason, bar
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot
from shared.stores import Stores

LINES_SHOWN_MAX = 50  # a mail is read; a wholesale order's 3,000 lines are not
PIECES = frozenset({"product", "gift_card", "gift"})

Arising = dict[tuple[str, str], tuple[Kind, UUID]]  # by the event's source and id
Known = Mapping[UUID, Reason | None]


@dataclass(frozen=True, slots=True)
class Order:
    """What we keep of an order's last revision; `shipped` are the pieces of each line."""

    order_id: str
    customer_id: str
    revision: int
    store: str
    cancelled: bool
    shipped: Mapping[str, int]
    contact: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the fold is told besides the events."""

    stores: Stores
    now: datetime
    muted: bool


@dataclass(slots=True)
class Folded:
    """Orders that moved on, and notices that arose; of those, the suppressed in their order."""

    orders: dict[str, Order] = field(default_factory=dict)
    notices: dict[UUID, Notice] = field(default_factory=dict)
    suppressed: list[Notice] = field(default_factory=list)


def arising(events: Iterable[Event]) -> Arising:
    """Which events may tell something, and which notice that is."""
    found: Arising = {}
    for event in events:
        order = event.data
        if not isinstance(order, OrderSnapshot):
            continue
        kind: Kind
        match event.type:
            case "order.placed" | "order.paid":
                kind = "order_confirmation"
                found[event.source, event.id] = (kind, notice_id(kind, order.order_id))
            case "order.shipped":
                kind = "order_shipped"
                id_ = notice_id(kind, order.order_id, _parcel(order))
                found[event.source, event.id] = (kind, id_)
            case _:
                pass
    return found


def fold(
    before: Mapping[str, Order],
    known: Known,
    events: Iterable[Event],
    told: Arising,
    given: Surroundings,
) -> Folded:
    """The orders after `events`, in the order of the log, and the notices on the way.

    `told` is what `arising` finds in `events`; `known` are those of its notices that are
    there already, with their reasons.
    """
    folded = Folded()
    for event in events:
        order = event.data
        if not isinstance(order, OrderSnapshot):
            continue
        old = folded.orders.get(order.order_id) or before.get(order.order_id)
        if (what := told.get((event.source, event.id))) is not None:
            kind, id_ = what
            superseded = old is not None and order.revision < old.revision
            if _is_news(id_, known, folded, superseded=superseded):
                notice = folded.notices[id_] = _notice(event, kind, id_, old, given)
                if notice.reason:
                    folded.suppressed.append(notice)
        if old is None or order.revision > old.revision:
            folded.orders[order.order_id] = _state(order)
    return folded


def _is_news(id_: UUID, known: Known, folded: Folded, *, superseded: bool) -> bool:
    """Only what was suppressed as superseded may be told after all, by a newer revision."""
    if id_ in folded.notices:
        return folded.notices[id_].reason == "superseded" and not superseded
    return id_ not in known or (known[id_] == "superseded" and not superseded)


def _notice(event: Event, kind: Kind, id_: UUID, old: Order | None, given: Surroundings) -> Notice:
    order: OrderSnapshot = event.data
    candidate = Candidate(
        rule=RULES[kind],
        channel="email",
        time=event.time,
        direct_contact=given.stores.get(order.store).direct_contact,
        backfill=event.backfill,
        muted=given.muted,
        test=order.test,
        superseded=old is not None and order.revision < old.revision,
    )
    barred = bar(candidate, given.now)
    about = About(
        id_,
        order.customer_id,
        kind,
        candidate.channel,
        order.order_id,
        order.store,
        traceparent=event.traceparent,
    )
    content = None if barred else _content(event, kind, old)
    reason = barred.reason if barred else None
    return Notice(about, event.time, event.source, event.id, reason, content)


def _parcel(order: OrderSnapshot) -> str:
    """What sets one parcel apart from the order's others."""
    number = order.shipment.tracking_number.strip() if order.shipment else ""
    return f"#{number}" if number else str(sum(line.shipped for line in order.lines))


def _state(order: OrderSnapshot) -> Order:
    pieces = [line for line in order.lines if line.kind in PIECES]
    return Order(
        order_id=order.order_id,
        customer_id=order.customer_id,
        revision=order.revision,
        store=order.store,
        cancelled=bool(pieces) and all(line.cancelled >= line.quantity for line in pieces),
        shipped={line.line_id: line.shipped for line in order.lines if line.shipped},
        contact=_contact(order),
    )


def _contact(order: OrderSnapshot) -> dict[str, str] | None:
    """Who is told about this order, as far as he was named."""
    contact = order.contact
    if contact is None:
        return None
    named = {"email": contact.email, "name": contact.name, "locale": contact.locale}
    return {field: value for field, value in named.items() if value}


def _content(event: Event, kind: Kind, old: Order | None) -> dict[str, Any]:
    """What the template is given, but for the recipient; amounts in minor units."""
    order: OrderSnapshot = event.data
    placed_at = order.placed_at or (event.time if event.type == "order.placed" else None)
    before = old.shipped if old else {}
    if kind == "order_shipped":
        goods = [line for line in order.lines if line.kind in PIECES]
        left = [(line, line.shipped - before.get(line.line_id, 0)) for line in goods]
        lines = [(line, pieces) for line, pieces in left if pieces > 0]
    else:
        lines = [(line, line.quantity) for line in order.lines]
    shown = [_line(line, pieces) for line, pieces in lines[:LINES_SHOWN_MAX]]
    return {
        "order_id": order.order_id,
        "placed_at": placed_at.isoformat() if placed_at else None,
        "currency": order.currency,
        "total_minor": order.total_minor,
        "lines": shown,
        "more_lines": len(lines) - len(shown),
        "shipment": order.shipment.model_dump() if order.shipment else None,
    }


def _line(line: Line, pieces: int) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "name": line.name or line.sku or line.product_id or "",
        "quantity": pieces,
        "total_minor": line.total_minor,
    }
