"""The worker as a process, on real Kafka and PostgreSQL, with everything that goes wrong.

After each fault the checker compares with the log as read back from the broker.
"""

import asyncio
import random
import signal

import pytest

from shared import inbox
from shared.events import codec
from shared.events.fields import Campaign
from shared.testing import SECRET, open_door, settings_for
from shared.tests.counting import SERVICE
from shared.tests.harness import KafkaLog, Worker, check, eventually
from shared.tests.test_batch import erasure_of, order
from tests.proxy import Proxy

TOPIC = "shop.orders.v1"
CUSTOMERS = 25


def at_full_size(name, small, full):
    return pytest.mark.parametrize(name, [small, pytest.param(full, marks=pytest.mark.long)])


SIZES = at_full_size("size", 300, 5_000)


def orders(first, count):
    return [order(n, f"c{n % CUSTOMERS}") for n in range(first, first + count)]


@pytest.fixture
async def log(infra):
    log = KafkaLog(infra.kafka_servers)
    await log.clear()
    return log


@pytest.fixture
async def settings(counting_template, make_database, infra, tmp_path):
    database = await make_database("counting", template=counting_template.name)
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    return settings_for(
        SERVICE,
        database,
        tmp_path,
        kafka_servers=infra.kafka_servers,
        erasure_secret_file=secret,
    )


@pytest.fixture
async def door(settings):
    async with open_door(SERVICE, settings) as door:
        yield door


@pytest.fixture
def start(settings, tmp_path):
    """Start a worker; all that still run are killed at the end."""
    workers = []

    def begin(name="worker", **env):
        workers.append(Worker(env.pop("settings", settings), tmp_path, name, **env))
        return workers[-1]

    yield begin
    for worker in workers:
        if worker.process.poll() is None:
            worker.kill()


async def handled(door):
    [row] = await door.query("SELECT coalesce(sum(events), 0) AS n FROM tally")
    return row.n


async def reaches(door, count, timeout_s=60):
    async def enough():
        return await handled(door) >= count

    await eventually(enough, timeout_s=timeout_s, why=f"{count} events are handled")


async def test_events_have_their_effect_and_a_stop_is_graceful(log, door, start):
    await log.publish(orders(0, 500))
    worker = start()
    await check(door, log)

    assert worker.end() == 0
    again = start("again")
    await log.publish(orders(500, 100))
    await check(door, log)
    assert again.end() == 0
    assert "c1" not in worker.said().replace("crm", ""), "no customer's id in the log lines"


@SIZES
async def test_kill_9_at_any_moment(log, door, start, size):
    rng = random.Random(7)
    for round_ in range(2 if size < 1_000 else 20):
        worker = start(f"w{round_}")
        await log.publish(orders(size * round_, size))
        await reaches(door, size * round_ + rng.randrange(1, size - 50))
        worker.kill()
    start("last")

    await check(door, log)


@SIZES
async def test_a_zombie_that_wakes_after_its_session_changes_nothing(log, door, start, size):
    await log.publish(orders(0, size))
    zombie = start("zombie")
    await reaches(door, 50)
    zombie.signal(signal.SIGSTOP)
    start("heir")
    await log.publish(orders(size, size))
    await reaches(door, 2 * size)

    zombie.signal(signal.SIGCONT)
    await log.publish(orders(2 * size, size))

    await check(door, log)


@SIZES
async def test_rebalances_under_load(log, door, start, size):
    rounds = 1 if size < 1_000 else 10
    start("steady")
    for round_ in range(rounds):
        guest = start(f"guest{round_}")
        await log.publish(orders(size * round_, size))
        await guest.joined()
        await log.publish(orders(size * (rounds + round_), size))
        assert guest.end() == 0

    await check(door, log)


@SIZES
async def test_the_broker_is_killed_and_comes_back(log, door, start, infra, size):
    worker = start()
    for round_ in range(1 if size < 1_000 else 5):
        await log.publish(orders(2 * size * round_, size))
        await reaches(door, 2 * size * round_ + 30)
        await asyncio.to_thread(infra.kafka.kill)
        await asyncio.to_thread(infra.kafka.start)
        await log.publish(orders(2 * size * round_ + size, size))

    await check(door, log)
    assert worker.process.poll() is None


