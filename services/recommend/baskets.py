"""What an order counts for: the products that are bought, and how often.

Only lines of kind `product` count, with what is left of them: what was cancelled or
returned is taken out, for it says more against the pair than for it. `order.cancelled`
without any count of pieces cancels the whole order. Test orders count for nothing. An order
is its newest snapshot, by (revision, time, source, id); a change is the difference to the
one before, so it does not matter which revisions were seen on the way.

At most the PAIRED_MAX products with the highest amounts of an order make pairs: an order
of a thousand lines would make half a million, and a warehouse's order says little about taste.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot

PAIRED_MAX = 40

Purchase = tuple[str, datetime, str]
"""product_id, bought_at, order_id."""


@dataclass(frozen=True, slots=True)
class Basket:
    """One order as it counts. `products`, `units` and `skus` run in step, highest amount first."""

    order_id: str
    customer_id: str
    revision: int
    bought_at: datetime
    products: tuple[str, ...]
    units: tuple[int, ...]
    skus: tuple[str, ...]
    changed_at: datetime
    source: str
    event_id: str

    @property
    def version(self) -> tuple[int, datetime, str, str]:
        """Of two snapshots of an order the one with the higher version counts."""
        return (self.revision, self.changed_at, self.source, self.event_id)

    @property
    def content(self) -> tuple[object, ...]:
        """What the basket counts for; equal before and after most events of an order."""
        return (self.bought_at, self.products, self.units, self.skus)

    def purchases(self) -> set[Purchase]:
        """Which products lead to this order; none if it pairs nothing."""
        paired = self.products[:PAIRED_MAX]
        return {(p, self.bought_at, self.order_id) for p in paired} if len(paired) > 1 else set()


Change = tuple[Basket | None, Basket]
"""An order before, if it was seen, and after."""


@dataclass(frozen=True, slots=True)
class Count:
    """Increments for one product; `touched` if its pairs may have changed."""

    orders: int = 0
    units: int = 0
    views: int = 0
    touched: bool = False


def newest(events: Iterable[Event]) -> dict[str, Basket]:
    """The newest basket of each order among the events."""
    last: dict[str, Event] = {}
    for event in events:
        order = event.data
        if not isinstance(order, OrderSnapshot):
            continue
        known = last.get(order.order_id)
        if known is None or _version(event) > _version(known):
            last[order.order_id] = event
    return {order_id: basket_of(event) for order_id, event in last.items()}


def basket_of(event: Event) -> Basket:
    """The order of an order event, as it counts."""
    order: OrderSnapshot = event.data
    amounts: dict[str, int] = {}
    units: dict[str, int] = {}
    skus: dict[str, str] = {}
    whole = event.type == "order.cancelled" and not any(line.cancelled for line in order.lines)
    for line in () if order.test or whole else order.lines:
        left = line.quantity - line.cancelled - line.returned
        product_id = line.product_id
        if left <= 0 or product_id is None or line.kind != "product":
            continue
        amounts[product_id] = amounts.get(product_id, 0) + line.total_minor
        units[product_id] = units.get(product_id, 0) + left
        skus.setdefault(product_id, line.sku or "")
    products = sorted(units, key=lambda product_id: (-amounts[product_id], product_id))
    return Basket(
        order.order_id,
        order.customer_id,
        order.revision,
        order.placed_at or event.time,
        tuple(products),
        tuple([units[product_id] for product_id in products]),
        tuple([skus[product_id] for product_id in products]),
        event.time,
        event.source,
        event.id,
    )


def tally(changes: Collection[Change], views: Mapping[str, int]) -> dict[str, Count]:
    """What the changes and the views add to each product's popularity."""
    orders: Counter[str] = Counter()
    units: Counter[str] = Counter()
    touched: set[str] = set()
    for before, after in changes:
        if before and before.content == after.content:
            continue
        orders.update(after.products)
        for product_id, count in zip(after.products, after.units, strict=True):
            units[product_id] += count
        touched.update(after.products)
        if before:
            orders.subtract(before.products)
            for product_id, count in zip(before.products, before.units, strict=True):
                units[product_id] -= count
            touched.update(before.products)
    return {
        product_id: Count(
            orders[product_id], units[product_id], views.get(product_id, 0), product_id in touched
        )
        for product_id in touched | views.keys()
    }


def moved(changes: Iterable[Change]) -> tuple[set[Purchase], set[Purchase]]:
    """The purchases that are gone, and those that are new."""
    gone: set[Purchase] = set()
    new: set[Purchase] = set()
    for before, after in changes:
        if before and before.content == after.content:
            continue
        old, now = before.purchases() if before else set(), after.purchases()
        gone |= old - now
        new |= now - old
    return gone, new


def _version(event: Event) -> tuple[int, datetime, str, str]:
    return (event.data.revision, event.time, event.source, event.id)
