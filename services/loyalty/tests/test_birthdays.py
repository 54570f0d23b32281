"""Birthday rewards: once a year, whatever the clock or replays do, 29 February too."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from services.loyalty.jobs import birthdays
from services.loyalty.tests import test_tiering
from services.loyalty.tests.counter import Counter, counter_at, earn
from services.loyalty.tests.shop import NOON, erasure, merged
from services.loyalty.tests.test_giving import registered
from shared.clock import Clock
from shared.stores import Store, Stores

BIRTHDAY = datetime(2027, 5, 4, 9, tzinfo=UTC)


@pytest.fixture
async def shop(door):
    async with counter_at(door) as http:
        counter = Counter(http)
        await counter.lay_down("cake", occasion="birthday", valid={"after_days": 30})
        yield counter


async def born(door, customer, birthday, n=1):
    """A member, who has said when his birthday is."""
    if n == 1:
        await earn(door, customer, 1, f"o-{customer}")
    await door.give(registered(customer, n, birthday=birthday))


async def celebrate(door, now, **world):
    await birthdays.give_due(door.engine, replace(door.world, clock=Clock(frozen_at=now), **world))


async def issued(shop, customer="ada"):
    return [one["issued_at"] for one in await shop.coupons(customer)]


def test_29_february_is_1_march_in_other_years():
    assert birthdays.born_on(date(2028, 2, 29)) == {"02-29"}
    assert birthdays.born_on(date(2028, 3, 1)) == {"03-01"}
    assert birthdays.born_on(date(2027, 3, 1)) == {"03-01", "02-29"}
    assert birthdays.born_on(date(2027, 2, 28)) == {"02-28"}


async def test_a_member_gets_his_gift_once_a_year_whenever_the_job_runs(shop, door):
    await born(door, "ada", "1990-05-04")
    await born(door, "bob", "1990-05-05")
    await door.give(registered("nobody", birthday="1990-05-04"))  # has no account

    await celebrate(door, BIRTHDAY - timedelta(days=1))
    early = await issued(shop)
    await celebrate(door, BIRTHDAY)
    await celebrate(door, BIRTHDAY + timedelta(hours=3))
    await celebrate(door, BIRTHDAY - timedelta(days=3))  # the clock was put back
    await celebrate(door, BIRTHDAY + timedelta(days=365))

    assert early == []
    assert await issued(shop) == ["2027-05-04T00:00:00Z"]
    await celebrate(door, BIRTHDAY + timedelta(days=366))
    assert await issued(shop) == ["2028-05-04T00:00:00Z", "2027-05-04T00:00:00Z"]
    assert await issued(shop, "nobody") == []
    told = [e.data.occasion for e in await door.published() if e.type == "reward.issued"]
    assert told == ["birthday", "birthday"]


async def test_a_job_that_was_away_catches_up_with_the_last_week(shop, door):
    await born(door, "ada", "--12-30")
    await born(door, "bob", "--12-20")

    await celebrate(door, datetime(2027, 1, 2, tzinfo=UTC))
    await celebrate(door, datetime(2027, 12, 30, tzinfo=UTC))

    assert await issued(shop) == ["2027-12-30T00:00:00Z", "2026-12-30T00:00:00Z"]
    assert await issued(shop, "bob") == []


async def test_who_tells_another_birthday_gets_no_second_gift_in_the_year(shop, door):
    await born(door, "ada", "1990-05-04")
    await celebrate(door, BIRTHDAY)

    await born(door, "ada", "1990-05-06", n=2)
    await celebrate(door, BIRTHDAY + timedelta(days=2))

    assert len(await issued(shop)) == 1


async def test_a_person_with_two_ids_has_one_birthday(shop, door):
    for customer in ("ada", "adas-phone"):
        await born(door, customer, "1990-05-04")
    await door.give(*[merged(one, "ada", ("ada", "adas-phone")) for one in ("ada", "adas-phone")])

    await celebrate(door, BIRTHDAY)
    await celebrate(door, BIRTHDAY)

    assert len(await issued(shop)) == 1


async def test_jobs_in_two_processes_give_one_gift(shop, door):
    for n in range(30):
        await born(door, f"c{n}", "1990-05-04")

    await asyncio.gather(*(celebrate(door, BIRTHDAY) for _ in range(3)))

    assert [len(await issued(shop, f"c{n}")) for n in range(30)] == [1] * 30


async def test_the_day_is_that_of_the_stores_zone(shop, door):
    await shop.lay_down("noodles", occasion="birthday", stores=["cn"])
    stores = Stores("EUR", {"web": Store(id="web"), "cn": Store(id="cn", zone="Asia/Shanghai")})
    await born(door, "ada", "1990-05-04")

    await celebrate(door, datetime(2027, 5, 3, 16, tzinfo=UTC), stores=stores)

    [coupon] = await shop.coupons()
    assert (coupon["reward_id"], coupon["issued_at"]) == ("noodles", "2027-05-03T16:00:00Z")


async def test_a_gift_is_for_its_segments_and_as_many_as_there_are(shop, door):
    await shop.lay_down("vip", occasion="birthday", segments=["vip"])
    await shop.lay_down("few", occasion="birthday", stock=1)
    for customer in ("ada", "bob"):
        await born(door, customer, "1990-05-04")

    await celebrate(door, BIRTHDAY)

    had = [one["reward_id"] for c in ("ada", "bob") for one in await shop.coupons(c)]
    assert sorted(had) == ["cake", "cake", "few"]


async def test_a_tiers_birthday_reward_is_given_to_its_members_alone(shop, door):
    await shop.lay_down("crown", occasion="birthday")
    gold = {"code": "gold", "threshold": 150, "benefits": {"birthday_reward": "crown"}}
    await test_tiering.lay_down(door, tiers=[{"code": "basic", "threshold": 0}, gold])
    for customer in ("ada", "bob"):
        await born(door, customer, "1990-05-04")
    await door.give(test_tiering.paid("o2", "ada", euros=2)[1])

    await celebrate(door, BIRTHDAY)

    assert {one["reward_id"] for one in await shop.coupons("ada")} == {"cake", "crown"}
    assert {one["reward_id"] for one in await shop.coupons("bob")} == {"cake"}


async def test_the_erased_has_no_birthday(shop, door):
    await born(door, "ada", "1990-05-04")
    await door.give(erasure("ada", until=NOON + timedelta(days=9)))

    await celebrate(door, BIRTHDAY)

    assert await door.query("SELECT 1 FROM coupon") == []
