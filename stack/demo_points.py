"""The demo's points: an order paid partly in points and partly returned, and a closed month."""

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared.events import codec
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot, Tender
from shared.keys import new_key
from stack.caught_up import watch
from stack.door import Door
from stack.errors import StackError
from stack.layout import write_private
from stack.publish import publisher
from stack.show import console, money

POINTS = 100
UNIT_MINOR = 2_400
SOURCE = "demo"
SEAL_TIMEOUT_S = 60.0


class Till:
    """A checkout: sets points aside, and publishes the order that is paid with them."""

    def __init__(self, door: Door, customer_id: str, store: str, currency: str) -> None:
        self.door = door
        self.customer_id, self.store, self.currency = customer_id, store, currency
        self.order_id = f"demo-{int(time.time())}"
        self.reservation: dict[str, Any] = {}
        self._revision = 0

    def reserve(self) -> dict[str, Any]:
        path = f"/v1/accounts/{self.customer_id}/reservations"
        body = {"points": POINTS, "order_id": self.order_id, "store": self.store}
        self.reservation = self.door.send("POST", "loyalty", path, body, key=self.order_id)
        return self.reservation

    def event(self, type_: str, **counts: int) -> Event:
        """Two mugs; a hundred points of the price are paid in points."""
        self._revision += 1
        total_minor, in_points = 2 * UNIT_MINOR, self.reservation["amount_minor"]
        snapshot = OrderSnapshot(
            customer_id=self.customer_id,
            order_id=self.order_id,
            revision=self._revision,
            store=self.store,
            currency=self.currency,
            total_minor=total_minor,
            lines=(
                Line(
                    line_id="1",
                    name="Mug",
                    quantity=2,
                    unit_price_minor=UNIT_MINOR,
                    total_minor=total_minor,
                    **counts,
                ),
            ),
            tenders=(
                Tender(
                    kind="points",
                    amount_minor=in_points,
                    reservation_id=self.reservation["id"],
                ),
                Tender(kind="money", amount_minor=total_minor - in_points),
            ),
        )
        id_ = f"{self.order_id}-{self._revision}"
        return codec.make(type_, snapshot, id=id_, source=SOURCE, time=datetime.now(UTC))

    def look(self) -> dict[str, Any]:
        found: dict[str, Any] = self.door.get(
            "loyalty", "/v1/reservations/{}", self.reservation["id"]
        )
        return found


def show(door: Door, customer_id: str, home: Path) -> bool:
    """Print a member's card, an explained order, a redemption, a closed month; whether the points
    of the redemption came back as they should."""
    _show_card(door, customer_id)
    _show_explained(door, customer_id)
    good = _show_redemption(door, customer_id)
    _show_closing(door, home)
    return good


def _show_card(door: Door, customer_id: str) -> None:
    account = door.get("loyalty", "/v1/accounts/{}", customer_id) or {}
    card = door.get("loyalty", "/v1/accounts/{}/tier", customer_id)
    if card is None:
        return
    step = card["to_next"]
    more = f", {step['missing'] / 100:,.2f} more for {step['tier']}" if step else ""
    console.print(
        f"Card of {customer_id}: {card['tier']}, {card['counted'] / 100:,.2f} counted{more};"
        f" {account['active']} points, the next expire {account['next_expiry_at'] or 'never'}."
    )


def _show_explained(door: Door, customer_id: str) -> None:
    history = door.get("loyalty", "/v1/accounts/{}/history", customer_id, limit=50)
    earned = [one["document"] for one in history["items"] if one["kind"] == "earn"]
    if not earned:
        return
    told = door.get("loyalty", "/v1/orders/{}/explanation", earned[0])
    rules = ", ".join(
        f"{rule['rule_id']} {rule['points']}" if rule["points"] else f"{rule['rule_id']} none"
        for rule in told["rules"]
    )
    console.print(f"Order {told['order_id']} earned {told['points']} points: {rules}.")


def _show_redemption(door: Door, customer_id: str) -> bool:
    account = door.get("loyalty", "/v1/accounts/{}", customer_id)
    if account is None or account["active"] < POINTS:
        console.print(f"{customer_id} has fewer than {POINTS} points: no redemption is shown.")
        return True
    till = Till(door, customer_id, "uk-web", "GBP")
    worth = money(till.reserve()["amount_minor"], "GBP")
    asyncio.run(_publish(door.env, till.event("order.paid")))
    paid = till.look()
    delivered = {"shipped": 2, "delivered": 2}
    asyncio.run(_publish(door.env, till.event("order.delivered", **delivered)))
    asyncio.run(_publish(door.env, till.event("order.returned", **delivered, returned=1)))
    returned = till.look()
    console.print(
        f"Order {till.order_id} of {money(2 * UNIT_MINOR, 'GBP')}: {POINTS} points for {worth} of"
        f" it, {paid['state']} by order.paid itself; one of two mugs came back, and with it"
        f" {returned['given_back']} points to their own lots."
    )
    return bool(paid["confirmed"] == POINTS and returned["given_back"] == POINTS // 2)


async def _publish(env: Mapping[str, str], event: Event) -> None:
    async with watch(env) as observer, publisher(env["REGULARS_KAFKA_SERVERS"]) as publishing:
        await publishing.publish([event])
        await observer.wait(lambda _: None)


def _show_closing(door: Door, home: Path) -> None:
    """Last month, prepared by the admin key and approved by a second one."""
    month = f"{datetime.now(UTC).replace(day=1) - timedelta(days=1):%Y-%m}"
    draft = _retried(door, "/v1/closings", {"month": month}, "prepare")
    approver = _another_key(home)
    body = {"draft": draft["draft"]}
    _retried(door, f"/v1/closings/{month}/approval", body, "approve", approver)
    points = door.get("loyalty", "/v1/closings/{}", month)["statement"]["total"]["points"]
    told = ", ".join(f"{name} {number:,}" for name, number in points.items() if number)
    console.print(f"{month} is closed, by two keys, in points: {told or 'nothing'}.")


def _retried(
    door: Door, path: str, body: dict[str, Any], name: str, token: str = ""
) -> dict[str, Any]:
    """Until the chain's job has sealed the month's journals."""
    until = time.monotonic() + SEAL_TIMEOUT_S
    while True:
        key = f"{name}-{time.time_ns()}"
        try:
            answer: dict[str, Any] = door.send("POST", "loyalty", path, body, key=key, token=token)
        except StackError as error:
            if "not-sealed-yet" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(1)
        else:
            return answer


def _another_key(home: Path) -> str:
    """A second person's."""
    token, line = new_key(["loyalty:admin"], note="the demo's second signature")
    file = home / "keys.json"
    keys = json.loads(file.read_text())
    keys["keys"].append(line.model_dump(mode="json", exclude_none=True))
    write_private(file, json.dumps(keys, indent=1))
    time.sleep(1.5)  # the services look at the file once a second
    return token
