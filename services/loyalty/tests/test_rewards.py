"""Rewards over HTTP: what a member can have, what it costs, how often, and what he then has."""

from datetime import timedelta

import pytest

from services.loyalty.tests.counter import (
    LATER,
    Counter,
    as_storefront,
    counter_at,
    earn,
    problem,
)
from services.loyalty.tests.shop import erasure, merged, profile_event, unmerged
from services.loyalty.tests.test_worker import balanced
from shared.events.profiles import SegmentEntered


@pytest.fixture
async def shop(door):
    """ada has 100 points."""
    await earn(door)
    async with counter_at(door) as http:
        yield Counter(http)


def entered(customer, segment_id):
    fact = SegmentEntered(customer_id=customer, canonical_id=customer, segment_id=segment_id)
    return profile_event("segment.entered", fact, f"s-{customer}")


def told(events):
    return [(e.type, e.key, getattr(e.data, "points", None)) for e in events]


async def test_a_reward_is_paid_in_points_and_its_code_is_shown_to_its_owner(shop, door, ask):
    await shop.lay_down("five-off", points=60, valid={"after_days": 30})

    coupon = await shop.take("five-off")
    again = await shop.coupons()

    assert (coupon["state"], coupon["points"], coupon["value_minor"]) == ("issued", 60, 500)
    assert coupon["expires_at"] == "2026-12-03T00:00:00Z"
    assert again == [coupon]
    assert await shop.held() == 40
    assert (await balanced(ask))["accounts"]["redeemed"] == 60
    events = await door.published()
    assert told(events) == [("points.redeemed", "ada", 60), ("reward.issued", "ada", 60)]
    assert coupon["code"] not in "".join(event.data.model_dump_json() for event in events)
    assert str(events[1].data.issue_id) == coupon["issue_id"]


async def test_the_same_request_is_one_coupon_also_when_its_stored_answer_is_gone(shop, door):
    await shop.lay_down("five-off", points=30)

    first = await shop.take("five-off", key="k")
    replayed = await shop.take("five-off", key="k")
    async with door.engine.begin() as conn:
        await conn.exec_driver_sql("DELETE FROM stored_answer")
    later = await shop.take("five-off", key="k")

    assert first == replayed == later
    assert (len(await shop.coupons()), await shop.held()) == (1, 70)


async def test_what_cannot_be_had_is_shown_with_every_reason_and_refused_by_name(shop):
    await shop.lay_down("dear", points=101)
    await shop.lay_down("gold", tiers=["gold"])
    await shop.lay_down("gone", stock=0)
    await shop.lay_down("hello", occasion="welcome")
    await shop.lay_down("once", limit={"count": 1})
    await shop.lay_down("over", ends_at="2026-11-02T12:00:00Z")
    await shop.take("once")

    offered = await shop.offered()
    refused = {
        name: problem(await shop.take(name, status=409))
        for name in ("dear", "gold", "gone", "once")
    }

    assert {name: each["reasons"] for name, each in offered.items()} == {
        "dear": ["points"],
        "gold": ["tier"],
        "gone": ["out_of_stock"],
        "once": ["limit"],
    }
    assert (offered["dear"]["points_missing"], offered["dear"]["available"]) == (1, False)
    assert refused == {
        "dear": "not-enough-points",
        "gold": "not-for-this-member",
        "gone": "out-of-stock",
        "once": "limit-reached",
    }
    await shop.take("over", status=404)
    assert problem(await shop.take("once", "guest:1", status=403)) == "not-offered"


async def test_a_reward_for_a_tier_or_a_segment_is_had_by_who_is_in_it(shop, door):
    ranks = [{"code": "basic", "threshold": 0}, {"code": "gold", "threshold": 5_000}]
    plan = {"tiers": ranks, "starts_at": "2020-01-01T00:00:00Z"}
    await shop.call("PUT", "/v1/tier-plans/default", plan)
    await shop.lay_down("golden", tiers=["gold"])
    await shop.lay_down("secret", segments=["vip"])
    await earn(door, "bob", 10, "o5")
    await door.give(entered("bob", "vip"))

    had = {
        customer: [each["reasons"] for each in (await shop.offered(customer)).values()]
        for customer in ("ada", "bob")
    }
    await shop.take("secret", "bob")

    assert had == {"ada": [[], ["segment"]], "bob": [["tier"], []]}
    assert problem(await shop.take("golden", "bob", status=409)) == "not-for-this-member"


async def test_a_limit_per_month_begins_anew_and_void_ones_do_not_count(shop, door):
    await shop.lay_down("monthly", limit={"count": 2, "per": "month"})
    first = await shop.take("monthly")
    await shop.take("monthly")
    await shop.take("monthly", status=409)

    await shop.act("void", first)
    await shop.take("monthly")
    await shop.take("monthly", status=409)
    async with counter_at(door, LATER + timedelta(days=30)) as http:
        await Counter(http).take("monthly", key="december")


async def test_void_gives_the_points_back_to_their_own_lots_and_the_piece_to_the_stock(
    shop, door, ask
):
    await earn(door, points=50, order_id="o9")
    await shop.lay_down("five-off", points=120, stock=1)
    lots = "SELECT id, remaining, used FROM lot ORDER BY id"
    before = await door.query(lots)
    coupon = await shop.take("five-off")
    await door.published()

    gone = await shop.act("void", coupon, reason="changed his mind")
    again = await shop.act("void", coupon)

    assert (gone["state"], again["state"]) == ("void", "void")
    assert await door.query(lots) == before
    assert told(await door.published()) == [("points.reversed", "ada", 120)]
    assert problem(await shop.act("use", coupon, status=409)) == "coupon-void"
    assert [one["code"] for one in await shop.coupons()] == [None]
    assert (await shop.offered())["five-off"]["left"] == 1
    await balanced(ask)


