"""Batches at the same time that share products: no deadlock, and nothing lost."""

import asyncio
import random

from sqlalchemy import text

from services.recommend import handlers
from services.recommend.jobs import build_lists
from services.recommend.tests.shop import order, view

PRODUCTS = [f"p{n}" for n in range(40)]
ROUNDS, ORDERS = 6, 25
HOLD = text("SELECT 1 FROM popularity WHERE product_id = :product_id FOR UPDATE")
WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted"


def batch(worker, number, rng):
    """Orders of one worker's own customers, over everybody's products in any order."""
    events = []
    for n in range(ORDERS):
        customer, name = f"w{worker}-{n % 7}", f"o{worker}-{number}-{n}"
        events.append(order(name, customer, *rng.sample(PRODUCTS, rng.randint(2, 12))))
        events.append(view(customer, rng.choice(PRODUCTS), number + n / 100))
    return events


async def test_two_workers_and_the_job_share_products_and_never_wait_in_a_circle(door):
    async def work(worker):
        rng = random.Random(worker)
        for number in range(ROUNDS):
            async with door.engine.begin() as conn:
                await handlers.handle(conn, batch(worker, number, rng), door.world)

    async def build():
        for _ in range(ROUNDS):
            await build_lists(door.engine, door.world)

    async with asyncio.timeout(60):
        await asyncio.gather(work(0), work(1), build())

    [total] = await door.query("""
        SELECT (SELECT sum(orders) FROM popularity) AS counted,
            (SELECT sum(cardinality(products)) FROM order_seen) AS bought,
            (SELECT sum(views) FROM popularity) AS views
    """)
    assert total.counted == total.bought
    assert total.views == 2 * ROUNDS * ORDERS


async def test_shared_rows_are_locked_in_key_order(door):
    """Both batches have met rows of the other's when the row between them is let go."""
    await door.give(*[order(f"o{n}", "ada", *PRODUCTS[n : n + 2]) for n in range(0, 40, 2)])

    async def work(worker):
        products = random.Random(worker).sample(PRODUCTS, 40)
        async with door.engine.begin() as conn:
            await handlers.handle(conn, [order(f"x{worker}", "bob", *products)], door.world)

    async with door.engine.begin() as conn:
        await conn.execute(HOLD, {"product_id": sorted(PRODUCTS)[20]})
        both = [asyncio.create_task(work(worker)) for worker in range(2)]
        while len(await door.query(WAITING)) < 2:  # noqa: ASYNC110  only the database knows
            await asyncio.sleep(0.01)
    await asyncio.gather(*both)

    counted = await door.query("SELECT orders FROM popularity")
    assert [row.orders for row in counted] == [3] * 40


async def test_an_order_that_two_customers_have_at_once_is_counted_once(door):
    """It passed from a guest to a customer, so its two revisions are in two partitions."""

    async def work(customer, revision):
        async with door.engine.begin() as conn:
            event = order("o1", customer, "p1", "p2", revision=revision)
            await handlers.handle(conn, [event], door.world)

    await asyncio.gather(work("guest:o1", 1), work("ada", 2))

    rows = await door.query("SELECT product_id, orders FROM popularity ORDER BY 1")
    assert [tuple(row) for row in rows] == [("p1", 1), ("p2", 1)]
    [seen] = await door.query("SELECT customer_id, revision FROM order_seen")
    assert tuple(seen) == ("ada", 2)
