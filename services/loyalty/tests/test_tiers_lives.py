"""Whole lives against real PostgreSQL: what is kept of a tier is what all days come to."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.loyalty.store import members, standings
from services.loyalty.tests.shop import NOON, Order, line, merged, unmerged
from services.loyalty.tests.test_tiering import lay_down, run_again
from shared.clock import Clock

RUNS = itertools.count()
DB = settings(
    derandomize=True,
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PLANS = [
    {"window": "calendar_year", "downgrade": "one_down", "grace_days": 30},
    {"window": "rolling", "window_days": 120},
    {"window": "anniversary", "counter": "points", "grace_days": 10},
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from((*["order"] * 5, "return", "merge", "unmerge", "job")),
        st.sampled_from((0, 1, 5, 20, 40, 130)),
        st.integers(0, 2),
        st.integers(1, 400),
    ),
    min_size=3,
    max_size=12,
)


class Life:
    """Three ids that buy, give back, and are joined and parted."""

    def __init__(self, door, run):
        self.door = door
        self.ids = tuple(f"{name}-{run}" for name in "abc")
        self.now = NOON
        self.orders = []
        self.version = 0

    async def step(self, what, days, which, euros):
        self.now += timedelta(days=days)
        who = self.ids[which]
        match what:
            case "order":
                order = Order(f"{who}/{len(self.orders)}", who, (line(total_minor=euros * 100),))
                self.orders.append(order)
                await self.give(order.event("order.paid", 1))
            case "return" if self.orders:
                order = self.orders[euros % len(self.orders)].change("1", returned=1)
                await self.give(order.event("order.returned", 5))
            case "merge":
                self.version += 1
                facts = [merged(one, self.ids[0], self.ids, self.version) for one in self.ids]
                await self.give(*facts)
            case "unmerge" if self.version:
                self.version += 1
                facts = [unmerged(one, (one,), self.ids[1:], self.version) for one in self.ids]
                await self.give(*facts)
            case "job":
                await run_again(self.door, self.now.replace(tzinfo=None).isoformat())

    async def give(self, *events):
        await self.door.give(*[replace(event, time=self.now) for event in events])

    async def cards(self):
        async with self.door.client(clock=Clock(frozen_at=self.now)) as http:
            answers = [await http.get(f"/v1/accounts/{one}/tier") for one in self.ids]
        assert {answer.status_code for answer in answers} <= {200, 404}
        names = ("tier", "valid_until", "counted", "counted_until", "to_stay", "projected")
        return [
            [answer.json()[name] for name in names] if answer.status_code == 200 else None
            for answer in answers
        ]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan["window"])
@DB
@given(STEPS)
async def test_what_is_kept_is_what_all_days_come_to(door, plan, steps):
    run = next(RUNS)
    if not await door.query("SELECT 1 FROM definition"):
        await lay_down(door, **plan)
    life = Life(door, run)

    for step in steps:
        await life.step(*step)
    kept = await life.cards()
    async with door.engine.begin() as conn:
        accounts = await members.lock(conn, life.ids)
        await standings.doubt(conn, [account.account_id for account in accounts.values()])

    assert await life.cards() == kept
    versions = await door.query(
        "SELECT account_id, count(*), max(version) FROM tier_history GROUP BY 1"
    )
    assert all(count <= version for _, count, version in versions)