async def test_a_donation_is_points_to_the_cause_and_no_coupon(shop, ask):
    await shop.lay_down("trees", kind="donation", value_minor=0, points=25, cause="A tree")

    given = await shop.take("trees")

    assert (given["state"], given["code"], given["cause"]) == ("used", None, "A tree")
    assert await shop.held() == 75
    assert (await balanced(ask))["accounts"]["donated"] == 25


async def test_a_coupon_is_worth_what_it_was_issued_for(shop):
    await shop.lay_down("five-off")
    old = await shop.take("five-off")
    etag = (await shop.http.get("/v1/rewards/five-off")).headers["etag"]
    body = {"kind": "amount", "value_minor": 900}
    await shop.call("PUT", "/v1/rewards/five-off", body, **{"If-Match": etag})

    new = await shop.take("five-off")

    assert {one["issue_id"]: one["value_minor"] for one in await shop.coupons()} == {
        old["issue_id"]: 500,
        new["issue_id"]: 900,
    }


async def test_the_lists_pages_show_each_coupon_once(shop, ask):
    await shop.lay_down("five-off")
    made = {(await shop.take("five-off"))["issue_id"] for _ in range(5)}

    seen, cursor = [], ""
    while cursor is not None:
        page = await ask("/v1/accounts/ada/coupons", limit=2, cursor=cursor)
        seen += [one["issue_id"] for one in page["items"]]
        cursor = page["next"]

    assert sorted(seen) == sorted(made)


async def test_a_person_pays_with_all_his_ids_and_has_one_limit(shop, door, ask):
    await earn(door, "adas-phone", 30, "o7")
    await door.give(*[merged(one, "ada", ("ada", "adas-phone")) for one in ("ada", "adas-phone")])
    await shop.lay_down("dear", points=120, limit={"count": 1})

    coupon = await shop.take("dear", "adas-phone")

    assert [one["issue_id"] for one in await shop.coupons("ada")] == [coupon["issue_id"]]
    assert problem(await shop.take("dear", "ada", status=409)) == "limit-reached"
    apart = (("ada", "adas-phone"), ("adas-phone", "ada"))
    await door.give(*[unmerged(one, (one,), (other,)) for one, other in apart])
    assert await shop.coupons("ada") == []
    assert len(await shop.coupons("adas-phone")) == 1
    await shop.act("void", coupon)
    assert (await shop.held("ada"), await shop.held("adas-phone")) == (100, 30)
    await balanced(ask)


async def test_a_storefront_takes_and_sees_its_own_only(shop, tmp_path):
    await shop.lay_down("five-off", points=10)
    await shop.lay_down("hello", occasion="welcome")
    as_storefront(shop.http, tmp_path, "ada")

    coupon = await shop.take("five-off")

    assert await shop.coupons() == [coupon]
    for customer in ("bob", "nobody"):
        await shop.take("five-off", customer, status=404)
        await shop.call("GET", f"/v1/accounts/{customer}/coupons", status=404)
        await shop.call("GET", f"/v1/accounts/{customer}/rewards", status=404)
    assert problem(await shop.take("hello", status=403)) == "not-offered"
    for action in ("reserve", "use", "free", "void"):
        await shop.act(action, coupon, status=403)


async def test_the_next_one_at_the_browser_sees_no_coupon_of_the_customers(shop, door, tmp_path):
    await door.give(*[merged(one, "ada", ("ada", "anon:1")) for one in ("ada", "anon:1")])
    await shop.lay_down("five-off", points=10)
    await shop.take("five-off")
    as_storefront(shop.http, tmp_path, "anon:1")

    assert await shop.coupons("anon:1") == []
    assert problem(await shop.take("five-off", "anon:1", status=409)) == "not-enough-points"


async def test_the_erased_leaves_no_name_and_no_code(shop, door):
    await shop.lay_down("five-off")
    coupon = await shop.take("five-off")

    await door.give(erasure("ada"))

    [row] = await door.query("SELECT customer_id, code, state FROM coupon")
    assert tuple(row) == (None, None, "void")
    assert problem(await shop.act("use", coupon, status=409)) == "coupon-void"
    kept = await door.query("SELECT * FROM coupon_step")
    assert not any(coupon["code"] in str(step) or "ada" in str(step) for step in kept)


async def test_every_change_of_a_coupon_is_in_its_history_and_in_the_audit_log(shop, door):
    await shop.lay_down("five-off")
    coupon = await shop.take("five-off")
    await shop.act("reserve", coupon)
    await shop.act("free", coupon)
    await shop.act("use", coupon)

    steps = await door.query("SELECT action, state, order_id FROM coupon_step ORDER BY seq")
    logged = await door.query("SELECT action, subject FROM audit WHERE detail ? 'issue_id'")

    assert [tuple(step) for step in steps] == [
        ("issue", "issued", None),
        ("reserve", "reserved", "o2"),
        ("free", "issued", None),
        ("use", "used", "o2"),
    ]
    assert {subject for _, subject in logged} == {"ada"}
    assert len(logged) == 4
