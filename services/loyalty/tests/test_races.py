"""What comes at once: points go to a checkout, or they are gone. Never both.

Each round races two works on the same lot; whichever is first, the books balance and every
point went one way. That both are tried in either order is the database's business, so there
are several rounds, and the outcome of each is judged by itself.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.loyalty.jobs import timers
from services.loyalty.tests.checkout import LATER, Checkout, at
from services.loyalty.tests.shop import Order, line
from services.loyalty.tests.test_worker import balanced
from shared.clock import Clock

ROUNDS = 6
PROGRAMME = {
    "starts_at": "2000-01-01T00:00:00Z",
    "expiry": {"after_days": 10, "round_to": "moment"},
    "redemption": {"reserve_minutes": 60},
    "returns": {"spent": "next_earning"},
}
LOT = """
    SELECT l.points, l.remaining, l.reserved, l.used, l.expired, l.taken_back, l.expires_at
    FROM lot AS l JOIN member AS m USING (account_id) WHERE m.customer_id = :customer
"""


@pytest.fixture
async def members(door):
    """For each round a member with 100 points, and the order that earned them."""
    async with door.client() as http:
        headers = {"Idempotency-Key": "p"}
        answer = await http.put("/v1/programmes/default", json=PROGRAMME, headers=headers)
        assert answer.status_code == 200, answer.text
    found = {f"c{n}": Order(f"earns-{n}", f"c{n}", (line("1", 10_000),)) for n in range(ROUNDS)}
    await door.give(*[event for order in found.values() for event in order.life()])
    return found


async def lot_of(door, customer):
    (lot,) = await door.query(LOT, customer=customer)
    return lot


async def expire(door, now):
    world = replace(door.world, clock=Clock(frozen_at=now))
    async with door.engine.begin() as conn:
        while await timers.expire_due(conn, world):
            pass


async def returned(door, order):
    back = order.every(delivered="all", returned="all").event("order.returned", 9)
    await door.give(at(back))


async def test_points_that_expire_while_they_are_reserved_are_one_of_the_two(door, ask, members):
    """The checkout's clock is a little behind the job's: to it the lot is not over yet."""
    over = (await lot_of(door, "c0")).expires_at
    async with door.client(clock=Clock(frozen_at=over - timedelta(seconds=1))) as http:
        shop = Checkout(http)
        for customer in members:
            path = f"/v1/accounts/{customer}/reservations"
            answer, _ = await asyncio.gather(shop.post(path, {"points": 80}), expire(door, over))
            lot = await lot_of(door, customer)
            reserved = 80 if answer.status_code == 201 else 0
            assert answer.status_code in {201, 409}, answer.text
            assert (lot.reserved, lot.remaining + lot.expired) == (reserved, 100 - reserved)
    await expire(door, over)
    books = await balanced(ask)
    assert books["accounts"]["reserved"] + books["accounts"]["expired"] == 100 * ROUNDS


async def test_points_that_expire_while_they_are_confirmed_are_spent_once(door, ask, members):
    """What was reserved in time may be spent; what the confirmation frees is gone."""
    over = (await lot_of(door, "c0")).expires_at
    async with door.client(clock=Clock(frozen_at=over - timedelta(seconds=1))) as http:
        shop = Checkout(http)
        before = [await shop.reserve(80, customer) for customer in members]
    later = over + timedelta(seconds=1)
    async with door.client(clock=Clock(frozen_at=later)) as http:
        shop = Checkout(http)
        for one in before:
            path = f"/v1/reservations/{one['id']}/confirm"
            answer, _ = await asyncio.gather(shop.post(path, {"points": 50}), expire(door, later))
            assert answer.status_code == 200, answer.text
        await expire(door, later)
    for customer in members:
        lot = await lot_of(door, customer)
        assert (lot.used, lot.expired, lot.reserved, lot.remaining) == (50, 50, 0, 0)
    books = (await balanced(ask))["accounts"]
    assert (books["redeemed"], books["expired"]) == (50 * ROUNDS, 50 * ROUNDS)


async def test_points_that_are_taken_back_while_they_are_reserved_are_one_of_the_two(
    door, ask, members
):
    async with door.client(clock=Clock(frozen_at=LATER)) as http:
        shop = Checkout(http)
        for customer, order in members.items():
            path = f"/v1/accounts/{customer}/reservations"
            answer, _ = await asyncio.gather(shop.post(path, {"points": 80}), returned(door, order))
            assert answer.status_code in {201, 409}, answer.text
            account = await ask(f"/v1/accounts/{customer}")
            held = 80 if answer.status_code == 201 else 0
            assert (account["active"], account["reserved"], account["owed"]) == (0, held, held)
            await shop.post(path, {"points": 1}, status=409)
            if held:
                await shop.cancel(answer.json())
                account = await ask(f"/v1/accounts/{customer}")
                assert (account["active"], account["reserved"], account["owed"]) == (0, 0, 0)
    assert (await balanced(ask))["liability"] == 0


async def test_points_that_are_taken_back_while_they_are_confirmed_are_owed(door, ask, members):
    async with door.client(clock=Clock(frozen_at=LATER)) as http:
        shop = Checkout(http)
        for customer, order in members.items():
            one = await shop.reserve(80, customer)
            path = f"/v1/reservations/{one['id']}/confirm"
            answer, _ = await asyncio.gather(shop.post(path, {"points": 50}), returned(door, order))
            assert answer.status_code == 200, answer.text
            account = await ask(f"/v1/accounts/{customer}")
            assert (account["active"], account["reserved"], account["owed"]) == (0, 0, 50)
            await shop.post(f"/v1/accounts/{customer}/reservations", {"points": 1}, status=409)
    assert (await balanced(ask))["accounts"]["redeemed"] == 50 * ROUNDS
