"""The outbox's promises: everything owed is published, in each key's order, and kept if refused."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import replace

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from shared import db, outbox
from shared.events import codec
from shared.events.notices import NoticeSuppressed
from shared.letters_cli import replay
from shared.outbox import Bell
from shared.relay import Relay
from shared.tests.harness import PARTITIONS, KafkaLog, eventually, expected
from shared.tests.test_batch import NOON

TOPIC = "crm.notices.v1"


def notice(number, customer="ada", reason="test"):
    fact = NoticeSuppressed(
        customer_id=customer, notice_id=f"n{number}", kind="order", channel="email", reason=reason
    )
    return codec.make(
        "notice.suppressed", fact, id=f"n{number}", source="regulars/notify", time=NOON
    )


async def enqueue(door, *events):
    async with door.engine.begin() as conn:
        await conn.exec_driver_sql("SELECT 1")
        await outbox.enqueue(conn, events)


async def empty(door):
    return not await door.query("SELECT 1 FROM outbox LIMIT 1")


@pytest.fixture
async def log(infra):
    log = KafkaLog(infra.kafka_servers)
    await log.clear()
    return log


@pytest.fixture
def relay(door, infra):
    servers = {"kafka_servers": infra.kafka_servers}
    return Relay(door.world.settings.model_copy(update=servers))


async def run(relay, door, check):
    """Run the relay until a condition holds."""
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    await eventually(lambda: check(door))
    stop.set()
    relay.wake()
    await task


async def test_everything_goes_out_in_the_order_of_each_key(door, log, relay):
    events = [notice(n, f"c{n % 7}") for n in range(300)]
    for event in events:
        await enqueue(door, event)

    await run(relay, door, empty)

    wanted = {f"c{k}": [e.id for e in events if e.key == f"c{k}"] for k in range(7)}
    assert expected(await log.read(TOPIC)) == wanted


async def test_a_crash_between_acknowledgement_and_delete_sends_the_same_ids_again(
    door, log, relay, monkeypatch
):
    await enqueue(door, notice(1), notice(2))
    async with AsyncExitStack() as stack:
        conn = await relay._session(stack)
        kafka = await relay._producer(stack)
        monkeypatch.setattr("shared.relay.DELETE", "SELECT crash($1, $2)")
        with pytest.raises(Exception, match="crash"):
            await relay.relay_once(conn, kafka)
        monkeypatch.undo()
        await relay.relay_once(conn, kafka)

    messages = await log.read(TOPIC)
    assert len(messages) == 4
    assert expected(messages) == {"ada": ["n1", "n2"]}


async def test_a_connection_that_dies_within_an_exchange_is_made_anew(
    door, log, relay, monkeypatch
):
    await enqueue(door, notice(1))
    once = relay.relay_once
    deaths = [
        asyncpg.InternalClientError("cannot switch to state 15; another operation is in progress"),
        asyncpg.InterfaceError("connection is closed"),
    ]

    async def relay_once(*args):
        if deaths:
            raise deaths.pop()
        return await once(*args)

    monkeypatch.setattr(relay, "relay_once", relay_once)
    await run(relay, door, empty)

    assert all(db.passes(error) for error in (asyncpg.InternalClientError(), *deaths))
    [sent] = await log.read("crm.notices.v1")
    assert sent.key == b"ada"


async def test_a_shard_has_one_relay_at_a_time(door, log, relay):
    await enqueue(door, *[notice(n, f"c{n}") for n in range(64)])
    async with AsyncExitStack() as stack:
        first = await relay._session(stack)
        kafka = await relay._producer(stack)
        assert await relay.relay_once(first, kafka) == 64
        rival = Relay(relay._settings)
        second = await rival._session(stack)
        await enqueue(door, notice(99))

        assert await rival.relay_once(second, kafka) == 0
        first.terminate()

        async def taken_over():
            return await rival.relay_once(second, kafka) == 1

        await eventually(taken_over)


async def test_a_row_that_the_broker_refuses_for_good_is_buried_and_holds_up_nothing(
    door, log, relay
):
    noise = random.Random(1).randbytes(1_500_000).hex()  # what compresses would get in
    big = notice(2).data.model_copy(update={"template": noise})
    await enqueue(door, notice(1))
    await enqueue(door, codec.make("notice.suppressed", big, id="big", source="s", time=NOON))
    await enqueue(door, notice(3))

    await run(relay, door, empty)

    assert expected(await log.read(TOPIC)) == {"ada": ["n1", "n3"]}
    [letter] = await door.query("SELECT direction, event_id, state, reason FROM dead_letter")
    assert (letter.direction, letter.event_id, letter.state) == ("out", "big", "open")
    assert await replay(door.batches, [b"ada"]) == (1, 0)
    assert len(await door.query("SELECT 1 FROM outbox WHERE id = 'big'")) == 1


async def test_rows_of_an_absent_topic_hold_up_no_others_and_are_buried_when_that_is_sure(
    door, log, relay, monkeypatch
):
    no_such, no_name = replace(notice(8), topic="crm.no.v1"), replace(notice(9), topic="no/name")
    await enqueue(door, no_such, notice(1), no_name, notice(2))

    async def others_gone(door):
        return {row.id for row in await door.query("SELECT id FROM outbox")} == {"n8", "n9"}

    await run(relay, door, others_gone)
    assert not await door.query("SELECT 1 FROM dead_letter")
    monkeypatch.setattr("shared.relay.ABSENT_S", 0.2)
    await run(relay, door, empty)

    assert expected(await log.read(TOPIC)) == {"ada": ["n1", "n2"]}
    letters = await door.query("SELECT event_id, state, reason FROM dead_letter ORDER BY id")
    assert [(each.event_id, each.state) for each in letters] == [("n8", "open"), ("n9", "open")]
    assert "no such topic" in letters[0].reason


async def test_a_topic_that_comes_late_gets_its_rows(door, log, relay, infra):
    await enqueue(door, replace(notice(1), topic="crm.late.v1"), notice(2))

    async def other_gone(door):
        return len(await door.query("SELECT 1 FROM outbox")) == 1

    await run(relay, door, other_gone)
    admin = AIOKafkaAdminClient(bootstrap_servers=infra.kafka_servers)
    await admin.start()
    await admin.create_topics([NewTopic("crm.late.v1", PARTITIONS, 1)])
    await run(relay, door, empty)

    assert [message.key for message in await log.read("crm.late.v1")] == [b"ada"]
    assert not await door.query("SELECT 1 FROM dead_letter")
    await admin.delete_topics(["crm.late.v1"])
    await admin.close()


async def test_a_broker_that_is_away_makes_no_topic_absent(door, log, relay, infra, monkeypatch):
    await enqueue(door, notice(1))
    async with AsyncExitStack() as stack:
        conn = await relay._session(stack)
        kafka = await relay._producer(stack)
        await asyncio.to_thread(infra.kafka.kill)
        monkeypatch.setattr("shared.relay.ABSENT_S", 0)
        with pytest.raises(KafkaError):
            await relay.relay_once(conn, kafka)
        monkeypatch.undo()
    await asyncio.to_thread(infra.kafka.start)

    await run(relay, door, empty)

    assert not await door.query("SELECT 1 FROM dead_letter")
    assert expected(await log.read(TOPIC)) == {"ada": ["n1"]}


async def test_a_ring_wakes_a_relay_of_another_process(door, relay):
    stop = asyncio.Event()
    bell = Bell(door.world.settings)
    ringing = asyncio.create_task(bell.run(stop))
    async with AsyncExitStack() as stack:
        await relay._session(stack)
        relay._wake.clear()
        bell.ring()

        async def woken():
            return relay._wake.is_set()

        await eventually(woken)
    stop.set()
    bell.ring()
    await ringing