@SIZES
async def test_postgresql_is_killed_in_the_middle_of_a_batch(log, door, start, infra, size):
    worker = start()
    for round_ in range(1 if size < 1_000 else 5):
        await log.publish(orders(2 * size * round_, size))
        await reaches(door, 2 * size * round_ + 30)
        await asyncio.to_thread(infra.postgres.kill)
        await log.publish(orders(2 * size * round_ + size, size))
        await asyncio.to_thread(infra.postgres.start)
        await door.engine.dispose()

    await check(door, log)
    assert worker.process.poll() is None


async def away(log, door, start, infra, seconds):
    """PostgreSQL is away: nothing dies, nothing is buried."""
    worker = start()
    await log.publish(orders(0, 200))
    await reaches(door, 200)
    await asyncio.to_thread(infra.postgres.stop)
    await log.publish(orders(200, 200))

    await asyncio.sleep(seconds)  # the fault itself: how long it is away
    assert worker.process.poll() is None
    await asyncio.to_thread(infra.postgres.start)
    await door.engine.dispose()

    await check(door, log)
    assert await door.query("SELECT 1 FROM dead_letter") == []
    assert worker.process.poll() is None


async def test_postgresql_is_away_for_a_while(log, door, start, infra):
    await away(log, door, start, infra, 4)


@pytest.mark.long
async def test_postgresql_is_away_for_a_minute(log, door, start, infra):
    await away(log, door, start, infra, 65)


@SIZES
async def test_copies_in_another_partition_and_a_month_later_have_no_effect(
    log, door, start, make_admin, size
):
    events = orders(0, size)
    await log.publish(events)
    start()
    await reaches(door, size)
    await log.publish(events, partition=3)
    await log.publish([order(size)])
    await reaches(door, size + 1)
    owner = await make_admin(door)
    await owner.execute("UPDATE inbox SET claimed_at = claimed_at - interval '31 days'")
    async with door.engine.begin() as conn:
        await inbox.keep_days(conn)

    await log.publish(events, partition=2)
    await log.publish([order(size + 1)])

    await check(door, log)


async def test_the_erased_stay_erased_when_the_log_is_read_again(log, door, start):
    events = orders(0, 100)
    await log.publish(events)
    first = start()
    await reaches(door, 100)
    await log.publish([erasure_of("c1")])

    async def forgotten():
        return not await door.query("SELECT 1 FROM tally WHERE customer_id = 'c1'")

    await eventually(forgotten)
    assert first.end() == 0
    before = await door.query("SELECT * FROM tally ORDER BY customer_id")
    async with door.engine.begin() as conn:
        await conn.exec_driver_sql("DELETE FROM consumer_offset")
        await conn.exec_driver_sql("DELETE FROM inbox WHERE id = 'e1'")  # as if it had not come

    start("again")
    await log.publish([order(200, "zoe")])
    await reaches(door, sum(row.events for row in before) + 1)
    found = await door.query("SELECT * FROM tally WHERE customer_id <> 'zoe' ORDER BY customer_id")
    assert found == before


async def test_one_customers_events_that_exceed_the_statements_time_are_alone_in_it(
    log, door, start
):
    slow = order(900, "dee", campaign=Campaign(name="slow"))
    await log.publish([*orders(0, 8), slow, *orders(8, 8)])

    start(REGULARS_STATEMENT_TIMEOUT_MS="500")

    await check(door, log, buried={slow.id})
    [letter] = await door.query("SELECT event_id, reason FROM dead_letter")
    assert letter.event_id == slow.id
    assert "57014" in letter.reason


@at_full_size("rounds", 3, 30)
async def test_the_reply_to_commit_is_lost(log, door, start, settings, infra, rounds):
    async with Proxy(infra.postgres.port) as proxy:
        url = str(settings.database_url).replace(f":{infra.postgres.port}/", f":{proxy.port}/")
        start(settings=settings.model_copy(update={"database_url": url}))
        await log.publish(orders(0, 100))
        await reaches(door, 100)
        for round_ in range(1, rounds + 1):
            proxy.drop_reply_to(b"COMMIT")
            await log.publish(orders(100 * round_, 100))
            await reaches(door, 100 * (round_ + 1))

        await check(door, log)
        assert proxy.replies_dropped == rounds


