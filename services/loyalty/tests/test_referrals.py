"""Referrals: both sides are awarded once, whatever comes first; fraud is refused by its name."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.loyalty.store import referral_facts as facts
from services.loyalty.tests.desk import callers
from services.loyalty.tests.shop import (
    NOON,
    Order,
    erasure,
    line,
    merged,
    unmerged,
)
from services.loyalty.tests.test_worker import balanced
from services.loyalty.work import referring
from shared.clock import Clock
from shared.events import codec
from shared.events.customers import CustomerRegistered
from shared.events.engagement import ReferralInvited
from shared.events.fields import Contact
from shared.keys import dev_token

LATER = NOON + timedelta(days=30)
PROGRAMME = {
    "starts_at": "2000-01-01T00:00:00Z",
    "order_min_minor": 1000,
    "within_days": 30,
    "referrer_points": 500,
    "friend_points": 200,
}


@pytest.fixture
async def desk(door):
    async with callers(door, Clock(frozen_at=LATER), one=("admin",)) as found:
        yield found["one"]


async def lay_down(desk, **more):
    """A programme, and a rule by which orders earn nothing: all points are the referrals'."""
    await desk.put("/v1/referral-programmes/default", PROGRAMME | more)
    nothing = {"points": 0, "starts_at": "2000-01-01T00:00:00Z"}
    await desk.put("/v1/rules/nothing", nothing)


async def settle_all(door):
    await referring.settle_due(door.engine, door.world)


async def give(door, *events):
    await door.give(*events)
    await settle_all(door)


async def code(desk, customer="ada"):
    return (await desk.get(f"/v1/accounts/{customer}/referrals"))["code"]


def registered(customer="bob", typed="", n=0, at=NOON - timedelta(days=1), **more):
    fact = CustomerRegistered(customer_id=customer, referral_code=typed, **more)
    return codec.make("customer.registered", fact, id=f"r{n}-{customer}", source="shop", time=at)


def invited(customer="ada", friend=None, typed="", at=NOON - timedelta(days=2)):
    fact = ReferralInvited(
        customer_id=customer,
        referral_id=f"{customer}-{friend}-{typed}",
        referral_code=typed,
        invited_customer_id=friend,
    )
    id_ = f"i-{customer}-{friend}-{typed}"
    return codec.make("referral.invited", fact, id=id_, source="shop", time=at)


def order(customer="bob", minor=2000, **more):
    return Order(f"o-{customer}", customer, (line("1", minor),), more=more)


def returned(customer="bob"):
    gone = order(customer).every(shipped="all", delivered="all", returned="all")
    return gone.event("order.returned", 5)


async def held(desk, *customers):
    found = []
    for customer in customers:
        account = await desk.get(f"/v1/accounts/{customer}")
        found.append(account["active"] - account["owed"])
    return tuple(found)


async def state(desk, friend="bob"):
    [one] = (await desk.get(f"/v1/accounts/{friend}/referrals"))["invited_by"]
    return one["state"], one["reason"]


async def told(door):
    facts = [e for e in await door.published() if e.type.startswith("points.")]
    return sorted((e.key, e.data.reason, e.data.points) for e in facts)


async def test_both_sides_get_their_points_once_the_first_order_is_delivered(door, ask, desk):
    await lay_down(desk)
    mine = await code(desk)
    assert mine == await code(desk), "it is always the same"
    assert mine != await code(desk, "eve")
    placed, paid, shipped, delivered = order().life()

    await give(door, registered(typed=mine.lower().replace("-", " ")))
    assert await state(desk) == ("registered", "no_order")
    await give(door, placed, paid, shipped)
    assert await state(desk) == ("registered", "not_delivered")
    await give(door, delivered)

    assert await state(desk) == ("awarded", "")
    assert await held(desk, "ada", "bob") == (500, 200)
    assert await told(door) == [("ada", "referral", 500), ("bob", "invited", 200)]
    await door.again(*door.log.messages)
    await give(door, registered(typed=mine, n=2), *order("bob", 9000).life())
    assert await held(desk, "ada", "bob") == (500, 200)
    await balanced(ask)


