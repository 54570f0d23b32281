"""A checkout with a server key, and orders that are paid in points."""

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from services.loyalty.tests.shop import NOON, Order, line
from shared.clock import Clock
from shared.events.orders import Tender

LATER = NOON + timedelta(days=1)
MONEY_OFF = {
    "starts_at": "2000-01-01T00:00:00Z",
    "redemption": {"points_per_unit": 100, "share_max_percent": 50, "reserve_minutes": 30},
}


class Checkout:
    """Every call under a key of its own unless one is given."""

    def __init__(self, http):
        self.http, self.calls = http, 0

    async def post(self, path, body=None, key=None, status=None):
        self.calls += 1
        headers = {"Idempotency-Key": key or f"call-{self.calls}"}
        answer = await self.http.post(path, json=body or {}, headers=headers)
        if status:
            assert answer.status_code == status, answer.text
        return answer

    async def reserve(self, points, customer="ada", status=201, **more):
        path = f"/v1/accounts/{customer}/reservations"
        return (await self.post(path, {"points": points, **more}, status=status)).json()

    async def confirm(self, one, status=200, **body):
        return (
            await self.post(f"/v1/reservations/{one['id']}/confirm", body, status=status)
        ).json()

    async def cancel(self, one, status=200):
        return (await self.post(f"/v1/reservations/{one['id']}/cancel", status=status)).json()

    async def held(self, customer="ada"):
        found = (await self.http.get(f"/v1/accounts/{customer}")).json()
        return found["active"], found["reserved"]

    async def look(self, one):
        return (await self.http.get(f"/v1/reservations/{one['id']}")).json()


@asynccontextmanager
async def opened(door):
    """ada has 100 points, at a checkout that may take half of a cart, 100 points to 1.00."""
    await door.give(*Order("o1", lines=(line("1", 10_000),)).life())
    await door.published()
    async with door.client(clock=Clock(frozen_at=LATER)) as http:
        headers = {"Idempotency-Key": "p"}
        await http.put("/v1/programmes/default", json=MONEY_OFF, headers=headers)
        yield Checkout(http)


def paid_with(one, order_id="o2", amount_minor=60, customer="ada", total_minor=400):
    """An order, part of which is paid in points."""
    tenders = (
        Tender(kind="points", amount_minor=amount_minor, reservation_id=one["id"]),
        Tender(kind="money", amount_minor=total_minor - amount_minor),
    )
    lines = (line("1", total_minor, 4),)
    return Order(order_id, customer, lines, more={"tenders": tenders})


def at(event, **delta):
    return replace(event, time=LATER + timedelta(**delta))


def events(found):
    return [(e.type, e.data.points) for e in found]


def short(found):
    return [
        (e.data.order_id, e.data.points, e.data.reason)
        for e in found
        if e.type == "points.shortfall"
    ]
