"""What the state machine expects: orders, checkouts, persons, the clock. Pure.

There is no ledger here and no lot. What an order has earned follows from its last revision
alone, what became of a reservation from what was said of it, who is one person from the last
merge. What the service has booked must come to the same.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from services.loyalty.books import points
from services.loyalty.earning import carts
from services.loyalty.earning.awarding import award
from services.loyalty.earning.caps import Used
from services.loyalty.earning.rules import rulebook_at
from services.loyalty.jobs.celebrating import DAYS_BACK
from services.loyalty.spending import redemption
from services.loyalty.terms.cart import Shopper
from services.loyalty.terms.definitions import Book
from services.loyalty.tests.conftest import STORES
from services.loyalty.tests.shop import NOON

LONG_AGO = {"starts_at": "2000-01-01T00:00:00Z"}
GIFT = 7
WINDOW_DAYS = 30
THRESHOLDS = {"basic": 0, "silver": 60, "gold": 150}
DEFINITIONS = {
    "programmes/default": {
        "activation": {"after_days": 2},
        "expiry": {"after_days": 20},
        "returns": {"spent": "next_earning"},
        "redemption": {"reserve_minutes": 30},
    },
    "rules/birthday": {
        "on": "action",
        "kind": "bonus",
        "points": GIFT,
        "actions": {"kinds": ["birthday"]},
    },
    "tier-plans/default": {
        "tiers": [{"code": code, "threshold": least} for code, least in THRESHOLDS.items()],
        "counter": "points",
        "window": "rolling",
        "window_days": WINDOW_DAYS,
        "downgrade": "one_down",
    },
    "adjustment-policies/default": {"day_points_max": 10**9},
}


@dataclass
class Reservation:
    """Of a checkout. `confirmed` is None where it hangs on what there was, and is then told."""

    customer: str
    points: int
    expires_at: datetime
    state: str = "reserved"
    confirmed: int | None = 0
    order_id: str | None = None

    def confirm_status(self, part: int, now: datetime) -> int:
        """What HTTP answers to who confirms `part` of it."""
        if self.state == "confirmed" and part == self.confirmed:
            return 200
        if self.state != "reserved" or self.expires_at <= now:
            return 409
        return 200 if part <= self.points else 422

    def cancel_status(self) -> int:
        """One whose time is over may be cancelled as long as nobody has freed it."""
        return 200 if self.state == "reserved" else 409

    def learn(self, told: dict[str, Any], now: datetime) -> None:
        """Nothing has become of it but what was said, and what time does."""
        if self.state == "reserved" and self.expires_at <= now and told["state"] == "timed_out":
            self.state = "timed_out"
        assert told["state"] == self.state, (told, self)
        if self.confirmed is None:
            self.confirmed = told["confirmed"]
        assert told["confirmed"] == self.confirmed, (told, self)
        assert 0 <= told["given_back"] <= told["confirmed"], told
        assert told["order_id"] == self.order_id, (told, self)


@dataclass
class Model:
    """Some customers, the first of whom is who they all are once they are joined."""

    born: dict[str, str]
    """The day of the year, `MM-DD`, by customer."""
    joined: bool = False
    ever_joined: bool = False
    orders: dict[str, Any] = field(default_factory=dict)
    """The newest revision of each, as it was heard."""
    reservations: dict[str, Reservation] = field(default_factory=dict)
    adjusted: Counter = field(default_factory=Counter)
    gifts: dict[tuple[str, int], date] = field(default_factory=dict)

    def person(self, customer: str) -> list[str]:
        return list(self.born) if self.joined else [customer]

    def purses(self) -> list[list[str]]:
        """Whose points are whose own: once joined they have been spent across."""
        names = list(self.born)
        return [names] if self.ever_joined else [[name] for name in names]

    def join(self, *, joined: bool) -> None:
        self.joined, self.ever_joined = joined, self.ever_joined or joined

    def hear(self, event: Any) -> None:
        """An order's event: old news changes nothing."""
        before = self.orders.get(event.data.order_id)
        if before is None or before.data.revision < event.data.revision:
            self.orders[event.data.order_id] = event
            for tender in event.data.tenders:
                if one := self.reservations.get(tender.reservation_id):
                    self._follow(event, one, tender.amount_minor)

    def _follow(self, event: Any, one: Reservation, wanted: int) -> None:
        """The order names the reservation: it is confirmed, freed, or none of its business."""
        order = event.data
        mine = one.customer in self.person(order.customer_id)
        if not mine or one.order_id not in {None, order.order_id}:
            return
        paid, void = points.is_paid(event.type, order), points.is_void(event.type, order.lines)
        late = one.state not in {"reserved", "confirmed"}
        if void and one.state == "reserved":
            one.state = "cancelled"
        elif paid and not void and one.state == "confirmed":
            one.order_id = one.order_id or order.order_id
        elif paid and not void and not (late and event.type in points.CLOSING_TYPES):
            taken = wanted if late else min(wanted, one.points)
            back, whole = redemption.returned_share(order, taken)
            if taken * back // max(1, whole) < taken:
                one.state, one.order_id = "confirmed", order.order_id
                one.confirmed = None if late else taken
            elif not late:
                one.state = "cancelled"

    def celebrate(self, now: datetime) -> None:
        """Each person once a year, by whichever of his ids comes first."""
        for back in range(DAYS_BACK, -1, -1):
            day = (now - timedelta(back)).date()
            for name in sorted(self.born):
                had = any((each, day.year) in self.gifts for each in self.person(name))
                if self.born[name] == f"{day:%m-%d}" and not had:
                    self.gifts[name, day.year] = day

    def given(self, customers: list[str]) -> int:
        """By hand and for birthdays, less what was taken by hand."""
        gifts = sum(name in customers for name, _ in self.gifts)
        return gifts * GIFT + sum(self.adjusted[name] for name in customers)

    def counted(self, customers: list[str], since: date) -> int:
        """What counts for a tier of what was bought, and given, from a day on."""
        orders = sum(
            earned(event)
            for event in self.orders.values()
            if event.data.customer_id in customers and event.data.placed_at.date() >= since
        )
        gifts = sum(name in customers and day >= since for (name, _), day in self.gifts.items())
        return orders + gifts * GIFT


def earned(event: Any) -> int:
    """What the order has earned for good, by its last revision alone."""
    if points.judge(event.type, event.data, STORES) != "earns":
        return 0
    if points.is_void(event.type, event.data.lines):
        return 0
    cart = carts.of_order(event.data, event.time, STORES, {})
    awarded = award(cart, Shopper("ada"), rulebook_at(Book(), NOON, "EUR"), Used()).lines
    lines = {each.line_id: each for each in event.data.lines}
    return sum(points.kept(gain, lines[id_], event.data) for id_, gain in awarded.items())


def tier(counted: int) -> int:
    """How high it reaches, from 0."""
    return sum(counted >= least for least in THRESHOLDS.values()) - 1