@pytest.mark.parametrize("turn", range(4))
async def test_the_order_of_events_does_not_matter(door, desk, turn):
    await lay_down(desk)
    *_, delivered = order().life()
    events = [invited(typed="HI-BOB"), registered(typed="hi bob"), delivered, registered(n=2)]
    events = [*events[turn:], *events[:turn]]

    for event in [*events, *reversed(events)]:
        await give(door, replace(event, id=f"{event.id}-{turn}"))

    assert await held(desk, "ada", "bob") == (500, 200)
    assert len(await door.query("SELECT 1 FROM journal WHERE source = 'referral'")) == 2


async def test_who_is_invited_by_name_needs_no_code(door, desk):
    await lay_down(desk)
    await give(door, invited(friend="bob"))
    assert await state(desk) == ("invited", "not_registered")

    await give(door, registered(), *order().life())
    await give(door, registered("old", at=NOON - timedelta(days=9)), invited(friend="old"))

    assert await state(desk) == ("awarded", "")
    assert await state(desk, "old") == ("refused", "customer_before")


async def test_a_return_takes_both_sides_back_and_what_is_spent_is_owed(door, ask, desk):
    await lay_down(desk)
    await give(door, registered(typed=await code(desk)), *order().life())
    for points in (-450, 100):
        await desk.post("/v1/accounts/ada/adjustments", {"points": points, "reason": "test"}, 201)
    await door.published()

    await give(door, returned())

    assert await state(desk) == ("reversed", "order_returned")
    assert await held(desk, "ada", "bob") == (-350, 0)
    assert (await desk.get("/v1/accounts/ada"))["active"] == 0, "his other points pay first"
    assert await told(door) == [
        ("ada", "referral: order_returned", 500),
        ("bob", "referral: order_returned", 200),
    ]
    second = replace(order(), order_id="o2", more={"placed_at": NOON + timedelta(days=2)})
    await give(door, *second.life())
    assert await held(desk, "ada", "bob") == (150, 200), "his next order is the first he keeps"
    await balanced(ask)


async def test_what_both_were_seen_with_refuses_the_friend_and_says_why(door, desk):
    await lay_down(desk)
    mine = await code(desk)
    contact = Contact(email="Ada+gift@example.org", phone="+49 (0)30 123")
    ada = registered("ada", device_id="d1", at=NOON - timedelta(days=9), email="ada@example.org")
    await give(door, ada, order("ada", address_hash="h1").event("order.placed", 1))

    await give(
        door,
        registered("phone-mate", typed=mine, device_id="d1"),
        registered("alias", typed=mine),
        order("alias", contact=contact).event("order.paid", 1),
        registered("flat", typed=mine),
        *order("flat", address_hash="h1").life(),
        registered("good", typed=mine, device_id="d2", email="good@example.org"),
        *order("good", address_hash="h2").life(),
    )
    late = order("ada", address_hash="h2", placed_at=LATER)
    await give(door, replace(late, order_id="gift").event("order.placed", 1))

    assert await state(desk, "phone-mate") == ("refused", "same_device")
    assert await state(desk, "alias") == ("refused", "same_email")
    assert await state(desk, "flat") == ("refused", "same_address")
    assert await state(desk, "good") == ("awarded", ""), "a present later is no fraud"
    assert await held(desk, "ada", "flat", "good") == (500, 0, 200)
    kept = await door.query("SELECT digest FROM referral_signal")
    assert all(len(digest) == 32 for (digest,) in kept)


