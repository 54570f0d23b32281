"""What an order counts for. Pure.

An order event carries the whole order, so its state here is a function of the last revision
alone: whatever was lost or came late before it makes no difference.

* A *placed* order has a total above zero and is not a test. It stays placed, whatever
  becomes of it; `placed_minor` sums the totals as ordered.
* `order.cancelled` without any count of pieces cancels the whole order.
* It is *standing* while the customer keeps some piece of it (or, where it has no pieces,
  some money); `orders` counts the standing ones.
* `units` are the pieces kept, of products and gift cards.
* `spend_minor` is the money kept: the totals, less what was cancelled, returned or refunded.
  A line's loss is the share of the pieces taken back, or the money refunded for it if that
  is more: a refund mostly pays for a return that is counted already.
* An order in a foreign currency without `base_total_minor` counts, but its money cannot:
  it is one of `orders_left_out`.
"""

from dataclasses import dataclass
from datetime import datetime

from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot

PIECES = frozenset({"product", "gift_card"})


@dataclass(frozen=True, slots=True)
class Count:
    """An order's share in its customer's counters; money in the base currency."""

    orders: int = 0
    units: int = 0
    spend_minor: int = 0
    placed_orders: int = 0
    placed_minor: int = 0
    orders_left_out: int = 0


NOTHING = Count()


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order after its last revision; `*_minor` in its currency, `base_*` in the base's."""

    order_id: str
    customer_id: str
    revision: int
    type: str
    time: datetime
    source: str
    id: str
    store: str
    channel: str
    currency: str
    test: bool
    placed_at: datetime
    pieces: int
    units: int
    total_minor: int
    kept_minor: int
    base_total_minor: int | None
    base_kept_minor: int | None
    standing: bool

    @property
    def counted(self) -> Count:
        """What this order adds to the counters."""
        if self.test or self.total_minor <= 0:
            return NOTHING
        left_out = self.base_total_minor is None
        return Count(
            orders=int(self.standing),
            units=self.units,
            spend_minor=self.base_kept_minor or 0,
            placed_orders=1,
            placed_minor=self.base_total_minor or 0,
            orders_left_out=int(left_out),
        )


def state_of(event: Event, base_currency: str) -> OrderState:
    """The order as this event's snapshot has it."""
    order: OrderSnapshot = event.data
    pieces = units = lost = 0
    whole = event.type == "order.cancelled" and not any(x.cancelled for x in order.lines)
    for line in order.lines:
        gone = line.quantity if whole else line.cancelled + line.returned
        if line.kind in PIECES:
            pieces += line.quantity
            units += line.quantity - gone
        if gone or line.refunded_minor:
            lost += _lost(line, gone)
    total = order.total_minor
    kept = total - lost
    base = total if order.currency == base_currency else order.base_total_minor
    return OrderState(
        order.order_id,
        order.customer_id,
        order.revision,
        event.type,
        event.time,
        event.source,
        event.id,
        order.store,
        order.channel,
        order.currency,
        order.test,
        order.placed_at or event.time,
        pieces,
        units,
        total,
        kept,
        base,
        None if base is None else _share(base, kept, total),
        not order.test and total > 0 and (units > 0 if pieces else kept > 0),
    )


def _lost(line: Line, gone: int) -> int:
    taken_back = _share(line.total_minor, gone, line.quantity)
    if taken_back < 0:  # a discount kept as a line of its own
        return taken_back
    return max(taken_back, line.refunded_minor)


def _share(whole: int, part: int, of: int) -> int:
    """`whole * part / of` in whole minor units, half up; exact where all of it is meant."""
    if part == of:
        return whole
    return (2 * whole * part + of) // (2 * of) if of else 0
