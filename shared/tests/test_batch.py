"""The promises of `shared/batch.py`, against real PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared import breaker, db, inbox
from shared.batch import Batches
from shared.breaker import Stopped
from shared.consumer import BATCH_MIN, Consumer
from shared.errors import Reject
from shared.events import codec
from shared.events.fields import Campaign
from shared.events.orders import Line, OrderSnapshot
from shared.events.profiles import ErasureRequested
from shared.letters_cli import replay
from shared.message import Message
from shared.positions import Fenced, Position
from shared.relay import Relay
from shared.testing import Log
from shared.tests.harness import eventually

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def order(number: int, customer: str = "ada", **more):
    snapshot = OrderSnapshot(
        customer_id=customer,
        order_id=f"o{number}",
        revision=1,
        store="default",
        currency="EUR",
        total_minor=1000,
        lines=(
            Line(line_id="1", product_id="p", quantity=1, unit_price_minor=1000, total_minor=1000),
        ),
        **more,
    )
    return codec.make(
        "order.placed",
        snapshot,
        id=f"e{number}",
        source="shop",
        time=NOON + timedelta(seconds=number),
    )


async def tally(door):
    return {row.customer_id: row.events for row in await door.query("SELECT * FROM tally")}


async def test_a_redelivered_batch_counts_once(door):
    await door.give(order(1), order(2))

    await door.again(*door.log.messages)

    assert await tally(door) == {"ada": 2}


async def test_an_event_republished_in_another_partition_counts_once(door):
    await door.give(order(1))

    await door.handle([door.log.append(order(1), partition=3)])

    assert await tally(door) == {"ada": 1}


@pytest.mark.parametrize(("days", "effects"), [(31, 1), (inbox.KEEP.days - 1, 1), (60, 2)])
async def test_a_month_later_it_still_counts_once(door, make_admin, days, effects):
    event = replace(order(1), time=datetime.now(UTC) - timedelta(days))
    await door.give(event)

    owner = await make_admin(door)
    await owner.execute("UPDATE inbox SET claimed_at = claimed_at - $1::interval", timedelta(days))
    async with door.engine.begin() as conn:
        await inbox.keep_days(conn)
    await door.handle([door.log.append(event, partition=3)])

    assert await tally(door) == {"ada": effects}, "when no topic has it any more, nobody asks"


async def test_one_id_twice_in_a_batch_counts_once(door):
    await door.give(order(1), order(1), order(2))

    assert await tally(door) == {"ada": 2}


async def test_a_batch_from_a_stale_position_is_fenced(door):
    await door.give(order(1))
    late = [door.log.append(order(2))]
    stale = {TopicPartition(m.topic, m.partition): Position(0) for m in late}

    with pytest.raises(Fenced):
        await door.batches.handle(late, stale)

    assert await tally(door) == {"ada": 1}


def poison(door, **more):
    """Every kind of record that is no event, each with a key of its own partition."""
    good, headers = codec.encode(order(99, "eve"))
    head = dict(headers)
    kinds = {
        "bad JSON": (b"eve", b"{", head),
        "too large": (b"eve", b'{"a":"' + b"x" * (2 * 1024 * 1024) + b'"}', head),
        "major version": (b"eve", good, head | {"ce_dataschema": b"urn:regulars:order.placed:2"}),
        "null value": (b"eve", None, head),
        "null key": (None, good, head),
        "missing id": (b"eve", good, {k: v for k, v in head.items() if k != "ce_id"}),
        "in 2099": (b"eve", good, head | {"ce_time": b"2099-01-01T00:00:00Z", "ce_id": b"f"}),
        "other key": (b"bob", good, head),
    }
    stamp = int(NOON.timestamp() * 1000) + 10**7
    return {
        name: door.log.add(
            Message("shop.orders.v1", 0, 0, stamp, key, value, tuple(headers.items()))
        )
        for name, (key, value, headers) in kinds.items()
    }


async def test_poison_is_buried_with_its_bytes_and_the_good_goes_on(door):
    first = door.log.append(order(1), partition=0)
    bad = poison(door)
    last = door.log.append(order(2), partition=0)

    await door.handle([first, *bad.values(), last])

    assert await tally(door) == {"ada": 2}
    letters = await door.query("SELECT value, key, reason, state FROM dead_letter ORDER BY id")
    assert [(row.value, row.key) for row in letters] == [(m.value, m.key) for m in bad.values()]
    assert all(row.state == "open" and row.reason.startswith("Reject: ") for row in letters)


async def test_an_unknown_type_is_skipped_and_counted(door):
    event = replace(order(1), type="order.teleported")

    await door.handle([door.log.append(event), door.log.append(order(2))])

    assert await tally(door) == {"ada": 1}
    counted = await door.query("SELECT type, source, count FROM unknown_type")
    assert [tuple(row) for row in counted] == [("order.teleported", "shop", 1)]


BUG = Campaign(name="bug")
SLOW = Campaign(name="slow")


async def test_what_the_handler_cannot_handle_is_found_and_buried_alone(door):
    events = [order(n, f"c{n}", campaign=BUG if n in {3, 11} else None) for n in range(20)]

    await door.give(*events)

    assert len(await tally(door)) == 18
    buried = await door.query("SELECT event_id, reason FROM dead_letter ORDER BY id")
    assert [row.event_id for row in buried] == ["e3", "e11"]
    assert "Bug" in buried[0].reason


@pytest.mark.parametrize(("error", "tries"), [(Reject("no"), 1), (KeyError("a bug"), 3)])
async def test_one_alone_is_tried_again_unless_it_is_rejected_by_name(door, error, tries):
    tried = []

    async def handle(_conn, events, _world):
        tried.append(len(events))
        raise error

    door.batches.handler = replace(door.service.handler, handle=handle)
    await door.give(order(1))

    assert tried == [1] * tries
    [buried] = await door.query("SELECT event_id, reason FROM dead_letter")
    assert type(error).__name__ in buried.reason


async def test_a_buried_event_does_not_claim_its_id_and_is_replayed_once(door, monkeypatch):
    await door.give(order(1), order(2, campaign=BUG))

    fixed = replace(door.service.handler, handle=_without_bug(door))
    door.batches.handler = fixed
    replayed = await replay(door.batches, [b"ada"])
    again = await replay(door.batches, [b"ada"])

    assert (replayed, again) == ((1, 0), (0, 0))
    assert await tally(door) == {"ada": 2}


def _without_bug(door):
    original = door.service.handler.handle

    async def handle(conn, events, world):
        clean = [replace(e, data=e.data.model_copy(update={"campaign": None})) for e in events]
        await original(conn, clean, world)

    return handle


async def test_one_customers_batch_that_times_out_is_alone_in_it(door):
    events = [order(n, f"c{n}", campaign=SLOW if n == 5 else None) for n in range(8)]

    await door.give(*events)

    assert len(await tally(door)) == 7
    [letter] = await door.query("SELECT event_id, reason FROM dead_letter")
    assert letter.event_id == "e5"
    assert "57014" in letter.reason


async def test_an_event_whose_statement_somebody_cancels_is_tried_again(door):
    cancelled = []

    async def handle(conn, events, world):
        if not cancelled:
            cancelled.append(events[0].id)
            await conn.execute(text("SELECT pg_cancel_backend(pg_backend_pid())"))
        await door.service.handler.handle(conn, events, world)

    door.batches.handler = replace(door.service.handler, handle=handle)
    await door.give(order(1))

    assert cancelled == ["e1"]
    assert await tally(door) == {"ada": 1}
    assert await door.query("SELECT 1 FROM dead_letter") == []


async def test_a_pause_in_one_events_transaction_buries_nothing(door, monkeypatch):
    monkeypatch.setattr(db, "TRANSACTION_MS", 300)  # below the statement's own limit
    engine = db.connect(door.world.settings)
    door.batches = Batches(engine, door.service.handler, door.world)
    await door.batches.start()

    with pytest.raises(DBAPIError) as lost:
        await door.give(order(1, campaign=SLOW))
    await engine.dispose()

    assert db.is_transient(lost.value)
    assert await door.query("SELECT 1 FROM dead_letter") == []


async def test_batches_give_way_to_who_waits_for_their_rows(door, monkeypatch):
    await door.give(order(1))
    count = door.service.handler.handle
    queue = "SELECT 1 FROM pg_locks WHERE NOT granted"
    rivals = []

    async def rival():
        async with door.engine.begin() as conn:
            await conn.execute(text("UPDATE tally SET events = events"))

    async def handle(conn, events, world):
        await count(conn, events, world)
        rivals.append(asyncio.create_task(rival()))

        async def waits():
            return bool(await door.query(queue))

        await eventually(waits)

    handler = replace(door.service.handler, handle=handle)
    door.batches = Batches(door.engine, handler, door.world)
    consumer = Consumer(door.batches, Relay(door.world.settings))
    most = consumer.batch_max

    await door.give(order(2))
    await asyncio.gather(*rivals)
    consumer._give_way()
    assert consumer.batch_max == BATCH_MIN < most

    door.batches.handler = door.service.handler
    await door.give(order(3))
    for _ in range(10_000):
        consumer._give_way()
    assert consumer.batch_max == most
    await consumer.kafka.stop()


async def test_a_release_that_fails_always_stops_and_buries_nothing(door):
    events = [order(n, f"c{n}", campaign=BUG) for n in range(200)]
    messages = [door.log.append(event) for event in events]

    for _ in range(10):
        batches = Batches(door.engine, door.service.handler, door.world)
        await batches.start()
        door.batches = batches
        with pytest.raises(Stopped):
            await door.handle(messages)

    assert await door.query("SELECT 1 FROM dead_letter") == []
    assert await tally(door) == {}


async def test_a_stopped_release_stops_again_at_its_first_failure(door):
    door.batches.release = "1"
    with pytest.raises(Stopped):
        await door.give(*[order(n, f"c{n}", campaign=BUG) for n in range(50)])
    door.log = Log()
    await door.batches.start()

    await door.give(order(100))
    with pytest.raises(Stopped):
        await door.give(order(101, campaign=BUG))
    async with door.engine.begin() as conn:
        assert await breaker.resume(conn, "profile", 0)
    await door.batches.start()
    await door.handle([door.log.messages[-1]])

    assert len(await door.query("SELECT 1 FROM dead_letter")) == 1


def bad(door, count):
    made = Message("shop.orders.v1", 0, 0, 1, b"ada", b"{", ())
    return [door.log.add(made) for _ in range(count)]


async def test_what_is_really_bad_is_buried_in_any_number_once_it_is_allowed(door):
    batch = [*bad(door, 25), door.log.append(order(1))]

    async def resume(allowed):
        async with door.engine.begin() as conn:
            assert await breaker.resume(conn, "profile", allowed)
        await door.batches.start()

    with pytest.raises(Stopped):
        await door.handle(batch)
    await resume(24)
    with pytest.raises(Stopped, match="dead-letters resume"):
        await door.handle([*batch, *bad(door, 20)])
    assert await door.query("SELECT 1 FROM dead_letter") == []

    await resume(30)
    await door.handle(batch)
    assert await tally(door) == {"ada": 1}
    await door.handle(bad(door, 24))
    assert len(await door.query("SELECT 1 FROM dead_letter")) == 25 + 24
    with pytest.raises(Stopped):
        await door.handle(bad(door, 1))


async def test_another_release_begins_afresh(door):
    door.batches.release = "1"
    with pytest.raises(Stopped):
        await door.give(*[order(n, f"c{n}", campaign=BUG) for n in range(50)])

    door.batches.release = "2"
    await door.batches.start()

    assert door.batches.window == breaker.Window()


async def test_burials_over_many_batches_open_the_breaker_too(door):
    async def feed():
        for batch in range(40):
            base = 10 * batch
            bad = {base + 3, base + 7}
            await door.give(
                *[
                    order(n, f"c{n}", campaign=BUG if n in bad else None)
                    for n in range(base, base + 10)
                ]
            )

    with pytest.raises(Stopped, match="of the last"):
        await feed()

    assert len(await door.query("SELECT 1 FROM dead_letter")) < 25


async def test_with_quarantine_a_keys_later_events_wait_and_go_in_order(door):
    door.batches.handler = replace(door.service.handler, quarantine=True)
    await door.give(order(1), order(2, campaign=BUG), order(3), order(4, "bob"))
    await door.give(order(5), order(6, "bob"))
    before = await tally(door)

    door.batches.handler = replace(door.batches.handler, handle=_without_bug(door))
    await replay(door.batches, [b"ada"])

    assert before == {"ada": 1, "bob": 2}
    [row] = await door.query("SELECT trail FROM tally WHERE customer_id = 'ada'")
    assert row.trail == "e1 e2 e3 e5"
    await door.give(order(7))
    assert (await tally(door))["ada"] == 5


def erasure_of(customer):
    request = ErasureRequested(
        customer_id=customer,
        request_id="r1",
        members=(customer,),
        erased_until=NOON + timedelta(hours=1),
        deadline=NOON + timedelta(days=30),
    )
    return codec.make("erasure.requested", request, id="x1", source="regulars/profile", time=NOON)


async def test_the_erased_stay_erased_when_their_events_are_replayed(door):
    await door.give(order(1), order(2, "bob"))
    for topic in ("shop.orders.v1", "shop.catalog.v1"):
        letter = Message(topic, 1, 7, 1, b"ada", b"{", ())
        await door.handle([door.log.add(letter)])
    await door.give(erasure_of("ada"), order(3))

    letters = await door.query("SELECT topic FROM dead_letter")
    assert [row.topic for row in letters] == ["shop.catalog.v1"], "the product's is not hers"
    await door.again(*door.log.messages)
    await door.give(replace(order(4), time=NOON + timedelta(hours=2)))

    assert await tally(door) == {"ada": 1, "bob": 1}
    receipts = [e for e in await door.published() if e.type == "erasure.completed"]
    assert [(r.key, r.data.erased["tally"]) for r in receipts] == [("ada", 1)]


@given(cuts=st.lists(st.integers(1, 7), max_size=12))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_the_window_forgets_and_never_counts_below_zero(cuts):
    window = breaker.Window()
    for count in cuts:
        window = window.after(handled=count * 500).after(buried=count)
    assert window.handled + window.buried <= 2 * breaker.WINDOW + 3_507
    assert window.run == (cuts[-1] if cuts else 0)
