"""A state machine against real PostgreSQL: anything in any order, and the sums of a small model.

Two customers, who may be one person, and all that can befall their points: what shops, hands,
birthdays and the clock do, what is heard late, twice, or by a worker that died after its commit.
The model (`machine_model.py`) is asked what each call must answer, and what all of it comes to.
"""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

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

from services.loyalty.tests.machine_model import DEFINITIONS, LONG_AGO, Model, Reservation
from services.loyalty.tests.machine_service import Service
from services.loyalty.tests.shop import NOON, STEPS, Order, line, merged, step, unmerged
from services.loyalty.tests.test_actions import registered
from shared.clock import Clock
from shared.events.orders import Tender

RUNS = itertools.count()
POINTS = st.integers(1, 60)
LINES = st.lists(st.tuples(st.integers(100, 9_999), st.integers(1, 3)), min_size=1, max_size=3)
MINUTES = st.sampled_from((10, 60, 30 * 60, 9 * 24 * 60))


class Machine(RuleBasedStateMachine):
    """Rules run in a thread, the service in the test's own loop."""

    def __init__(self, door, client, loop):
        super().__init__()
        run = next(RUNS)
        self.names = (f"ada-{run}", f"bob-{run}")
        self.model = Model(dict(zip(self.names, ("10-30", "11-01"), strict=True)))
        self.service = Service(door, client, loop, f"{run}", self.names)
        self.version, self.count = 0, itertools.count()
        self.orders: list[tuple[Order, int]] = []
        self.told, self.late = [], []
        for name, born in self.model.born.items():
            self.service.give(registered(name, birthday=f"--{born}"))
            self.order(name, (line(),))
            self.adjust(name, 50)

    @property
    def now(self):
        return self.service.now

    def order(self, customer, lines, **more):
        """One is paid, and may go on from there."""
        more["placed_at"] = self.now
        order = Order(f"{self.names[0]}-{next(self.count)}", customer, lines, more=more)
        self.orders.append((order, 1))
        self.publish(replace(order.event("order.paid", 1), time=self.now))

    def publish(self, event):
        self.told.append(event)
        self.service.give(event)
        self.model.hear(event)

    @rule(first=st.booleans(), lines=LINES)
    def buys(self, first, lines):
        found = [line(f"{n}", total, pieces) for n, (total, pieces) in enumerate(lines)]
        self.order(self.names[not first], tuple(found))

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

    @rule(data=st.data(), partition=st.integers(0, 3))
    def hears_again(self, data, partition):
        self.service.give(data.draw(st.sampled_from(self.told)), partition=partition)

    @rule(messages=st.integers(1, 9))
    def worker_dies_after_its_commit(self, messages):
        """Nobody has noted how far it came: all of it is delivered again."""
        self.service.deliver_again(messages)

    @rule(dies=st.booleans())
    def relay_publishes(self, dies):
        self.service.relay(dies=dies)

    @rule(joined=st.booleans())
    def is_one_person_or_two(self, joined):
        if joined == self.model.joined:
            return
        self.version += 1
        for name in self.names:
            if joined:
                fact = merged(name, self.names[0], self.names, self.version)
            else:
                fact = unmerged(name, (name,), self.names[1:], self.version)
            self.told.append(replace(fact, time=self.now))
        self.service.give(*self.told[-len(self.names) :])
        self.model.join(joined=joined)

    @rule(first=st.booleans(), wanted=POINTS)
    def reserves(self, first, wanted):
        self.reserve(self.names[not first], wanted, self.service.spendable(self.names[not first]))

    def reserve(self, customer, wanted, there):
        path = f"/v1/accounts/{customer}/reservations"
        answer = self.service.post(path, {"points": wanted}, 201 if wanted <= there else 409)
        if wanted <= there:
            until = self.now + timedelta(minutes=30)
            self.model.reservations[answer["id"]] = Reservation(customer, wanted, until)

    def any_reservation(self, data):
        """One made before; where there is none that is open, a new one if there are points."""
        known = self.model.reservations
        if all(one.state != "reserved" for one in known.values()):
            customer = data.draw(st.sampled_from(self.names))
            if there := self.service.spendable(customer):
                self.reserve(customer, data.draw(st.integers(1, min(there, 60))), there)
        return data.draw(st.sampled_from(list(known.items()))) if known else (None, None)

    @rule(data=st.data(), part=POINTS, whole=st.booleans())
    def confirms(self, data, part, whole):
        id_, one = self.any_reservation(data)
        if one:
            part = one.points if whole else part
            status = one.confirm_status(part, self.now)
            self.service.post(f"/v1/reservations/{id_}/confirm", {"points": part}, status)
            if status == 200:
                one.state, one.confirmed = "confirmed", part

    @rule(data=st.data())
    def cancels(self, data):
        id_, one = self.any_reservation(data)
        if one:
            status = one.cancel_status()
            self.service.post(f"/v1/reservations/{id_}/cancel", {}, status)
            if status == 200:
                one.state = "cancelled"

    @rule(data=st.data(), first=st.booleans(), amount=POINTS)
    def pays_with(self, data, first, amount):
        """An order whose own event names the reservation, whosever it is, confirmed or not."""
        id_, one = self.any_reservation(data)
        if one:
            tender = Tender(kind="points", amount_minor=amount, reservation_id=id_)
            self.order(self.names[not first], (line(),), tenders=(tender,))

    @rule(first=st.booleans(), points=POINTS, gives=st.booleans())
    def somebody_adjusts(self, first, points, gives):
        self.adjust(self.names[not first], points if gives else -points)

    def adjust(self, customer, points):
        status = 201 if points > 0 or -points <= self.service.spendable(customer) else 409
        body = {"points": points, "reason": "goodwill"}
        self.service.post(f"/v1/accounts/{customer}/adjustments", body, status)
        if status == 201:
            self.model.adjusted[customer] += points

    @rule(minutes=MINUTES, jobs=st.booleans())
    def time_goes_by(self, minutes, jobs):
        self.service.now += timedelta(minutes=minutes)
        if jobs:
            self.service.run_timers()

    @rule()
    def birthdays_are_kept(self):
        self.service.congratulate()
        self.model.celebrate(self.now)

    @rule(minutes=MINUTES)
    def tiers_are_decided(self, minutes):
        """The job tells what the cards have said already."""
        self.service.now += timedelta(minutes=minutes)
        before = [self.service.card(name) for name in self.names]
        self.service.decide_tiers()
        assert [self.service.card(name) for name in self.names] == before

    @invariant()
    def the_sums_are_those_of_the_model(self):
        self.service.check(self.model)

    def teardown(self):
        self.service.relay(dies=False)
        self.service.check_all(self.model)


@pytest.mark.parametrize("examples", [8, pytest.param(150, marks=pytest.mark.long)])
async def test_whatever_happens_in_whatever_order_the_sums_are_those_of_the_model(door, examples):
    loop = asyncio.get_running_loop()
    async with door.client(clock=Clock(frozen_at=NOON)) as client:
        for path, body in DEFINITIONS.items():
            headers = {"Idempotency-Key": path}
            answer = await client.put(f"/v1/{path}", json=body | LONG_AGO, headers=headers)
            assert answer.status_code == 200, answer.text
        config = settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        await asyncio.to_thread(
            run_state_machine_as_test, lambda: Machine(door, client, loop), settings=config
        )
