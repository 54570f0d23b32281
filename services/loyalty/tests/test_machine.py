"""A state machine against real PostgreSQL: anything in any order, and the sums of a small model.

The model knows the last revision of each order, what became of each reservation, and the clock.
It has no ledger and no lots; what the service has booked must come to the same.
"""

import asyncio
import itertools
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.loyalty.books import points
from services.loyalty.earning import carts
from services.loyalty.earning.awarding import award
from services.loyalty.earning.caps import Used
from services.loyalty.earning.rules import rulebook_at
from services.loyalty.jobs import timers
from services.loyalty.terms.cart import Shopper
from services.loyalty.terms.definitions import Book
from services.loyalty.tests.conftest import STORES
from services.loyalty.tests.shop import NOON, STEPS, Order, line, step
from shared.clock import Clock
from shared.events.orders import Tender

PROGRAMME = {
    "starts_at": "2000-01-01T00:00:00Z",
    "activation": {"after_days": 2},
    "expiry": {"after_days": 20},
    "returns": {"spent": "next_earning"},
}
JOBS = (timers.activate_due, timers.expire_due, timers.time_out_due, timers.warn)
RUNS = itertools.count()
HELD = """
    SELECT b.pending, b.active, b.reserved, b.owed,
        (SELECT coalesce(sum(expired), 0) FROM lot WHERE lot.account_id = b.account_id) AS expired
    FROM member AS m JOIN balance AS b USING (account_id) WHERE m.customer_id = :customer
"""
POINTS = st.integers(1, 60)


