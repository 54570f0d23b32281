"""Which notices arise from which events, and what is recorded of those that do not go out."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.notify import orders
from services.notify.orders import Surroundings
from services.notify.tests.conftest import STORES
from services.notify.tests.shop import (
    NOON,
    cancelled,
    consent,
    contact,
    erased,
    order,
    registered,
    restricted,
    shipped,
    updated,
)


async def kinds(door):
    rows = await door.query("SELECT kind, state, reason FROM notice ORDER BY event_time, kind, id")
    return [(row.kind, row.state, row.reason) for row in rows]


CONFIRMED = ("order_confirmation", "created", None)
SHIPPED = ("order_shipped", "created", None)


async def test_an_order_is_confirmed_once_however_its_events_come(door):
    placed, paid = order(), order("order.paid", revision=2)
    await door.give(placed, paid)
    await door.give(order(), order("order.paid", revision=5), order("order.changed", revision=6))
    await door.again(*door.log.messages)

    assert await kinds(door) == [CONFIRMED]


async def test_it_is_confirmed_by_its_payment_when_that_comes_first(door):
    await door.give_singly(order("order.paid", revision=2), order(revision=1))

    assert await kinds(door) == [CONFIRMED]


async def test_an_order_under_two_customers_is_confirmed_once(door):
    await door.give(order(customer="guest:o1"), order(customer="ada"))

    assert await kinds(door) == [CONFIRMED]


async def test_each_parcel_is_told_of_once(door):
    await door.give(shipped("RM1", 1, revision=2), shipped("RM1", 1, revision=3))
    await door.give(shipped("RM2", 2, revision=4), shipped("RM2", 2, revision=4))

    assert await kinds(door) == [SHIPPED, SHIPPED]
    contents = await door.query(
        "SELECT content FROM notice ORDER BY content->'shipment'->>'tracking_number'"
    )
    assert [row.content["lines"][0]["quantity"] for row in contents] == [1, 1]


async def test_without_tracking_numbers_each_further_shipment_is_told_of(door):
    await door.give_singly(
        shipped(pieces=1, revision=2), shipped(pieces=1, revision=3), shipped(pieces=2, revision=4)
    )

    assert await kinds(door) == [SHIPPED, SHIPPED]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (order(backfill=True), "backfill"),
        (order(test=True), "test_order"),
        (order(store="tmall"), "no_direct_contact"),
        (order(at=NOON - timedelta(hours=49)), "stale"),
    ],
)
async def test_what_will_never_go_out_is_recorded_with_its_reason(door, event, reason):
    await door.give(event)

    assert await kinds(door) == [("order_confirmation", "suppressed", reason)]
    [row] = await door.query("SELECT content, settled_at FROM notice")
    assert row.content is None
    assert row.settled_at is not None
    published = await door.published()
    assert [e.data.reason for e in published] == ([] if reason == "backfill" else [reason])


async def test_history_told_once_is_not_told_again_as_news(door):
    await door.give(order(backfill=True))
    await door.give(order("order.paid", revision=2))

    assert await kinds(door) == [("order_confirmation", "suppressed", "backfill")]


async def test_an_older_revision_tells_nothing_and_a_newer_one_still_may(door):
    await door.give_singly(order("order.changed", revision=5), order(revision=1))
    assert await kinds(door) == [("order_confirmation", "suppressed", "superseded")]

    await door.give(order("order.paid", revision=6))

    assert await kinds(door) == [CONFIRMED]
    assert [e.data.reason for e in await door.published()] == ["superseded"]


async def test_an_order_is_kept_as_of_its_last_revision(door):
    email = contact(email="bob@b.example", locale="de")
    await door.give(
        shipped("RM1", revision=3, contact=email), cancelled(revision=4), order(revision=2)
    )

    [row] = await door.query("SELECT revision, cancelled, shipped, contact FROM shop_order")
    assert tuple(row) == (4, True, {}, None)


async def test_contact_points_are_the_newest_by_event_time(door):
    hour = timedelta(hours=1)
    await door.give(updated(at=NOON + hour, email="new@a.example", name=None))
    await door.give(registered(phone="+8613800138000", locale="zh-CN"))

    rows = await door.query("SELECT field, value FROM contact ORDER BY field")
    assert dict(tuple(row) for row in rows) == {
        "email": "new@a.example",
        "locale": "zh-CN",
        "name": None,
        "sms": "+8613800138000",
    }


async def test_consent_and_restriction_follow_the_highest_version(door):
    await door.give_singly(
        consent("withdrawn", version=3),
        consent("granted", version=2),
        restricted(on=True, version=2),
        restricted(on=False, version=1),
    )

    assert [tuple(r) for r in await door.query("SELECT state, version FROM consent")] == [
        ("withdrawn", 3)
    ]
    assert [tuple(r) for r in await door.query("SELECT restricted FROM customer")] == [(True,)]


async def test_an_erasure_leaves_nothing_that_names_anybody(door):
    await door.give(
        registered(),
        consent("granted"),
        order(contact=contact(email="ada@b.example")),
        shipped("RM1"),
    )
    await door.published()

    await door.give(erased())

    for table in ("customer", "contact", "consent", "shop_order"):
        assert await door.query(f"SELECT * FROM {table}") == []
    rows = await door.query("SELECT * FROM notice")
    assert [(row.state, row.reason) for row in rows] == [("suppressed", "erased")] * 2
    for row in rows:
        assert not {"ada", "o1", "ada@b.example", "shop"} & {str(value) for value in row}
        assert (row.content, row.decision, row.address) == (None, None, None)
    [receipt] = await door.published()
    assert receipt.data.erased == {
        "notice": 2,
        "customer": 1,
        "contact": 2,
        "consent": 1,
        "shop_order": 1,
    }


async def test_a_replay_after_an_erasure_brings_nothing_back(door):
    events = [registered(), order()]
    await door.give(*events)
    await door.give(erased())

    await door.give(order("order.paid", revision=2), registered())
    await door.again(*door.log.messages[:2])

    assert await kinds(door) == [("order_confirmation", "suppressed", "erased")]
    assert await door.query("SELECT * FROM customer") == []


async def test_a_muted_worker_records_and_sends_nothing(door):
    muted = door.world.settings.model_copy(update={"muted": True})
    door.batches.world = type(door.world)(
        muted, door.world.stores, door.world.clock, door.world.tombstones
    )

    await door.give(order())

    assert await kinds(door) == [("order_confirmation", "suppressed", "muted")]
    assert await door.published() == []


TYPES = ["order.placed", "order.paid", "order.changed", "order.shipped", "order.cancelled"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(TYPES),
        st.sampled_from(["o1", "o2"]),
        st.integers(1, 3),
        st.sampled_from(["", "RM1", "RM2"]),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=10,
)
GIVEN = Surroundings(STORES, NOON, muted=False)


def build(step):
    type_, order_id, revision, number, pieces, backfill = step
    event = shipped(number, pieces, revision, order_id=order_id, backfill=backfill)
    return order(
        type_,
        order_id,
        revision,
        lines=event.data.lines,
        shipment=event.data.shipment,
        backfill=backfill,
    )


def run(batches):
    """State, notices and announcements after the batches, as the database would keep them."""
    state, notices, said = {}, {}, []
    for batch in batches:
        known = {id_: notice.reason for id_, notice in notices.items()}
        folded = orders.fold(state, known, batch, orders.arising(batch), GIVEN)
        state |= folded.orders
        notices |= folded.notices
        said += folded.suppressed
    return state, notices, said


@settings(derandomize=True, deadline=None, max_examples=60)
@given(STEPS, st.lists(st.integers(0, 10), max_size=4))
@example(
    [
        ("order.changed", "o1", 2, "", 0, False),
        ("order.placed", "o1", 1, "", 0, False),  # superseded
        ("order.paid", "o1", 3, "", 0, False),  # and told after all
    ],
    [2],
)
def test_any_cutting_of_a_stream_gives_the_same_notices(steps, cuts):
    events = [build(step) for step in steps]
    edges = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    pieces = [events[a:b] for a, b in pairwise(edges)]

    assert run(pieces) == run([events])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(STEPS, st.randoms(use_true_random=False))
def test_an_orders_last_revision_is_kept_in_whatever_order_they_come(steps, random):
    one_each = {
        (order_id, revision): build(step) for step in steps for _, order_id, revision, *_ in [step]
    }
    events = list(one_each.values())
    shuffled = list(events)
    random.shuffle(shuffled)

    assert run([shuffled])[0] == run([events])[0]
