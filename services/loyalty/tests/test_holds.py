"""Earning above a limit waits for review: by order, by day, for the whole person."""

import asyncio
from datetime import timedelta

import pytest

from services.loyalty.store import closings, shoppers
from services.loyalty.tests.desk import callers
from services.loyalty.tests.shop import NOON, Order, erasure, line, merged
from services.loyalty.tests.test_worker import balanced, purse
from shared.clock import Clock

LATER = NOON + timedelta(days=30)
LIMITS = {"starts_at": "2000-01-01T00:00:00Z", "order_points_max": 100}


@pytest.fixture
async def desk(door):
    """Somebody who may decide, and lay down limits."""
    async with callers(door, Clock(frozen_at=LATER), one=("admin",)) as found:
        yield found["one"]


async def lay_down(desk, **limits):
    body = {"starts_at": "2000-01-01T00:00:00Z", **limits}
    await desk.put("/v1/earning-limits/default", body)


def big(order_id="o1", customer="ada", total_minor=20_000):
    return Order(order_id, customer, (line("1", total_minor),))


async def waiting(desk):
    return {each["order_id"]: each for each in (await desk.get("/v1/held"))["items"]}


async def test_what_exceeds_a_limit_stays_pending_until_it_is_released(door, ask, desk):
    await lay_down(desk, order_points_max=100)
    await door.give(*big().life(), *Order("o2").life())

    assert await purse(ask) == (200, 10)
    [hold] = (await waiting(desk)).values()
    assert (hold["order_id"], hold["customer_id"], hold["points"]) == ("o1", "ada", 200)
    assert hold["excesses"] == [{"limit": "order_points_max", "allowed": 100, "found": 200}]
    assert hold["inputs"]["limits_version"] == 1

    released = await desk.post("/v1/held/o1/release", {"comment": "a wholesaler"})

    assert (released["state"], released["comment"]) == ("released", "a wholesaler")
    assert await purse(ask) == (0, 210)
    assert await waiting(desk) == {}
    activated = (await ask("/v1/orders/o1"))["journals"][0]
    assert activated["kind"] == "activate"
    assert activated["event_time"].startswith("2026-11-01T12:04"), "when it would have been"
    await balanced(ask)


async def test_a_released_order_goes_on_as_any_other(door, ask, desk):
    await lay_down(desk, order_points_max=100)
    placed, paid, shipped, delivered = big().life()
    await door.give(placed, paid)
    await desk.post("/v1/held/o1/release")
    assert await purse(ask) == (200, 0), "it has not arrived yet"

    await door.give(shipped, delivered)
    assert await purse(ask) == (0, 200)
    gone = big().every(shipped="all", delivered="all", returned="all")
    await door.give(gone.event("order.returned", 5))

    assert await purse(ask) == (0, 0)
    await balanced(ask)


async def test_what_is_declined_is_taken_back_and_never_earns_again(door, ask, desk):
    await lay_down(desk, order_points_max=100)
    placed, paid, shipped, delivered = big().life()
    await door.give(placed, paid)

    await desk.post("/v1/held/o1/decline", {"comment": "bought and sold in a circle"})
    await door.give(shipped, delivered)

    assert await purse(ask) == (0, 0)
    refused = await desk.post("/v1/held/o1/release", status=409)
    assert refused["state"] == "declined"
    await balanced(ask)


async def test_an_order_that_is_cancelled_while_it_is_held_gives_back_its_points(door, ask, desk):
    await lay_down(desk, order_points_max=100)
    await door.give(*big().life()[:2])
    await door.give(big().every(cancelled="all").event("order.cancelled", 5))

    assert await purse(ask) == (0, 0)
    await desk.post("/v1/held/o1/release")
    assert await purse(ask) == (0, 0)
    await balanced(ask)


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_orders_of_a_day_are_counted_across_batches_and_ids(door, desk, at_once):
    await lay_down(desk, day_orders_max=2)
    await door.give(merged("ada", "ada", ("ada", "bob")), merged("bob", "ada", ("ada", "bob")))
    orders = [Order("o1", "ada"), Order("o2", "bob"), Order("o3", "ada"), Order("o4", "eve")]
    events = [order.event("order.paid", number) for number, order in enumerate(orders, start=1)]

    if at_once:
        await door.give(*events)
    else:
        await door.give_singly(*events)

    held = await waiting(desk)
    assert list(held) == ["o3"]
    assert held["o3"]["inputs"]["day_orders_before"] == 2


