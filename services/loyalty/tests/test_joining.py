"""Joining and leaving through the public doors: what earns, what is credited, what is forfeited."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.loyalty.members.membership import Joining
from services.loyalty.tests.caller import Api, new_key
from services.loyalty.tests.shop import NOON, Order, erasure, line, merged
from services.loyalty.tests.test_giving import registered
from services.loyalty.work import joining, leaving
from shared.clock import Clock
from shared.events.fields import Contact
from shared.keys import dev_token
from shared.world import World

DAY = timedelta(days=1)
TERMS = {
    "mode": "joining",
    "terms_version": "v1",
    "credit_days": 30,
    "notice_days": 14,
    "starts_at": "2020-01-01T00:00:00Z",
}
ACCEPT = {"terms_version": "v1", "channel": "app"}


class Members(Api):
    """The API, with what a member does."""

    async def join(self, customer="ada", at=NOON, status=200, **more):
        path = f"/v1/accounts/{customer}/membership"
        return await self("POST", path, ACCEPT | more, at=at, status=status)

    async def leave(self, customer="ada", at=NOON, status=200):
        return await self("DELETE", f"/v1/accounts/{customer}/membership", at=at, status=status)

    async def state(self, customer="ada", at=NOON):
        return (await self("GET", f"/v1/accounts/{customer}/membership", at=at))["state"]


@pytest.fixture
def api(door):
    return Members(door)


@pytest.fixture
async def by_joining(api):
    await api("PUT", "/v1/membership-terms/default", TERMS, at=NOON - 400 * DAY)
    return api


async def run(job, door, at):
    world = World(
        door.world.settings, door.world.stores, Clock(frozen_at=at), door.world.tombstones
    )
    await job(door.engine, world)


async def verdict(api, order_id="o1"):
    return (await api("GET", f"/v1/orders/{order_id}"))["verdict"]


async def test_an_order_of_who_has_not_joined_earns_nothing(by_joining, door):
    await door.give(*Order().life())

    assert await verdict(by_joining) == "not_a_member"
    assert await by_joining.purse() == (0, 0, 0)
    assert await by_joining.state() == "none"


async def test_joining_credits_the_orders_of_the_last_days_once(by_joining, door):
    await door.give(*Order().life())
    await door.give(*Order("o2").life()[:2])

    first = await by_joining.join(at=NOON + 29 * DAY)
    again = await by_joining.join(at=NOON + 29 * DAY)

    assert (first["state"], first["credited_orders"], first["credited_points"]) == (
        ("member", 2, 20)
    )
    assert (again["credited_orders"], again["credited_points"]) == (0, 0)
    assert await by_joining.purse(at=NOON + 29 * DAY) == (10, 10, 0)
    assert await verdict(by_joining) == "earns"
    books = await by_joining.balanced()
    assert books["journals"] == 3
    assert await door.query("SELECT * FROM waiting_order") == []


async def test_orders_from_before_the_credited_days_are_not_credited(by_joining, door):
    await door.give(*Order().life())

    told = await by_joining.join(at=NOON + 31 * DAY)

    assert told["credited_orders"] == 0
    assert await verdict(by_joining) == "not_a_member"
    await run(leaving.prune_waiting, door, NOON + 31 * DAY)
    assert await door.query("SELECT * FROM waiting_order") == []


async def test_a_credited_order_is_credited_as_it_now_stands_and_returns_as_any(by_joining, door):
    order = Order(lines=(line("1", 1000), line("2", 500)))
    gone = order.every(delivered="all").change("1", returned=1)
    await door.give(*order.life(), gone.event("order.returned", 5))

    told = await by_joining.join(at=NOON + DAY)
    assert told["credited_points"] == 5
    await door.give(gone.change("2", returned=1).event("order.returned", 6))

    assert await by_joining.purse() == (0, 0, 0)
    await by_joining.balanced()


async def test_an_order_that_is_heard_of_after_the_joining_is_judged_as_one_that_waited(
    by_joining, door
):
    await by_joining.join(at=NOON + DAY)

    await door.give(*Order().life())

    assert await verdict(by_joining) == "earns"
    assert await by_joining.purse() == (0, 10, 0)


async def test_a_batch_is_cut_anywhere(by_joining, door, other_door):
    other = Members(other_door)
    await other("PUT", "/v1/membership-terms/default", TERMS, at=NOON - 400 * DAY)
    life = [*Order().life(), *Order("o2").life()]
    backwards = [life[1], life[0], *reversed(life[2:])]

    await door.give(*backwards)
    await other_door.give_singly(*life)

    waiting = "SELECT order_id, customer_id, paid_at, snapshot FROM waiting_order ORDER BY order_id"
    one, two = await by_joining.join(at=NOON + DAY), await other.join(at=NOON + DAY)
    assert one["credited_points"] == two["credited_points"] == 20
    assert await door.query(waiting) == await other_door.query(waiting) == []


async def test_what_an_order_holds_for_others_is_not_kept(by_joining, door):
    contact = Contact(email="ada@example.com", phone="+8613800138000")
    await door.give(Order(more={"contact": contact}).event("order.paid", 1))

    [row] = await door.query("SELECT snapshot::text FROM waiting_order")

    assert "ada@example.com" not in row[0]
    assert "13800138000" not in row[0]


async def test_leaving_forfeits_at_the_end_of_the_notice_and_not_before(by_joining, door):
    await by_joining.join()
    await door.give(*Order().life())
    told = await by_joining.leave(at=NOON + DAY)
    end = NOON + 15 * DAY
    assert told["state"] == "leaving"

    await run(leaving.forfeit_due, door, end - timedelta(seconds=1))
    assert await by_joining.purse() == (0, 10, 0)
    await door.published()
    for _ in range(2):
        await run(leaving.forfeit_due, door, end)

    assert await by_joining.purse(at=end) == (0, 0, 0)
    assert await by_joining.state(at=end) == "left"
    [fact] = await door.published()
    assert (fact.type, fact.data.points, fact.data.reason) == ("points.expired", 10, "left")
    assert fact.time == end
    await by_joining.balanced()


async def test_the_welcome_gift_comes_with_joining_or_registering_and_only_once(by_joining, door):
    gift = {"kind": "amount", "value_minor": 500, "occasion": "welcome"}
    await by_joining("PUT", "/v1/rewards/hello", gift, at=NOON - 400 * DAY)
    await door.give(*[merged(one, "cy", ("cy", "cys-phone")) for one in ("cy", "cys-phone")])

    await door.give(registered("ada"), registered("cys-phone"))
    for customer in ("ada", "bob", "cy"):
        await by_joining.join(customer, at=NOON + DAY)
        await by_joining.leave(customer, at=NOON + 2 * DAY)
        await by_joining.join(customer, at=NOON + 40 * DAY)
    await door.give(registered("bob", n=9))
    old = (NOON - 100 * DAY).isoformat()
    await by_joining("POST", "/v1/accounts/old/membership", ACCEPT | {"time": old})
    await asyncio.gather(by_joining.join("dan", at=NOON + DAY), door.give(registered("dan")))

    coupons = "SELECT customer_id, count(*) FROM coupon GROUP BY customer_id ORDER BY customer_id"
    assert dict(map(tuple, await door.query(coupons))) == {
        "ada": 1,
        "bob": 1,
        "cys-phone": 1,
        "dan": 1,
    }
    told = [e.key for e in await door.published() if e.type == "reward.issued"]
    assert sorted(told) == ["ada", "bob", "cys-phone", "dan"]


async def test_a_leaving_is_taken_back_by_joining_again(by_joining, door):
    await by_joining.join()
    await door.give(*Order().life())
    await by_joining.leave(at=NOON + DAY)

    assert (await by_joining.join(at=NOON + 2 * DAY))["state"] == "member"
    await by_joining.join(at=NOON + 3 * DAY)
    await run(leaving.forfeit_due, door, NOON + 30 * DAY)
    told = [e.data for e in await door.published() if e.type == "membership.changed"]
    assert [each.state for each in told] == ["member", "leaving", "member"]
    assert {each.joined_at for each in told} == {NOON}
    assert [each.leaves_at for each in told] == [None, NOON + 15 * DAY, None]

    assert await by_joining.purse() == (0, 10, 0)


async def test_points_that_become_active_after_the_leaving_are_forfeited_too(by_joining, door):
    await by_joining.join()
    order = Order()
    await door.give(order.event("order.paid", 1))
    await by_joining.leave()
    end = NOON + 14 * DAY
    await run(leaving.forfeit_due, door, end)
    assert await by_joining.purse() == (10, 0, 0)

    await door.give(order.every(delivered="all").event("order.delivered", 2))
    await run(leaving.forfeit_due, door, end + DAY)

    assert await by_joining.purse() == (0, 0, 0)
    back = order.every(delivered="all", returned="all").event("order.returned", 3)
    await door.give(back)
    assert await by_joining.purse() == (0, 0, 0), "nobody owes what he had no more"
    await by_joining.balanced()


async def test_who_has_left_spends_nothing_though_no_job_ran(by_joining, door):
    await by_joining.join()
    await door.give(*Order().life())
    await by_joining.leave()
    path, wish = "/v1/accounts/ada/reservations", {"points": 10}

    refused = await by_joining("POST", path, wish, at=NOON + 14 * DAY, status=409)
    spent = await by_joining("POST", path, wish, at=NOON + 13 * DAY, status=201)

    assert refused["type"] == "urn:regulars:problem:not-enough-points"
    assert spent["points"] == 10


async def test_who_joins_again_after_leaving_begins_with_nothing_though_no_job_ran(
    by_joining, door
):
    await by_joining.join()
    await door.give(*Order().life())
    await by_joining.leave()

    told = await by_joining.join(at=NOON + 20 * DAY)

    assert (told["state"], len(told["stays"])) == ("member", 2)
    assert await by_joining.purse(at=NOON + 20 * DAY) == (0, 0, 0)


async def test_an_automatic_member_who_left_earns_nothing_until_he_joins(api, door):
    await door.give(*Order().life())
    assert await api.state() == "member"
    await api.leave(at=NOON - DAY)

    await door.give(*Order("o2").life())
    assert await verdict(api, "o2") == "not_a_member"
    await api.join(at=NOON + timedelta(hours=1))
    await door.give(replace(Order("o3").event("order.paid", 1), time=NOON + DAY))

    assert await verdict(api, "o3") == "earns"


async def test_what_cannot_be_joined_or_left_is_named(by_joining):
    wrong = await by_joining.join(status=422, terms_version="v0")
    assert wrong["type"] == "urn:regulars:problem:other-terms"
    nobody = await by_joining.join("anon:1", status=422)
    assert nobody["type"] == "urn:regulars:problem:nobody-known"
    stranger = await by_joining.leave("bob", status=404)
    assert stranger["type"] == "urn:regulars:problem:no-member"


async def test_a_storefront_joins_its_own_customer_now_and_nobody_else(by_joining, tmp_path):
    token = dev_token("ada", tmp_path)
    path = "/v1/accounts/{}/membership"

    told = await by_joining("POST", path.format("ada"), ACCEPT, token=token)
    await by_joining("POST", path.format("bob"), ACCEPT, token=token, status=404)
    await by_joining("GET", path.format("bob"), token=token, status=404)
    backdated = ACCEPT | {"time": "2026-10-01T00:00:00Z"}
    await by_joining("POST", path.format("ada"), backdated, token=token, status=422)

    assert (told["state"], told["stay"]["channel"]) == ("member", "app")


async def test_a_merged_person_is_a_member_under_all_his_ids(by_joining, door):
    both = ("ada", "ada2")
    await door.give(*Order("o1", "ada2").life())
    await door.give(*[merged(one, "ada", both) for one in both])

    told = await by_joining.join("ada")

    assert told["credited_points"] == 10
    assert await by_joining.state("ada2") == "member"
    await door.give(*Order("o2", "ada2").life())
    assert await by_joining.purse() == (0, 20, 0)


async def join_at_once(http, customer):
    path = f"/v1/accounts/{customer}/membership"
    return await http.post(path, json=ACCEPT, headers=new_key())


async def test_two_joins_at_once_are_one(by_joining, door):
    both = ("ada", "ada2")
    await door.give(*[merged(one, "ada", both) for one in both])
    await door.give(*Order().life())

    async with door.client(clock=Clock(frozen_at=NOON)) as http:
        answers = await asyncio.gather(*[join_at_once(http, both[n % 2]) for n in range(6)])

    told = [answer.json() for answer in answers]
    assert sum(each["credited_points"] for each in told) == 10
    assert len({each["stay"]["joined_at"] for each in told}) == 1
    assert len(await door.query("SELECT * FROM membership")) == 1
    await by_joining.balanced()


async def test_a_join_and_an_order_at_once_are_never_lost_to_each_other(by_joining, door):
    for number in range(8):
        order = Order(f"o{number}", f"c{number}")
        await asyncio.gather(by_joining.join(f"c{number}"), door.give(order.event("order.paid", 1)))

        assert await by_joining.purse(f"c{number}") == (10, 0, 0)
    await by_joining.balanced()


async def test_an_order_that_comes_while_a_joining_is_not_committed_waits_for_it(by_joining, door):
    await door.give(replace(Order("o0").event("order.paid", 1), time=NOON - 60 * DAY))
    wish = Joining("v1", "app", NOON)

    async with door.engine.begin() as conn:
        await joining.join(conn, "ada", wish, NOON, door.world.stores)
        giving = asyncio.create_task(door.give(Order().event("order.paid", 1)))
        await asyncio.sleep(0.5)
        assert not giving.done()
    await giving

    assert await verdict(by_joining) == "earns"
    assert await by_joining.purse() == (10, 0, 0)


async def test_an_order_that_goes_on_while_its_joining_is_not_committed_keeps_its_points(
    by_joining, door
):
    paid, delivered = Order().life()[1], Order().life()[3]
    await door.give(paid)

    async with door.engine.begin() as conn:
        await joining.join(conn, "ada", Joining("v1", "app", NOON), NOON, door.world.stores)
        giving = asyncio.create_task(door.give(delivered))
        while not await door.query("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # PostgreSQL has no event for it
    await giving

    assert await verdict(by_joining) == "earns"
    assert await by_joining.purse() == (0, 10, 0)
    await by_joining.balanced()


async def test_what_joining_credits_is_held_above_the_limits_as_any_other(by_joining, door):
    limits = {"starts_at": "2020-01-01T00:00:00Z", "order_points_max": 100}
    await by_joining("PUT", "/v1/earning-limits/default", limits, at=NOON)
    await door.give(*Order(lines=(line("1", 20_000),)).life())

    await by_joining.join("ada")

    assert await by_joining.purse() == (200, 0, 0)
    assert [each["order_id"] for each in (await by_joining("GET", "/v1/held"))["items"]] == ["o1"]


async def test_an_erased_member_leaves_no_stay_and_no_order_behind(by_joining, door):
    await door.give(*Order().life())
    await by_joining.join("bob")
    await by_joining.join("ada", at=NOON - 100 * DAY)
    await by_joining.leave("ada", at=NOON - 50 * DAY)
    await door.give(*Order("o2").life())
    assert await door.query("SELECT * FROM waiting_order WHERE customer_id = 'ada'")

    await door.give(erasure("ada"))

    assert await door.query("SELECT * FROM waiting_order") == []
    assert len(await door.query("SELECT * FROM membership")) == 1
    await by_joining.balanced()