async def test_oneself_is_no_friend_also_after_a_merge_and_is_again_after_it(door, ask, desk):
    await lay_down(desk)
    mine = await code(desk)
    await give(door, registered("ada", typed=mine, at=NOON))
    assert await state(desk, "ada") == ("refused", "self_referral")
    await give(door, registered(typed=mine), *order().life())
    assert await held(desk, "ada", "bob") == (500, 200)

    both = ("ada", "bob")
    await give(door, *[merged(one, "ada", both) for one in both])
    assert (await held(desk, "ada")) == (0,)
    [one] = await door.query("SELECT state, reason FROM referral WHERE customer_id = 'bob'")
    assert tuple(one) == ("reversed", "self_referral")
    await give(door, unmerged("ada", ("ada",), ("bob",)), unmerged("bob", ("bob",), ("ada",)))

    assert await held(desk, "ada", "bob") == (500, 200)
    await balanced(ask)


async def test_a_person_is_invited_once_and_a_customer_never(door, desk):
    await lay_down(desk)
    mine = await code(desk)
    await give(door, *Order("before", "carl").life())
    await give(door, registered("carl", typed=mine, at=NOON + timedelta(days=2)))
    assert await state(desk, "carl") == ("refused", "customer_before")

    two = ("bob", "bobs-phone")
    for n, one in enumerate(two):
        at = NOON - timedelta(hours=9 - n)
        await give(door, registered(one, typed=mine, at=at), *order(one).life())
    assert await held(desk, "ada") == (1000,)
    await give(door, *[merged(one, "bob", two) for one in two])

    assert await held(desk, "ada", "bob") == (500, 200)


async def test_a_ring_is_refused_whoever_closes_it(door, desk):
    await lay_down(desk)
    codes = {one: await code(desk, one) for one in ("ada", "bob", "carl")}
    await give(door, registered("bob", typed=codes["ada"]), *order("bob").life())
    await give(door, registered("carl", typed=codes["bob"]), *order("carl").life())
    assert await held(desk, "ada", "bob", "carl") == (500, 700, 200)

    await give(door, registered("ada", typed=codes["carl"], at=NOON))

    assert await held(desk, "ada", "bob", "carl") == (0, 0, 0)
    assert await state(desk, "bob") == ("reversed", "ring")
    assert await state(desk, "carl") == ("reversed", "ring")
    assert await state(desk, "ada") == ("refused", "ring")


async def test_a_chain_through_one_device_is_refused(door, desk):
    await lay_down(desk)
    codes = {one: await code(desk, one) for one in ("ada", "bob")}
    await give(door, registered("ada", device_id="d1"))

    await give(door, registered("bob", typed=codes["ada"], device_id="d2"))
    await give(door, registered("carl", typed=codes["bob"], device_id="d1"), *order("carl").life())

    assert await state(desk, "carl") == ("refused", "chain_device")


async def test_too_many_in_a_day_wait_for_review(door, ask, desk):
    await lay_down(desk, review_per_day=1)
    mine = await code(desk)
    for n, one in enumerate(("b1", "b2", "b3")):
        at = NOON - timedelta(hours=9 - n)
        await give(door, registered(one, typed=mine, at=at), *order(one).life())

    assert await held(desk, "ada") == (500,)
    assert await state(desk, "b2") == ("qualified", "too_many_in_a_day")
    first, second = (await desk.get("/v1/held"))["items"]
    assert first["excesses"] == [{"limit": "review_per_day", "allowed": 1, "found": 2}]
    assert (first["customer_id"], first["points"]) == ("ada", 700)
    await desk.post(f"/v1/held/{first['order_id']}/release", {"comment": "a fair"})
    await desk.post(f"/v1/held/{second['order_id']}/decline")
    await settle_all(door)

    assert (await desk.get("/v1/held"))["items"] == []
    assert await held(desk, "ada") == (1000,)
    states = {await state(desk, one) for one in ("b2", "b3")}
    assert states == {("awarded", ""), ("refused", "declined")}
    await balanced(ask)


