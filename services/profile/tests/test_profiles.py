"""Counters, attributes and what came twice."""

from services.profile.tests.shop import (
    at,
    come_round,
    order,
    profile,
    registered,
    state,
    updated,
    viewed,
)
from shared.events.orders import Line

SHIPPING = Line(line_id="2", kind="shipping", quantity=1, unit_price_minor=490, total_minor=490)


async def test_an_order_counts_from_the_first_event_of_it(door):
    await door.give(order(type_="order.paid", revision=2, minutes=5))

    ada = await profile(door)

    assert (ada["orders"], ada["units"], ada["spend_minor"]) == (1, 2, 2000)
    assert (ada["placed_orders"], ada["placed_minor"], ada["currency"]) == (1, 2000, "EUR")
    assert ada["first_order_at"] == ada["last_order_at"] == "2026-11-01T12:00:00Z"


async def test_later_revisions_count_by_their_difference(door):
    await door.give(order(), order(type_="order.paid", revision=2, minutes=1))
    await door.give(
        order(type_="order.returned", revision=5, minutes=9, line={"returned": 1}),
        order(type_="order.shipped", revision=3, minutes=7),
    )

    ada = await profile(door)

    assert (ada["orders"], ada["units"], ada["spend_minor"]) == (1, 1, 1000)
    assert (ada["placed_orders"], ada["placed_minor"]) == (1, 2000)


async def test_a_cancelled_order_stays_placed_and_stands_no_longer(door):
    await door.give(order(), order(order_id="o2", minutes=9, placed_at=at(9)))
    await door.give(
        order(order_id="o2", type_="order.cancelled", revision=2, line={"cancelled": 2})
    )

    ada = await profile(door)

    assert (ada["orders"], ada["spend_minor"], ada["placed_orders"]) == (1, 2000, 2)
    assert ada["last_order_at"] == ada["first_order_at"] == "2026-11-01T12:00:00Z"


async def test_a_cancellation_without_counts_cancels_the_whole_order(door):
    await door.give(order(), order(type_="order.cancelled", revision=2, minutes=3))

    ada = await profile(door)

    assert (ada["orders"], ada["units"], ada["spend_minor"]) == (0, 0, 0)
    assert (ada["placed_orders"], ada["placed_minor"]) == (1, 2000)


async def test_a_refund_pays_for_its_return_and_does_not_count_twice(door):
    line = {"returned": 1, "refunded_minor": 1000}
    await door.give(order(), order(type_="order.refunded", revision=2, line=line))

    assert (await profile(door))["spend_minor"] == 1000


async def test_test_orders_and_free_ones_count_nowhere(door):
    await door.give(order(test=True), order(order_id="o2", price=0))

    ada = await profile(door)

    assert {ada[name] for name in ("orders", "units", "spend_minor", "placed_orders")} == {0}
    assert ada["first_order_at"] is None


async def test_foreign_money_counts_in_the_base_currency_or_is_left_out(door):
    await door.give(
        order(currency="USD", base_total_minor=1800, line={"returned": 1}),
        order(order_id="o2", currency="USD"),
    )

    ada = await profile(door)

    assert (ada["orders"], ada["orders_left_out"]) == (2, 1)
    assert (ada["spend_minor"], ada["placed_minor"]) == (900, 1800)


async def test_shipping_is_money_and_no_piece(door):
    mug = order().data.lines[0]
    await door.give(order(lines=(mug, SHIPPING), total_minor=2490))

    ada = await profile(door)

    assert (ada["units"], ada["spend_minor"]) == (2, 2490)


async def test_attributes_are_the_newest_by_event_time(door):
    await door.give(updated(minutes=9, name="Ada L.", attributes={"size": "M"}))
    await door.give(
        registered(minutes=0, name="Ada", email="ada@shop.example"),
        updated(minutes=20, email=None),
        updated(minutes=5, email="old@shop.example", attributes={"size": "S"}),
    )

    told = (await profile(door))["attributes"]

    assert told == {
        "name": "Ada L.",
        "custom.size": "M",
        "registered_at": "2026-11-01T12:00:00+00:00",
    }


async def test_browsing_is_counted_by_kind(door):
    await door.give(viewed(), viewed(minutes=3))

    ada = await profile(door)

    assert ada["browse"] == {"product.viewed": 2}
    assert (ada["first_seen_at"], ada["last_seen_at"]) == (
        "2026-11-01T12:00:00Z",
        "2026-11-01T12:03:00Z",
    )


async def test_what_is_redelivered_changes_nothing(door):
    await door.give(registered(name="Ada"), order(), viewed(minutes=2))
    before = await state(door)

    await door.again(*door.log.messages)

    assert await state(door) == before


async def test_what_is_republished_elsewhere_changes_nothing(door):
    first = order(minutes=3)
    await door.give(registered(name="Ada"), first)
    before = await state(door)

    await door.handle([door.log.append(first, partition=3)])

    assert await state(door) == before


async def test_nothing_is_published_about_what_is_only_counted(door):
    await door.give(registered(name="Ada"), order(), viewed())

    assert await come_round(door) == []
