"""The demo's points: a member's card, an explained order, an order paid partly in points and
partly returned, and a closed month.

All four are always shown. Where a small store has nobody with enough points, the customer who is
looked at buys something first; what cannot be shown even so is said, and the demo fails.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared.events import codec
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot, Tender
from stack import closing
from stack.caught_up import watch
from stack.door import Door
from stack.errors import StackError
from stack.publish import publisher
from stack.show import console, money

POINTS = 100
UNIT_MINOR = 2_400
STORE, CURRENCY = "uk-web", "GBP"
SOURCE = "demo"
ALL = {"shipped": 2, "delivered": 2}


class Till:
    """A checkout: two of a thing, all of it paid in money or some of it in points."""

    def __init__(
        self, door: Door, customer_id: str, order_id: str, *, name: str, unit_minor: int
    ) -> None:
        self.door = door
        self.customer_id, self.order_id = customer_id, order_id
        self.name, self.unit_minor = name, unit_minor
        self.total_minor = 2 * unit_minor
        self.reservation: dict[str, Any] | None = None
        self._revision = 0

    def reserve(self) -> dict[str, Any]:
        path = f"/v1/accounts/{self.customer_id}/reservations"
        body = {"points": POINTS, "order_id": self.order_id, "store": STORE}
        made: dict[str, Any] = self.door.send("POST", "loyalty", path, body, key=self.order_id)
        self.reservation = made
        return made

    def tell(self, type_: str, **counts: int) -> None:
        """Publish what became of the order, and wait until it is handled."""
        asyncio.run(_publish(self.door.env, self._event(type_, **counts)))

    def look(self) -> dict[str, Any]:
        assert self.reservation, "points were set aside"
        found: dict[str, Any] = self.door.get(
            "loyalty", "/v1/reservations/{}", self.reservation["id"]
        )
        return found

    def _event(self, type_: str, **counts: int) -> Event:
        self._revision += 1
        snapshot = OrderSnapshot(
            customer_id=self.customer_id,
            order_id=self.order_id,
            revision=self._revision,
            store=STORE,
            currency=CURRENCY,
            total_minor=self.total_minor,
            lines=(
                Line(
                    line_id="1",
                    name=self.name,
                    quantity=2,
                    unit_price_minor=self.unit_minor,
                    total_minor=self.total_minor,
                    **counts,
                ),
            ),
            tenders=self._tenders(),
        )
        id_ = f"{self.order_id}-{self._revision}"
        return codec.make(type_, snapshot, id=id_, source=SOURCE, time=datetime.now(UTC))

    def _tenders(self) -> tuple[Tender, ...]:
        if not self.reservation:
            return ()
        minor, id_ = self.reservation["amount_minor"], self.reservation["id"]
        in_points = Tender(kind="points", amount_minor=minor, reservation_id=id_)
        return (in_points, Tender(kind="money", amount_minor=self.total_minor - minor))


def show(door: Door, customer_id: str, home: Path) -> bool:
    """Print a member's card, an explained order, a redemption, a closed month; whether all four
    could be shown, and the points of the redemption came back as they should."""
    parts: Mapping[str, Callable[[], None]] = {
        "enough points to redeem": lambda: _buy(door, customer_id),
        "card": lambda: _show_card(door, customer_id),
        "explained order": lambda: _show_explained(door, customer_id),
        "redemption": lambda: _show_redemption(door, customer_id),
        "closed month": lambda: _show_closing(door, home),
    }
    good = True
    for name, part in parts.items():
        try:
            part()
        except StackError as error:
            console.print(f"WRONG: no {name}: {error}", style="red", markup=False)
            good = False
    return good


def _buy(door: Door, customer_id: str) -> None:
    """So much that there are enough points, if there are too few."""
    account = door.get("loyalty", "/v1/accounts/{}", customer_id) or {"active": 0, "owed": 0}
    if account["active"] >= POINTS:
        return
    missing = POINTS + account["owed"] - account["active"]
    unit_minor = 100 * missing  # a point for each pound, so one of the two would do
    till = Till(door, customer_id, "demo-first", name="Teapot", unit_minor=unit_minor)
    till.tell("order.placed")
    till.tell("order.paid")
    till.tell("order.delivered", **ALL)
    console.print(
        f"{customer_id} had {account['active']} points, too few to show how they are redeemed, and"
        f" bought for {money(till.total_minor, CURRENCY)}: order {till.order_id}."
    )


def _show_card(door: Door, customer_id: str) -> None:
    account = door.get("loyalty", "/v1/accounts/{}", customer_id)
    card = door.get("loyalty", "/v1/accounts/{}/tier", customer_id)
    if account is None or card is None:
        raise StackError(f"{customer_id} has none")
    step = card["to_next"]
    more = f", {step['missing'] / 100:,.2f} more for {step['tier']}" if step else ""
    console.print(
        f"Card of {customer_id}: {card['tier']}, {card['counted'] / 100:,.2f} counted{more};"
        f" {account['active']} points, the next expire {account['next_expiry_at'] or 'never'}."
    )


def _show_explained(door: Door, customer_id: str) -> None:
    history = door.get("loyalty", "/v1/accounts/{}/history", customer_id, limit=50)
    items = history["items"] if history else []
    earned = [one["document"] for one in items if one["kind"] == "earn"]
    told = door.get("loyalty", "/v1/orders/{}/explanation", earned[0]) if earned else None
    if told is None:
        raise StackError(f"{customer_id} has none that earned points")
    rules = ", ".join(
        f"{rule['rule_id']} {rule['points']}" if rule["points"] else f"{rule['rule_id']} none"
        for rule in told["rules"]
    )
    console.print(f"Order {told['order_id']} earned {told['points']} points: {rules}.")


def _show_redemption(door: Door, customer_id: str) -> None:
    order_id = f"demo-{int(time.time())}"
    till = Till(door, customer_id, order_id, name="Mug", unit_minor=UNIT_MINOR)
    worth = money(till.reserve()["amount_minor"], CURRENCY)
    till.tell("order.paid")
    paid = till.look()
    till.tell("order.delivered", **ALL)
    till.tell("order.returned", **ALL, returned=1)
    back = till.look()["given_back"]
    if paid["confirmed"] != POINTS or back != POINTS // 2:
        raise StackError(f"of {POINTS} points {paid['confirmed']} were taken, {back} came back")
    console.print(
        f"Order {till.order_id} of {money(till.total_minor, CURRENCY)}: {POINTS} points for"
        f" {worth} of it, {paid['state']} by order.paid itself; one of two mugs came back, and"
        f" with it {back} points to their own lots."
    )


def _show_closing(door: Door, home: Path) -> None:
    """Last month."""
    month = f"{datetime.now(UTC).replace(day=1) - timedelta(days=1):%Y-%m}"
    points = closing.close(door, home, month)["total"]["points"]
    told = ", ".join(f"{name} {number:,}" for name, number in points.items() if number)
    nothing = "nothing, for these days began after it"
    console.print(f"{month} is closed, by two keys, in points: {told or nothing}.")


async def _publish(env: Mapping[str, str], event: Event) -> None:
    async with watch(env) as observer, publisher(env["REGULARS_KAFKA_SERVERS"]) as publishing:
        await publishing.publish([event])
        await observer.wait(lambda _: None)
