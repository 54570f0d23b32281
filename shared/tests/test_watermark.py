"""What waits for the log runs as of a moment up to which all is handled, on a real log."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared import db, jobs, watchdog
from shared.batch import Batches
from shared.clock import Clock
from shared.consumer import Consumer
from shared.erasure import Tombstones
from shared.jobs import Job
from shared.relay import Relay
from shared.stores import Stores
from shared.testing import SECRET, settings_for
from shared.tests.counting import SERVICE, handle
from shared.tests.harness import KafkaLog, eventually
from shared.tests.test_batch import order
from shared.watermark import Watermark
from shared.world import World

LATER = timedelta(days=400)


class Slow:
    """A worker whose handler waits until it may go on."""

    def __init__(self, engine, world):
        self.begun, self.gate = [], asyncio.Semaphore(0)
        handler = replace(SERVICE.handler, handle=self.handle)
        self.consumer = Consumer(Batches(engine, handler, world), Relay(world.settings))
        self.watermark = Watermark(self.consumer)

    async def handle(self, conn, events, world):
        self.begun += [event.id for event in events]
        await self.gate.acquire()
        await handle(conn, events, world)

    async def begins(self, count):
        async def begun():
            return len(self.begun) >= count

        await eventually(begun)

    async def reached(self):
        """The watermark, once there is one."""
        found = []

        async def known():
            found[:] = [await self.watermark.reached("job")]
            return found[0] is not None

        await eventually(known)
        return found[0]


@pytest.fixture
async def log(infra):
    log = KafkaLog(infra.kafka_servers)
    await log.clear()
    return log


@pytest.fixture
async def slow(counting_template, make_database, infra, tmp_path, log):
    database = await make_database("counting", template=counting_template.name)
    settings = settings_for(SERVICE, database, tmp_path, kafka_servers=infra.kafka_servers)
    engine = db.connect(settings)
    slow = Slow(engine, World(settings, Stores(), Clock(), Tombstones(SECRET)))
    stop = asyncio.Event()
    running = asyncio.create_task(slow.consumer.run(stop))
    yield slow
    stop.set()
    slow.gate.release()
    await running
    await engine.dispose()


async def test_it_stands_where_the_log_ended_when_it_was_looked_at(slow, log):
    assert await slow.watermark.reached("job") is None, "the group is not joined yet"
    assert datetime.now(UTC) - await slow.reached() < timedelta(minutes=1)

    await log.publish([order(1)])
    await slow.begins(1)
    before = datetime.now(UTC)
    assert await slow.watermark.reached("job") is None
    after = datetime.now(UTC)
    await log.publish([order(2)])
    slow.gate.release()
    await slow.begins(2)
    assert before <= await slow.reached() <= after, "order 1 is handled, and order 2 is not"
    assert await slow.watermark.reached("job") is None
    assert await slow.watermark.reached("another") is None

    slow.gate.release()
    assert await slow.reached() > after
    assert await slow.watermark.reached("another") > after


async def test_a_job_waits_for_it_and_has_its_clock(slow, log):
    clocks = []

    async def work(_engine, world):
        clocks.append(world.clock.now())

    async def run():
        world, engine = slow.consumer.batches.world, slow.consumer.engine
        await jobs.run_once(job, engine, world, slow.watermark)
        async with engine.connect() as conn:
            sql = "SELECT outcome FROM job WHERE name = 'period'"
            return (await conn.exec_driver_sql(sql)).scalar_one()

    job = Job("period", 0, work, after_log=True)
    await slow.reached()
    await log.publish([order(1)])
    await slow.begins(1)
    before = datetime.now(UTC)
    assert (await run(), clocks) == (jobs.BEHIND, [])
    after = datetime.now(UTC)
    await log.publish([order(2)])
    slow.gate.release()
    await slow.begins(2)

    assert await run() == "done"
    assert before <= clocks[0] <= after


async def test_of_transactions_only_what_was_committed_is_handled_and_no_lag_remains(slow, log):
    for _ in range(3):
        slow.gate.release()
    await slow.reached()
    await log.transact([order(1)], commit=False)
    await log.transact([order(2)], commit=True)
    await log.transact([order(3)], commit=False)
    published = datetime.now(UTC)

    async def no_lag():
        return await watchdog.lag(slow.consumer) == 0

    await eventually(no_lag)
    assert slow.begun == [order(2).id]
    assert await slow.reached() > published

    await log.publish([order(4)])
    await slow.begins(2)
    await eventually(no_lag)
    assert slow.begun == [order(2).id, order(4).id]