class Machine(RuleBasedStateMachine):
    """One customer of the shop; rules run in a thread, the service in the test's own loop."""

    def __init__(self, door, http, loop):
        super().__init__()
        self.door, self.http, self.loop = door, http, loop
        self.run, self.calls = next(RUNS), itertools.count()
        self.customer, self.now = f"ada-{self.run}", NOON
        self.orders: list[tuple[Order, int]] = []
        self.seen, self.told, self.late = {}, [], []
        self.reservations: dict[str, tuple[int, str, int]] = {}

    def wait(self, what: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(60)

    def publish(self, event):
        self.told.append(event)
        self.wait(self.door.give(event))
        before = self.seen.get(event.data.order_id)
        if before is None or before.data.revision < event.data.revision:
            self.seen[event.data.order_id] = event

    def post(self, path, body):
        self.door.world = replace(self.door.world, clock=Clock(frozen_at=self.now))
        headers = {"Idempotency-Key": f"{self.run}-{next(self.calls)}"}
        return self.wait(self.http(self.now, path, body, headers))

    @rule(total=st.integers(100, 9_999), pieces=st.integers(1, 3))
    def buys(self, total, pieces):
        number = len(self.orders)
        order = Order(f"{self.run}-{number}", self.customer, (line("1", total, pieces),))
        self.orders.append((order, 1))
        self.publish(replace(order.event("order.paid", 1), time=self.now))

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), what=st.sampled_from(STEPS), kept=st.booleans())
    def goes_on(self, data, what, kept):
        number = data.draw(st.integers(0, len(self.orders) - 1))
        order, revision = self.orders[number]
        order, type_ = step(data.draw, order, what)
        self.orders[number] = (order, revision + 1)
        event = replace(order.event(type_, revision + 1), time=self.now)
        if kept:
            self.late.append(event)
        else:
            self.publish(event)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def hears_late(self, data):
        self.publish(self.late.pop(data.draw(st.integers(0, len(self.late) - 1))))

    @precondition(lambda self: self.told)
    @rule(data=st.data(), partition=st.integers(0, 3))
    def hears_again(self, data, partition):
        event = data.draw(st.sampled_from(self.told))
        self.wait(self.door.handle([self.door.log.append(event, partition=partition)]))

    @rule(wanted=POINTS)
    def reserves(self, wanted):
        answer = self.post(f"/v1/accounts/{self.customer}/reservations", {"points": wanted})
        if answer.status_code == 201:
            self.reservations[answer.json()["id"]] = (wanted, "reserved", 0)
        else:
            assert answer.status_code in {404, 409}, answer.text

    @precondition(lambda self: self.reservations)
    @rule(data=st.data(), part=POINTS)
    def confirms(self, data, part):
        id_ = data.draw(st.sampled_from(sorted(self.reservations)))
        wanted, state, _ = self.reservations[id_]
        answer = self.post(f"/v1/reservations/{id_}/confirm", {"points": part})
        if answer.status_code == 200 and state == "reserved":
            self.reservations[id_] = (wanted, "confirmed", part)
            assert part <= wanted
        else:
            assert answer.status_code in {200, 409, 422}, answer.text

    @precondition(lambda self: self.reservations)
    @rule(data=st.data())
    def cancels(self, data):
        id_ = data.draw(st.sampled_from(sorted(self.reservations)))
        wanted, state, spent = self.reservations[id_]
        answer = self.post(f"/v1/reservations/{id_}/cancel", {})
        if answer.status_code == 200:
            assert state == "reserved"
            self.reservations[id_] = (wanted, "cancelled", spent)

    @precondition(lambda self: self.reservations)
    @rule(data=st.data())
    def pays_with(self, data):
        """An order whose own event names the reservation, confirmed or not."""
        id_ = data.draw(st.sampled_from(sorted(self.reservations)))
        tender = Tender(kind="points", amount_minor=1, reservation_id=id_)
        order = Order(f"{self.run}-{len(self.orders)}", self.customer, more={"tenders": (tender,)})
        self.orders.append((order, 1))
        self.publish(replace(order.event("order.paid", 1), time=self.now))

    @rule(hours=st.sampled_from((1, 30, 24 * 9)), jobs=st.booleans())
    def time_goes_by(self, hours, jobs):
        self.now += timedelta(hours=hours)
        if jobs:
            self.wait(self._jobs())

    async def _jobs(self):
        world = replace(self.door.world, clock=Clock(frozen_at=self.now))
        for job in JOBS:
            async with self.door.engine.begin() as conn:
                while await job(conn, world):
                    pass

    @invariant()
    def the_books_balance(self):
        self.wait(self._check())

    async def _check(self):
        books = (await self.http(self.now, "/v1/ledger/reconciliation")).json()
        assert books["balanced"], books
        net = pending = active = 0
        for order_id, event in self.seen.items():
            told = (await self.http(self.now, f"/v1/orders/{order_id}")).json()
            assert told["pending"] + told["active"] == self.earned(event)
            pending, active = pending + told["pending"], active + told["active"]
            net += self.earned(event)
        states = [
            (await self.http(self.now, f"/v1/reservations/{id_}")).json()
            for id_ in self.reservations
        ]
        spent = sum(one["confirmed"] - one["given_back"] for one in states)
        aside = sum(one["points"] for one in states if one["state"] == "reserved")
        for row in await self.door.query(HELD, customer=self.customer):
            assert (row.pending, row.reserved) == (pending, aside)
            assert row.active + aside - row.owed == active - row.expired - spent
            assert not (row.owed and row.active and spent == 0), "who owes has spent"
        assert net == pending + active

    def earned(self, event):
        """What the order has earned for good, by its last revision alone."""
        if points.judge(event.type, event.data, STORES) != "earns":
            return 0
        if points.is_void(event.type, event.data.lines):
            return 0
        cart = carts.of_order(event.data, event.time, STORES, {})
        awarded = award(cart, Shopper("ada"), rulebook_at(Book(), NOON, "EUR"), Used()).lines
        lines = {each.line_id: each for each in event.data.lines}
        return sum(points.kept(gain, lines[id_]) for id_, gain in awarded.items())


@pytest.mark.parametrize("examples", [10, pytest.param(150, marks=pytest.mark.long)])
async def test_whatever_happens_in_whatever_order_the_sums_are_those_of_the_model(door, examples):
    loop = asyncio.get_running_loop()
    async with door.client(clock=Clock(frozen_at=NOON)) as client:
        await client.put("/v1/programmes/default", json=PROGRAMME, headers={"Idempotency-Key": "p"})

        async def http(now, path, body=None, headers=None):
            context = client._transport.app.state.context
            object.__setattr__(context, "clock", Clock(frozen_at=now))
            if body is None:
                return await client.get(path)
            return await client.post(path, json=body, headers=headers)

        config = settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        await asyncio.to_thread(
            run_state_machine_as_test, lambda: Machine(door, http, loop), settings=config
        )
