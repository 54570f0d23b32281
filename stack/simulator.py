"""A store's life as events, in the order of time: the same for the same seed and start.

    simulate(seed=1, customers=300, days=30, start=datetime(2025, 6, 1, tzinfo=UTC))

Day by day every shopper may come by (`visits`); what is bought lives on for days
(`order_lives`) and is told of when its time comes; in the night the stores count their
stock. All chance comes from one random.Random(seed), and no clock is read. Held in memory
are the shoppers and what is still to come of their orders, not the events told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush

from shared.events.customers import CustomerDeleted
from shared.events.envelope import Event
from stack import catalogue, order_lives, shoppers
from stack.catalogue import BY_SKU
from stack.pen import Pen
from stack.shoppers import STOREFRONTS, Shopper
from stack.visits import Purchase, visit

CUSTOMERS_MAX = 100_000
DAYS_MAX = 3_650
DAY = timedelta(days=1)
RESTOCK_BELOW = 5
WEEKEND_RUSH = 1.5
SATURDAY = 5
TEST_SHARE = 0.01
LEAVE_SHARE = 0.01  # of all customers, in the last third

Shelf = tuple[str, str]
"""A store, and a sku on its shelf."""


@dataclass(slots=True)
class Simulation:
    """What goes on between days. `coming` holds events by time, then in the order of writing."""

    pen: Pen
    end: datetime
    people: list[Shopper] = field(default_factory=list)
    stock: dict[Shelf, int] = field(default_factory=dict)
    sold: set[Shelf] = field(default_factory=set)
    orders: int = 0
    coming: list[tuple[datetime, int, Event]] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)
    told: int = 0

    def add(self, *events: Event) -> None:
        for event in events:
            if event.time < self.end:
                self.told += 1
                heappush(self.coming, (event.time, self.told, event))

    def take(self, until: datetime) -> Iterator[Event]:
        """What is told up to `until`; nothing more of whoever was erased."""
        while self.coming and self.coming[0][0] < until:
            event = heappop(self.coming)[2]
            if event.key in self.erased:
                continue
            if isinstance(event.data, CustomerDeleted):
                self.erased.add(event.key)
            yield event


def simulate(seed: int, customers: int, days: int, start: datetime) -> Iterator[Event]:
    """The events of `days` days from `start`, in the order of time."""
    if not (1 <= customers <= CUSTOMERS_MAX and 1 <= days <= DAYS_MAX):
        raise ValueError(f"1 to {CUSTOMERS_MAX:,} customers, 1 to {DAYS_MAX:,} days")
    if start.tzinfo is None:
        raise ValueError("start: give it with its zone")
    simulation = Simulation(Pen(seed, start), start + days * DAY)
    _open(simulation, customers, start)
    for day in range(days):
        morning = start + day * DAY
        _live_day(simulation, morning)
        if 3 * day >= 2 * days:
            _forget_some(simulation, morning, 3 * LEAVE_SHARE / days)
        yield from simulation.take(morning + DAY)
        _count_stock(simulation, morning + DAY)


def _open(simulation: Simulation, customers: int, start: datetime) -> None:
    """The catalogue, the offers, and the customers that the shop has already."""
    pen = simulation.pen
    for product in catalogue.snapshots():
        simulation.add(pen.write("product.published", product, start))
    for front in STOREFRONTS:
        for sku in BY_SKU:
            stock = 0 if pen.chance(0.03) else pen.rng.randint(5, 80)
            simulation.stock[front.store, sku] = stock
            fact = catalogue.offer(front.store, front.currency, sku, stock)
            simulation.add(pen.write("offer.changed", fact, start))
    for number in range(1, customers + 1):
        shopper = shoppers.make(pen.rng, pen.tag, number, start)
        simulation.people.append(shopper)
        if shopper.joined_at:
            simulation.add(pen.write("customer.registered", shopper.registration(), start))
            for consent in shopper.consents(pen.rng):
                simulation.add(pen.write("customer.consented", consent, start))


def _live_day(simulation: Simulation, morning: datetime) -> None:
    """Who comes by in the day that begins now, and what becomes of it."""
    pen = simulation.pen
    rush = WEEKEND_RUSH if (morning + DAY / 2).weekday() >= SATURDAY else 1.0
    for shopper in simulation.people:
        if pen.chance(shopper.visits_per_day * rush) and not shopper.gone:
            events, purchase = visit(pen, shopper, _hour_of_visit(pen, shopper, morning))
            simulation.add(*events)
            if purchase:
                _buy(simulation, shopper, purchase)
        shopper.visits_per_day *= shopper.fades


def _hour_of_visit(pen: Pen, shopper: Shopper, morning: datetime) -> datetime:
    """Near the shopper's own hour in his own zone, within the 24 hours from `morning`."""
    hour = min(23.5, max(0.2, pen.rng.gauss(shopper.hour, 2.0)))
    midnight = morning.astimezone(shopper.front.tz).replace(hour=0, minute=0, second=0)
    at = midnight + timedelta(minutes=int(60 * hour), seconds=pen.rng.randint(0, 59))
    return at if at >= morning else at + DAY


def _buy(simulation: Simulation, shopper: Shopper, purchase: Purchase) -> None:
    """The order, of what there is; the first one of all is the staff's test, and a few later."""
    skus = {}
    for sku, quantity in purchase.skus.items():
        shelf = (shopper.front.store, sku)
        if taken := min(quantity, simulation.stock[shelf]):
            skus[sku] = taken
            simulation.stock[shelf] -= taken
            simulation.sold.add(shelf)
    if skus:
        bought = replace(purchase, skus=skus)
        test = simulation.orders == 0 or simulation.pen.chance(TEST_SHARE)
        simulation.add(*order_lives.live(simulation.pen, shopper, bought, test=test))
        simulation.orders += 1


def _count_stock(simulation: Simulation, at: datetime) -> None:
    """What was sold in the day, as each store tells it in the night; low shelves are filled."""
    pen = simulation.pen
    for front in STOREFRONTS:
        for sku in BY_SKU:
            shelf = (front.store, sku)
            if shelf not in simulation.sold:
                continue
            if simulation.stock[shelf] < RESTOCK_BELOW and pen.chance(0.7):
                simulation.stock[shelf] += pen.rng.randint(20, 60)
            fact = catalogue.offer(front.store, front.currency, sku, simulation.stock[shelf])
            simulation.add(pen.write("offer.changed", fact, at))
    simulation.sold.clear()


def _forget_some(simulation: Simulation, morning: datetime, chance: float) -> None:
    """A few registered customers close their accounts, and want to be forgotten."""
    pen = simulation.pen
    for shopper in simulation.people:
        if shopper.joined_at and not shopper.gone and pen.chance(chance):
            shopper.gone = True
            fact = CustomerDeleted(customer_id=shopper.customer_id, reason="request")
            at = morning + pen.between(timedelta(hours=1), timedelta(hours=23))
            simulation.add(pen.write("customer.deleted", fact, at))