async def test_the_points_of_a_day_are_counted_and_another_day_is_new(door, desk):
    await lay_down(desk, day_points_max=25)
    day = 24 * 60

    await door.give_singly(
        Order("o1").event("order.paid", 1),
        Order("o2").event("order.paid", 2),
        Order("o3").event("order.paid", 3),
        Order("o4").event("order.paid", day + 4),
    )

    assert [each["excesses"][0]["found"] for each in (await waiting(desk)).values()] == [30]


async def test_an_order_is_held_once_however_often_its_events_come(door, desk):
    await lay_down(desk, order_points_max=100)
    life = big().life()

    await door.give_singly(*life)
    await door.again(*door.log.messages)

    assert list(await waiting(desk)) == ["o1"]


async def test_without_limits_nothing_is_held(door, desk, ask):
    await door.give(*big(total_minor=10**9).life())

    assert await waiting(desk) == {}
    assert (await purse(ask))[0] == 0
    await desk.post("/v1/held/o1/release", status=404)


async def test_an_erased_customers_hold_names_nobody_and_waits_no_more(door, desk, ask):
    await lay_down(desk, order_points_max=100)
    await door.give(*big().life())

    await door.give(erasure("ada"))

    assert await waiting(desk) == {}
    await desk.post("/v1/held/o1/release", status=409)
    assert await door.query("SELECT 1 FROM hold WHERE customer_id IS NOT NULL") == []
    await balanced(ask)


async def test_what_a_declined_order_held_of_caps_and_budgets_is_free_again(door, desk, ask):
    capped = {"starts_at": "2000-01-01T00:00:00Z", "caps": {"per_year": 200, "budget": 200}}
    await desk.put("/v1/rules/all", capped)
    await lay_down(desk, order_points_max=100)
    await door.give(*big().life())
    await door.give(*Order("o2").life())
    assert await purse(ask) == (200, 0), "the cap is full of what is held"

    await desk.post("/v1/held/o1/decline")
    await door.give(*Order("o3").life())

    assert await purse(ask) == (0, 10)
    await balanced(ask)


async def test_a_decline_that_waits_for_a_budget_holds_up_no_closing(door, desk):
    await desk.put("/v1/rules/all", {"starts_at": LIMITS["starts_at"], "caps": {"budget": 200}})
    await lay_down(desk, order_points_max=100)
    await door.give(*big().life())

    async with door.engine.begin() as batch, door.engine.begin() as closing:
        await shoppers.lock_budgets(batch, {"all"})
        declining = asyncio.create_task(desk.post("/v1/held/o1/decline"))
        while not await door.query("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # PostgreSQL has no event for it
        # The batch will ask for the month next, behind who closes it: a ring, if he had to wait.
        await asyncio.wait_for(closings.close(closing), 5)
    await declining

    assert await waiting(desk) == {}


async def test_a_decision_and_an_event_at_once_have_one_order(door, desk, ask):
    await lay_down(desk, order_points_max=100)
    await door.give(*big().life()[:2])
    arrived = big().life()[3]

    async def decide(what):
        headers = {"Idempotency-Key": f"race-{what}"}
        return await desk.http.post(f"/v1/held/o1/{what}", json={}, headers=headers)

    released, declined, _ = await asyncio.gather(
        decide("release"), decide("decline"), door.give(arrived)
    )

    answers = {released.status_code, declined.status_code}
    assert answers <= {200, 409, 503}
    held = (await ask("/v1/orders/o1"))["pending"], (await ask("/v1/orders/o1"))["active"]
    assert held in {(0, 200), (0, 0), (200, 0)}
    assert (released.status_code == 200) + (declined.status_code == 200) <= 1
    await balanced(ask)
