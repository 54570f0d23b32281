"""The simulated store: the same for the same seed, in the order of time, and without a fault."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from shared.events import codec
from shared.events.envelope import Event
from shared.events.findings import Sequence, check_event
from shared.events.registry import KINDS
from shared.message import Message
from stack.simulator import simulate

START = datetime(2025, 6, 2, 14, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def life() -> list[Event]:
    return list(simulate(seed=1, customers=120, days=21, start=START))


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (
        [(event.key, *codec.encode(event)) for event in simulate(3, 30, 6, START)] for _ in range(2)
    )

    assert first == second
    assert first != [(e.key, *codec.encode(e)) for e in simulate(4, 30, 6, START)]


def test_a_later_start_tells_of_other_facts(life: list[Event]) -> None:
    later = simulate(seed=1, customers=120, days=3, start=START + timedelta(days=1))
    shared = ("product.published", "offer.changed")

    named = {(event.source, event.id) for event in life}
    keys = {event.key for event in life}

    for event in later:
        assert (event.source, event.id) not in named
        assert event.type in shared or event.key not in keys


def test_events_come_in_the_order_of_time_and_end_with_the_last_day(life: list[Event]) -> None:
    times = [event.time for event in life]

    assert times == sorted(times)
    assert times[0] == START
    assert times[-1] < START + timedelta(days=21)


def test_every_event_is_read_back_as_it_was_written(life: list[Event]) -> None:
    for offset, event in enumerate(life):
        value, headers = codec.encode(event)
        stamp = int(event.time.timestamp() * 1000) + 1
        message = Message(event.topic, 0, offset, stamp, event.key.encode(), value, tuple(headers))

        read = codec.decode(message)

        assert isinstance(read, Event)
        assert (read.id, read.type, read.time, read.data) == (
            event.id,
            event.type,
            event.time,
            event.data,
        )


def test_the_check_for_producers_finds_nothing(life: list[Event]) -> None:
    sequence = Sequence()

    found = [
        finding
        for event in life
        for finding in (*check_event(event, now=event.time), *sequence.check(event))
    ]

    assert found == []


def test_everything_that_happens_in_a_store_happens(life: list[Event]) -> None:
    types = Counter(event.type for event in life)
    untold = {"recommendation.shown", "recommendation.clicked", "product.withdrawn"}
    rare = {"order.changed", "order.exchanged", "ticket.updated", "ticket.reopened"}
    rare |= {"customer.updated", "referral.invited", "content.shared", "ugc.published"}

    expected = {name for topic, kinds in KINDS.items() for name in kinds if topic[:5] == "shop."}
    assert set(types) >= expected - untold - rare - {"ticket.escalated", "customer.deleted"}
    orders = [event.data for event in life if event.type == "order.placed"]
    assert any(order.test for order in orders)
    assert any(order.customer_id.startswith("guest:") for order in orders)
    assert {order.currency for order in orders} == {"GBP", "CNY"}
    assert types["cart.item_added"] > types["order.placed"] * 1.2, "some carts are left"


def test_who_browsed_anonymously_is_identified_later(life: list[Event]) -> None:
    seen: set[str] = set()
    known_after_browsing = 0
    for event in life:
        if event.type == "customer.identified":
            known_after_browsing += event.data.anonymous_id in seen
        seen.add(event.key)

    assert known_after_browsing > 10


def test_who_was_forgotten_is_not_heard_of_again() -> None:
    gone: set[str] = set()
    for event in simulate(seed=5, customers=400, days=9, start=START):
        assert event.key not in gone
        if event.type == "customer.deleted":
            gone.add(event.key)

    assert gone


def test_there_is_something_to_find(life: list[Event]) -> None:
    """Who buys tea for gongfu buys its cups: more often together than chance would have it."""
    baskets = [
        {line.product_id for line in event.data.lines if line.product_id}
        for event in life
        if event.type == "order.placed"
    ]
    tea, ware = {"tieguanyin", "dahongpao", "dancong"}, {"gaiwan", "tea-tray", "tasting-cups"}
    with_tea = [basket for basket in baskets if basket & tea]
    others = [basket for basket in baskets if not basket & tea]

    def share(some: list[set[str]]) -> float:
        return sum(bool(basket & ware) for basket in some) / len(some)

    assert share(with_tea) > 2 * share(others)


def test_it_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="customers"):
        next(simulate(1, 0, 3, START))
    with pytest.raises(ValueError, match="zone"):
        next(simulate(1, 3, 3, START.replace(tzinfo=None)))