@at_full_size("size", 60, 5_000)
async def test_poison_among_good_records(log, door, start, size):
    good = orders(1_000, size)
    failing = [order(900 + n, "cy", campaign=Campaign(name="bug")) for n in range(1, 3)]
    await log.publish(good[:20])
    poison = list(poisoned(order(900, "eve")))
    for record in poison:
        await log.send_raw(TOPIC, **record)
    await log.publish([*good[20:], *failing])
    start()

    await check(door, log, buried={event.id for event in failing})
    letters = await door.query("SELECT topic, partition, log_offset, value, key FROM dead_letter")
    places = {(m.topic, m.partition, m.offset): m for m in await log.read(TOPIC)}
    assert len(letters) == len(poison) - 1 + len(failing)
    for row in letters:
        message = places[row.topic, row.partition, row.log_offset]
        assert (row.value, row.key) == (message.value, message.key)
    assert [row.type for row in await door.query("SELECT type FROM unknown_type")] == ["order.nova"]


def poisoned(event):
    """Records of which each has one fault; the last is of a type that only a newer release has."""
    value, headers = codec.encode(event)
    record = {"key": event.key.encode(), "value": value, "headers": headers}
    yield record | {"value": b"{"}
    yield record | {"value": None}
    yield record | {"value": b'{"x":"' + b"x" * 2**20 + b'"}'}
    yield record | {"key": None}
    yield record | {"headers": _but(headers, "ce_id")}
    for name, wrong in (
        ("ce_specversion", b"2.0"),
        ("ce_dataschema", b"urn:regulars:order.placed:9"),
        ("ce_time", b"2099-01-01T00:00:00Z"),
        ("ce_type", b"order.nova"),
    ):
        yield record | {"headers": [*_but(headers, name), (name, wrong)]}


def _but(headers, name):
    return [(header, value) for header, value in headers if header != name]


@at_full_size("starts", 2, 11)
async def test_a_release_that_always_fails_stops_and_buries_nothing(log, door, start, starts):
    await log.publish(orders(0, 300 if starts < 10 else 5_000))
    for attempt in range(starts):
        worker = start(f"bad{attempt}", COUNTING_BUG="1", REGULARS_RELEASE="bad")
        assert await worker.exit_code() == 1
        assert "dead-letters" in worker.said()
    assert await door.query("SELECT 1 FROM dead_letter") == []

    start("good", REGULARS_RELEASE="good")

    await check(door, log)


@at_full_size("size", 200, 5_000)
async def test_a_database_restored_to_an_older_state_catches_up(
    log, door, start, settings, infra, make_database, size
):
    worker = start()
    await log.publish(orders(0, size))
    await reaches(door, size)
    assert worker.end() == 0
    await door.engine.dispose()
    name = str(settings.database_url).rsplit("/", 1)[-1]
    backup = await make_database("counting", template=name)
    onward = start("goes on")
    await log.publish(orders(size, size))
    await check(door, log)
    assert onward.end() == 0

    restored = settings.model_copy(update={"database_url": backup.url})
    start("restored", settings=restored)
    async with open_door(SERVICE, restored) as older:
        await reaches(older, 2 * size)
        rows = await older.query("SELECT customer_id, trail FROM tally ORDER BY 1")
    assert rows == await door.query("SELECT customer_id, trail FROM tally ORDER BY 1")


@at_full_size("size", 100, 5_000)
async def test_a_log_cut_by_retention_is_loud(log, door, start, size):
    await log.publish(orders(0, size))
    worker = start()
    await reaches(door, size)
    assert worker.end() == 0
    await log.publish(orders(size, size))
    await log.clear()

    cut = start("cut")
    assert await cut.exit_code() == 1
    assert "accept-gap shop.orders.v1" in cut.said()
    assert await handled(door) == size


@at_full_size("size", 60, 5_000)
async def test_a_recreated_topic_is_loud(log, door, start, infra, size):
    await log.publish(orders(0, size))
    worker = start()
    await reaches(door, size)
    assert worker.end() == 0
    await log.recreate(TOPIC)
    await log.publish(orders(2 * size, 4 * size))

    again = start("again")
    assert await again.exit_code() == 1
    assert "recreated" in again.said()
    assert await handled(door) == size


async def test_a_topic_that_is_recreated_under_a_running_worker_is_loud(log, door, start):
    await log.publish(orders(0, 60))
    worker = start()
    await reaches(door, 60)
    await log.recreate(TOPIC)
    await log.publish(orders(200, 200))

    assert await worker.exit_code() == 1
    assert "recreated" in worker.said()
    assert await handled(door) == 60


async def test_a_worker_that_is_stuck_ends_and_says_so(log, door, start):
    await log.publish([order(1), order(2, campaign=Campaign(name="hang"))])

    stuck = start(REGULARS_STALL_TIMEOUT_S="4")

    assert await stuck.exit_code() == 1
    assert "no progress for" in stuck.said()
