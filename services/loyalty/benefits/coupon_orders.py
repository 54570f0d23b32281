"""What orders' own events do to coupons. Pure.

A paid order uses the coupon whose code it carries, and every coupon that was reserved for it,
so a checkout that dies after payment still ends right. An order that is cancelled whole gives
back what it had, and so does a paid one that is a test. A refund, which may follow on that, uses
only what is reserved for its order. An order's coupon that is not to be had
(used by another order, expired) stays as it is: the order stands, and the refusal is kept with
the coupon's history.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.loyalty.benefits import codes, coupons
from services.loyalty.benefits.coupons import Coupon, Deed, GiveBack, NotTheirs, Step, Use
from services.loyalty.books import points
from shared.errors import Conflict
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot


@dataclass(frozen=True, slots=True)
class Outcome:
    """The coupons that have changed, by id, and what was done or refused."""

    changed: dict[UUID, Coupon] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def digests_of(events: Iterable[Event]) -> set[bytes]:
    """The digests of the codes that these orders carry."""
    return {codes.digest(event.data.coupon) for event in events if event.data.coupon}


def matter(events: Iterable[Event]) -> list[Event]:
    """The events that may do something to a coupon."""
    return [e for e in events if _is_cancelled(e) or points.is_paid(e.type, e.data)]


def fold(
    found: Iterable[Coupon],
    owners: Mapping[UUID, Collection[str]],
    events: Iterable[Event],
) -> Outcome:
    """`events` are those that brought their order forward; `owners` tells of the coupons that
    only their owner may use all ids of his."""
    out = Outcome()
    known = {one.id: one for one in found}
    by_digest = {one.digest: {one.id} for one in known.values()}
    by_order: defaultdict[str | None, set[UUID]] = defaultdict(set)
    for one in known.values():
        by_order[one.order_id].add(one.id)
    for event in events:
        order: OrderSnapshot = event.data
        ids = set(by_order[order.order_id])
        if order.coupon and event.type not in points.CLOSING_TYPES:
            ids |= by_digest.get(codes.digest(order.coupon), set())
        gone = order.test or _is_cancelled(event)
        deed: Deed = GiveBack(order.order_id) if gone else Use(order.order_id)
        for id_ in sorted(ids):
            before = known[id_]
            after = known[id_] = _act(before, deed, event, owners.get(id_), out)
            by_order[before.order_id].discard(id_)
            by_order[after.order_id].add(id_)
    return out


def _act(
    one: Coupon, deed: Deed, event: Event, owners: Collection[str] | None, out: Outcome
) -> Coupon:
    action: coupons.Action = "use" if isinstance(deed, Use) else "give_back"
    order_id: str = event.data.order_id
    try:
        if isinstance(deed, Use) and owners is not None and event.key not in owners:
            raise NotTheirs
        after = coupons.act(one, deed, event.time)
    except Conflict as refusal:
        name = type(refusal).__name__
        out.steps.append(Step(one, action, order_id, event, name))
        return one
    if after is not one:
        out.changed[one.id] = after
        out.steps.append(Step(after, action, order_id, event))
    return after


def _is_cancelled(event: Event) -> bool:
    """The order is cancelled whole, whether or not its producer counts pieces. One that does says
    so in what follows, too."""
    order: OrderSnapshot = event.data
    if not any(line.cancelled for line in order.lines):
        return event.type == "order.cancelled"
    bought = [line for line in order.lines if line.kind == "product"]
    gone = all(line.cancelled >= line.quantity for line in bought)
    return gone and (bool(bought) or event.type == "order.cancelled")
