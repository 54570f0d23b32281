"""Rewards that are given: once for each person, whatever is redelivered, replayed or merged."""

from datetime import timedelta

import pytest

from services.loyalty.tests.counter import Counter, counter_at
from services.loyalty.tests.shop import NOON, Order, erasure, merged
from shared.events import codec
from shared.events.customers import CustomerRegistered


def registered(customer="ada", n=1, **more):
    backfill = more.pop("backfill", False)
    fact = CustomerRegistered(customer_id=customer, **more)
    return codec.make(
        "customer.registered",
        fact,
        id=f"r{n}-{customer}",
        source="shop",
        time=NOON + timedelta(minutes=n),
        backfill=backfill,
    )


@pytest.fixture
async def shop(door):
    async with counter_at(door) as http:
        counter = Counter(http)
        await counter.lay_down("hello", occasion="welcome", valid={"after_days": 7})
        yield counter


async def test_who_registers_gets_the_welcome_gift_once(shop, door):
    first = registered()

    await door.give(first, registered("bob"), *Order(customer="bob").life())
    await door.again(*door.log.messages)
    await door.give(registered(n=2))

    [gift] = await shop.coupons()
    assert (gift["reward_id"], gift["state"], gift["points"]) == ("hello", "issued", 0)
    assert gift["expires_at"] == "2026-11-09T00:00:00Z"
    assert len(await shop.coupons("bob")) == 1
    told = [(e.key, e.data.occasion) for e in await door.published() if e.type == "reward.issued"]
    assert told == [("ada", "welcome"), ("bob", "welcome")]
    assert (await shop.act("use", gift))["state"] == "used"


async def test_a_second_id_of_the_person_brings_no_second_gift(shop, door):
    await door.give(registered())
    await door.give(*[merged(one, "ada", ("ada", "adas-phone")) for one in ("ada", "adas-phone")])

    await door.give(registered("adas-phone"))

    assert len(await shop.coupons()) == 1


async def test_history_guests_and_other_stores_get_none(shop, door):
    await shop.lay_down("hello-us", occasion="welcome", stores=["us"])

    await door.give(
        registered("old", backfill=True), registered("guest:1"), registered("cy", store="web")
    )

    assert [await shop.coupons(one) for one in ("old", "guest:1")] == [[], []]
    assert [one["reward_id"] for one in await shop.coupons("cy")] == ["hello"]


async def test_a_gift_with_a_stock_is_given_as_far_as_it_goes(shop, door):
    await shop.lay_down("few", occasion="welcome", stock=2)

    await door.give(*[registered(f"c{n}") for n in range(5)])

    had = [len(await shop.coupons(f"c{n}")) for n in range(5)]
    assert sorted(had) == [1, 1, 1, 2, 2]


async def test_after_an_erasure_a_registration_begins_a_new_person(shop, door):
    await door.give(registered())
    await door.give(erasure("ada", until=NOON + timedelta(minutes=5)))

    await door.give(registered(n=9))

    assert len(await shop.coupons()) == 1
