"""Two workers whose batches want the same rows, in the worst moment: nobody waits in a ring."""

import asyncio
from collections import Counter

from services.loyalty import handlers
from services.loyalty.earning.decisions import Decided
from services.loyalty.earning.orders import Terms
from services.loyalty.earning.rules import EarningRule
from services.loyalty.store import members, shoppers
from services.loyalty.terms.definitions import Book, Version
from services.loyalty.tests.shop import NOON, Order
from services.loyalty.tests.test_actions import review
from services.loyalty.tests.test_rules import lay_down
from services.loyalty.work import deciding

WAIT_S = 0.5
"""For a worker that does not come, because it waits in the database."""


class Meeting:
    """Workers that call the function wait after their first call until both have made it."""

    def __init__(self, function):
        self.function, self.both = function, asyncio.Barrier(2)
        self.calls = Counter()

    async def __call__(self, *args):
        found = await self.function(*args)
        worker = asyncio.current_task()
        self.calls[worker] += 1
        if self.calls[worker] == 1:
            await self.meet()
        return found

    async def meet(self):
        try:
            async with asyncio.timeout(WAIT_S):
                await self.both.wait()
        except (TimeoutError, asyncio.BrokenBarrierError):
            await self.both.abort()


async def at_once(door, *works):
    """Each work in a transaction of its own."""

    async def one(work):
        async with door.engine.begin() as conn:
            return await work(conn)

    return await asyncio.gather(*map(one, works))


async def test_batches_that_bring_each_others_new_customers_by_actions_and_orders(
    door, monkeypatch
):
    async with door.client() as http:
        rule = {"on": "action", "kind": "bonus", "points": 20, "actions": {"kinds": ["review"]}}
        await lay_down(http, "review", **rule)
    ann, bob = (Order(f"o-{who}", who).event("order.paid", 1) for who in ("ann", "bob"))
    first = [review("v1", customer="bob"), ann]
    second = [review("v2", customer="ann"), bob]
    monkeypatch.setattr(members, "add_missing", Meeting(members.add_missing))

    await at_once(
        door,
        lambda conn: handlers.handle(conn, first, door.world),
        lambda conn: handlers.handle(conn, second, door.world),
    )

    found = await door.query("SELECT customer_id FROM member ORDER BY 1")
    assert [row[0] for row in found] == ["ann", "bob"]


async def test_batches_that_find_different_budgets_short_and_decide_again(door, monkeypatch):
    rule = EarningRule(points=1, caps={"budget": 10})
    rules = [("EarningRule", Version(id_, 1, NOON, rule)) for id_ in ("a", "b")]
    terms = Terms(Book(rules), door.world.stores)
    monkeypatch.setattr(shoppers, "lock_budgets", Meeting(shoppers.lock_budgets))

    def spend(rule_id):
        decided = Decided(budgets=Counter({rule_id: 11}), limits={rule_id: 10})
        return lambda conn: deciding.lock_budgets(conn, decided, terms)

    spent = await at_once(door, spend("a"), spend("b"))

    assert spent == [{"a": 0, "b": 0}] * 2