async def test_facts_that_arrive_while_others_are_judged_are_not_lost(door, desk):
    await lay_down(desk)
    mine = await code(desk)
    friends = [f"b{n}" for n in range(6)]

    for one in friends:
        *_, delivered = order(one).life()
        await asyncio.gather(
            door.give(registered(one, typed=mine)),
            door.give(delivered),
            *(settle_all(door) for _ in range(3)),
        )
    await settle_all(door)

    assert await held(desk, "ada", *friends) == (3000, *[200] * 6)
    assert await door.query("SELECT 1 FROM referral_due") == []


async def test_who_is_marked_while_he_is_judged_is_judged_again(door, desk):
    await lay_down(desk)
    await door.give(registered())
    async with door.engine.begin() as conn:
        seen = await facts.list_due(conn, 9)

    await door.give(order().event("order.placed", 1))
    async with door.engine.begin() as conn:
        await facts.end_due(conn, seen)

    assert [one.customer_id for one in seen] == ["bob"]
    assert await door.query("SELECT customer_id FROM referral_due") == [("bob",)]


async def test_caps_and_the_budget_are_kept(door, desk):
    await lay_down(desk, caps={"per_month": 1, "budget": 1400})
    mine, eves, fays = [await code(desk, one) for one in ("ada", "eve", "fay")]
    for n, (one, typed) in enumerate((("b1", mine), ("b2", mine), ("b3", eves), ("b4", fays))):
        at = NOON - timedelta(hours=9 - n)
        await give(door, registered(one, typed=typed, at=at), *order(one).life())

    assert await held(desk, "ada", "eve") == (500, 500)
    assert await state(desk, "b2") == ("refused", "cap_month")
    assert await state(desk, "b4") == ("refused", "budget")
    await give(door, returned("b1"), *replace(order("b2"), order_id="more").life())
    assert await state(desk, "b2") == ("refused", "cap_month"), "it was decided once"
    await give(door, registered("b5", typed=mine), *order("b5").life())
    assert await state(desk, "b5") == ("awarded", ""), "there is room again"


async def test_the_erased_leave_no_trace_and_the_others_points(door, ask, desk):
    await lay_down(desk)
    mine = await code(desk)
    await give(door, registered(typed=mine, device_id="d1"), *order().life())
    await give(door, registered("carl", typed=mine), *order("carl").life())

    await give(door, erasure("bob"))
    assert await held(desk, "ada") == (1000,)
    await give(door, invited(friend="bob"), replace(registered(typed=mine), id="replayed"))
    ended = replace(erasure("ada"), id="x2")
    await give(door, ended)
    await give(door, returned("carl"))

    assert await held(desk, "carl") == (0,)
    assert await code(desk) != mine, "who begins anew has another code"
    tables = ("invitation", "referral_order", "referral_signal", "referral", "referral_due")
    for table in tables:
        rows = await door.query(f"SELECT * FROM {table}")
        assert "bob" not in str(rows)
        assert mine not in str(rows)
    await balanced(ask)


async def test_a_storefront_sees_its_own_and_no_friends_name(door, desk, tmp_path):
    await lay_down(desk)
    await give(door, registered(typed=await code(desk)), *order().life())
    async with door.client() as http:
        own = {"Authorization": f"Bearer {dev_token('ada', tmp_path)}"}
        page = (await http.get("/v1/accounts/ada/referrals", headers=own)).json()
        other = await http.get("/v1/accounts/bob/referrals", headers=own)

    [friend] = page["items"]
    assert (friend["customer_id"], friend["state"], friend["points"]) == (None, "awarded", 500)
    assert other.status_code == 404
    [named] = (await desk.get("/v1/accounts/ada/referrals"))["items"]
    assert named["customer_id"] == "bob"
    guest = await desk.get("/v1/accounts/guest:7/referrals")
    assert guest["code"] is None


async def test_without_a_programme_nothing_is_kept(door):
    await give(door, registered(typed="X"), invited(friend="bob"), *order().life())

    for table in ("invitation", "referral_order", "referral_signal", "referral", "referral_due"):
        assert await door.query(f"SELECT 1 FROM {table}") == []
