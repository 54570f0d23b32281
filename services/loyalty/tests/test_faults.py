"""Loyalty's worker as a process, with everything that goes wrong: the books balance after each
fault, and hold in the end what they hold where nothing went wrong."""

import asyncio
import signal
from contextlib import asynccontextmanager

import pytest

from services.loyalty.__main__ import SERVICE
from services.loyalty.tests.shop import Order, line
from services.loyalty.tests.test_worker import balanced
from shared.stores import Stores
from shared.testing import SECRET, empty, open_door, settings_for
from shared.tests.harness import KafkaLog, Worker, eventually

SIZES = pytest.mark.parametrize("size", [40, pytest.param(1_000, marks=pytest.mark.long)])
BOOKS = """
    SELECT customer_id, pending, active, owed FROM balance JOIN member USING (account_id)
    ORDER BY customer_id
"""


def shopping(first, size):
    """Orders of a few customers, each with its life; of every third a piece comes back."""
    for number in range(first, first + size):
        order = Order(f"o{number}", f"c{number % 17}", (line("1", 300 + number, 3),))
        yield from order.life()
        if number % 3 == 0:
            yield order.change("1", returned=1).event("order.returned", 5)


@pytest.fixture
async def log(infra):
    log = KafkaLog(infra.kafka_servers)
    await log.clear()
    return log


@asynccontextmanager
async def loyalty(database, folder, **more):
    await empty(database.owner_url)
    secret = folder / "secret"
    secret.write_bytes(SECRET)
    settings = settings_for(SERVICE, database, folder, erasure_secret_file=secret, **more)
    async with open_door(SERVICE, settings, stores=Stores()) as door:
        yield door


class Shop:
    """It goes on publishing while loyalty's workers are disturbed."""

    def __init__(self, door, log, folder):
        self.door, self.log, self.folder = door, log, folder
        self.published, self.workers = [], []

    def start(self):
        name, settings = f"w{len(self.workers)}", self.door.world.settings
        self.workers.append(Worker(settings, self.folder, name, module="services.loyalty"))
        return self.workers[-1]

    async def publish(self, size):
        events = list(shopping(len(self.published), size))
        self.published += events
        await self.log.publish(events)

    async def handled(self, count=None):
        """Wait until so many events, or all, are handled."""
        wanted = count or len(self.published)

        async def enough():
            [row] = await self.door.query("SELECT count(*) AS n FROM inbox")
            return row.n >= wanted

        await eventually(enough, timeout_s=120)


@SIZES
async def test_the_books_hold_the_same_whatever_befalls_the_worker(
    database, infra, log, tmp_path, size
):
    servers = {"kafka_servers": infra.kafka_servers, "kafka_session_timeout_ms": 6_000}
    ours, undisturbed = [await asyncio.to_thread(database, which) for which in range(2)]
    async with loyalty(ours, tmp_path, **servers) as door, door.client() as http:
        shop = Shop(door, log, tmp_path)

        async def ask(path):
            return (await http.get(path)).raise_for_status().json()

        try:
            for fault in (killed, paused, without_kafka, without_postgresql):
                before = len(shop.published)
                await shop.publish(size)
                await fault(shop, infra, before + size)
                await shop.handled()
                await balanced(ask)
        finally:
            for worker in shop.workers:
                worker.kill()
        found = await door.query(BOOKS)
        assert await door.query("SELECT 1 FROM dead_letter") == []

    async with loyalty(undisturbed, tmp_path) as door:
        await door.give(*shop.published)
        assert found == await door.query(BOOKS)
        assert len(found) == 17


async def killed(shop, _infra, count):
    worker = shop.start()
    await shop.handled(count)
    worker.kill()
    shop.start()


async def paused(shop, _infra, count):
    """Past its session, and woken when another has its partitions."""
    zombie = shop.workers[-1]
    await shop.handled(count)
    zombie.signal(signal.SIGSTOP)
    shop.start()
    await shop.handled()
    zombie.signal(signal.SIGCONT)
    await shop.publish(10)


async def without_kafka(shop, infra, count):
    await shop.handled(count)
    await asyncio.to_thread(infra.kafka.kill)
    await asyncio.to_thread(infra.kafka.start)
    await shop.publish(10)


async def without_postgresql(shop, infra, count):
    await shop.handled(count)
    await asyncio.to_thread(infra.postgres.kill)
    await shop.publish(10)
    await asyncio.to_thread(infra.postgres.start)
    await shop.door.engine.dispose()
