"""Points at the checkout: over HTTP, by the order's own events, and both at once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.loyalty.jobs import timers
from services.loyalty.tests.checkout import LATER, Checkout, at, events, opened, paid_with, short
from services.loyalty.tests.shop import Order, erasure, line, merged, unmerged
from services.loyalty.tests.test_worker import balanced
from shared.clock import Clock
from shared.keys import dev_token

LOTS_LEFT = """
    SELECT m.customer_id, sum(l.remaining) AS remaining
    FROM member AS m JOIN lot AS l USING (account_id) GROUP BY 1
"""


@pytest.fixture
async def shop(door):
    async with opened(door) as checkout:
        yield checkout


async def test_what_a_cart_may_take_is_quoted_with_what_bounds_it(shop):
    path = "/v1/accounts/ada/redemption-quotes"

    small = (await shop.post(path, {"lines": [{"total_minor": 120}]}, status=200)).json()
    large = (await shop.post(path, {"lines": [{"total_minor": 9_999}]}, status=200)).json()
    card = {"lines": [{"total_minor": 9_999, "kind": "gift_card"}]}
    none = (await shop.post(path, card, status=200)).json()

    assert (small["points"], small["amount_minor"], small["limit"]) == (60, 60, "share")
    assert (large["points"], large["limit"]) == (100, "balance")
    assert (none["points"], none["limit"]) == (0, "excluded")
    assert await shop.held() == (100, 0)


async def test_reserved_confirmed_in_part_and_the_rest_is_free(shop, door, ask):
    one = await shop.reserve(80)
    between = await shop.held()
    done = await shop.confirm(one, points=50, order_id="o2")

    assert (one["amount_minor"], one["state"], between) == (80, "reserved", (20, 80))
    assert (done["state"], done["confirmed"]) == ("confirmed", 50)
    assert await shop.held() == (50, 0)
    assert events(await door.published()) == [("points.redeemed", 50)]
    assert (await balanced(ask))["accounts"]["redeemed"] == 50


async def test_a_reservation_is_resolved_once_and_each_refusal_has_a_name(shop):
    confirmed, cancelled = await shop.reserve(10), await shop.reserve(10)
    await shop.confirm(confirmed, order_id="o2")
    await shop.cancel(cancelled)

    again = await shop.confirm(confirmed, order_id="o2")
    refused = [
        await shop.confirm(confirmed, 409, points=5),
        await shop.confirm(confirmed, 409, order_id="o3"),
        await shop.cancel(confirmed, 409),
        await shop.confirm(cancelled, 409),
        await shop.cancel(cancelled, 409),
        await shop.confirm(await shop.reserve(10), 422, points=11),
        await shop.reserve(1_000, status=409),
        await shop.reserve(60, status=422, lines=[{"total_minor": 100}]),
        await shop.reserve(10, "nobody", 404),
    ]

    assert again["state"] == "confirmed"
    assert [answer["type"].rsplit(":", 1)[-1].rsplit("/", 1)[-1] for answer in refused] == [
        *("already-confirmed", "of-another-order", "already-confirmed"),
        *("already-cancelled", "already-cancelled", "more-than-reserved"),
        *("not-enough-points", "points-not-allowed", "not-found"),
    ]


async def test_a_checkout_that_never_comes_back_sets_nothing_aside_for_ever(shop, door, ask):
    one = await shop.reserve(80)
    world = replace(door.world, clock=Clock(frozen_at=LATER + timedelta(minutes=30)))
    async with door.engine.begin() as conn:
        while await timers.time_out_due(conn, world):
            pass

    assert await shop.held() == (100, 0)
    assert (await shop.look(one))["state"] == "timed_out"
    refused = await shop.confirm(one, 409)
    assert "its points are free again" in refused["title"]
    await balanced(ask)


async def test_an_overdue_reservation_is_free_before_the_job_has_come(shop, door, ask):
    one = await shop.reserve(80)
    async with door.client(clock=Clock(frozen_at=LATER + timedelta(minutes=31))) as http:
        late = Checkout(http)
        await late.post(f"/v1/reservations/{one['id']}/confirm", key="late", status=409)
        await late.post("/v1/accounts/ada/reservations", {"points": 90}, key="r", status=201)

    assert (await shop.look(one))["state"] == "timed_out"
    await balanced(ask)


async def test_the_orders_own_events_confirm_and_give_back_in_proportion(shop, door, ask):
    one = await shop.reserve(60)
    order = paid_with(one)
    await door.give(at(order.event("order.placed", 1)), at(order.event("order.paid", 2)))
    spent = await shop.held()
    http_too = await shop.confirm(one, order_id="o2")
    back = [
        order.every(delivered=4, returned=pieces).event("order.returned", 2 + pieces)
        for pieces in (1, 2, 4)
    ]
    seen = []
    for event in back:
        await door.give(at(event, hours=1))
        seen.append((await shop.look(one))["given_back"])

    assert spent == (40, 0)
    assert http_too["confirmed"] == 60
    assert seen == [15, 30, 60]
    assert (await shop.held())[0] == 100
    redeemed = [e for e in events(await door.published()) if e[0] == "points.redeemed"]
    assert redeemed == [("points.redeemed", 60)]
    assert (await balanced(ask))["accounts"]["redeemed"] == 0


async def test_an_order_cancelled_before_it_is_paid_frees_its_points(shop, door):
    one = await shop.reserve(60)
    order = paid_with(one)
    unpaid = {"tenders": order.more["tenders"][:1]}
    await door.give(at(order.event("order.placed", 1)))
    await door.give(at(order.event("order.cancelled", 2, **unpaid)))

    assert (await shop.look(one))["state"] == "cancelled"
    assert await shop.held() == (100, 0)


async def test_a_refund_that_follows_on_a_cancellation_spends_nothing(shop, door):
    one = await shop.reserve(60)
    order = paid_with(one)
    unpaid = {"tenders": order.more["tenders"][:1]}
    await door.give(at(order.event("order.cancelled", 2, **unpaid)))
    await door.give(at(order.every(refunded_minor=400).event("order.refunded", 3)))

    assert (await shop.look(one))["state"] == "cancelled"
    assert await shop.held() == (100, 0)


async def test_a_refund_without_goods_gives_points_back_by_its_share_of_the_money(shop, door):
    one = await shop.reserve(100)
    order = paid_with(one, amount_minor=100)  # 300 of the 400 in money
    await door.give(at(order.event("order.paid", 1)))

    await door.give(at(order.every(delivered=4, refunded_minor=150).event("order.refunded", 2)))

    assert (await shop.look(one))["given_back"] == 50


async def test_paid_after_the_time_out_it_gets_what_is_there_and_is_told_what_is_missing(
    shop, door
):
    late, later = await shop.reserve(60), await shop.reserve(40)
    for one in (late, later):
        await shop.cancel(one)
    await door.give(at(paid_with(late, "o2").event("order.paid", 1)))
    await door.give(at(paid_with(later, "o3", 60).event("order.paid", 1)))
    await door.give(at(paid_with(later, "o3", 60).event("order.shipped", 2)))

    assert [(await shop.look(one))["confirmed"] for one in (late, later)] == [60, 40]
    told = [e for e in await door.published() if e.type != "points.earned"]
    assert events(told) == [
        ("points.redeemed", 60),
        ("points.redeemed", 40),
        ("points.shortfall", 20),
    ]
    assert told[-1].data.reason == "too_late"


async def test_other_peoples_reservations_and_unknown_ones_are_a_shortfall_once(shop, door):
    one = await shop.reserve(60)
    await door.give(*Order("b1", "bob", lines=(line("1", 10_000),)).life())
    await door.published()
    theft = paid_with(one, "b2", customer="bob")
    made_up = paid_with({"id": "made-up"}, "b3", customer="bob")

    for order in (theft, made_up):
        await door.give(at(order.event("order.paid", 1)), at(order.event("order.shipped", 2)))

    missing = [e.data for e in await door.published() if e.type == "points.shortfall"]
    assert [(m.order_id, m.points, m.reason) for m in missing] == [
        ("b2", 60, "unknown_reservation"),
        ("b3", 60, "unknown_reservation"),
    ]
    assert await shop.held() == (40, 60)


async def test_twenty_checkouts_at_once_never_spend_more_than_there_is(shop, ask):
    answers = await asyncio.gather(
        *(
            shop.post("/v1/accounts/ada/reservations", {"points": 30}, key=f"k{n}")
            for n in range(20)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 17
    assert await shop.held() == (10, 90)
    await balanced(ask)


async def test_confirmed_cancelled_and_paid_at_once_has_one_effect(shop, door, ask):
    for number in range(5):
        one = await shop.reserve(10)
        path = f"/v1/reservations/{one['id']}"
        order_id = f"race-{number}"
        event = at(paid_with(one, order_id, 10).event("order.paid", 1))
        await asyncio.gather(
            shop.post(f"{path}/confirm", {"order_id": order_id}, key=f"c{number}"),
            shop.post(f"{path}/cancel", key=f"x{number}"),
            door.give(event),
        )
        assert (await shop.look(one))["confirmed"] == 10, "it was paid, so it is spent"
    assert await shop.held() == (50, 0)
    books = await balanced(ask)
    assert books["accounts"]["redeemed"] == 50


async def test_a_repeated_confirm_under_its_key_has_one_effect(shop, ask):
    one = await shop.reserve(60)
    path, body = f"/v1/reservations/{one['id']}/confirm", {"points": 20}

    answers = [await shop.post(path, body, key="same") for _ in range(3)]

    assert {answer.text for answer in answers} == {answers[0].text}
    assert await shop.held() == (80, 0)
    await balanced(ask)


async def test_points_return_to_their_own_lots_and_what_expired_meanwhile_is_gone(shop, door, ask):
    one = await shop.reserve(60)
    await shop.confirm(one, order_id="o2")
    before = await door.query("SELECT id, expires_at, remaining FROM lot")
    await door.give(at(paid_with(one).every(returned=4).event("order.returned", 3)))

    after = await door.query("SELECT id, expires_at, remaining FROM lot WHERE document = 'o1'")
    assert [row[:2] for row in after] == [row[:2] for row in before]
    assert after[0].remaining == 100
    await balanced(ask)


async def test_a_joint_purse_is_spent_and_parted_again_each_has_the_rest_of_his_own(
    shop, door, ask
):
    both = ("ada", "anon:1")
    await door.give(*Order("a1", "anon:1", lines=(line("1", 5_000),)).life())
    await door.give(*[merged(one, "ada", both) for one in both])
    one = await shop.reserve(120)
    await shop.confirm(one, order_id="o2")

    await door.give(unmerged("ada", ("ada",), ("anon:1",)))
    await door.give(unmerged("anon:1", ("anon:1",), ("anon:1",)))

    left = {who: (await shop.held(who))[0] for who in both}
    assert sum(left.values()) == 30
    lots = await door.query(LOTS_LEFT)
    assert {row.customer_id: row.remaining for row in lots} == left
    await balanced(ask)


async def test_a_storefront_spends_only_its_own(shop, door, tmp_path):
    one = await shop.reserve(60)
    mine, theirs = dev_token("ada", tmp_path), dev_token("bob", tmp_path)
    path = f"/v1/reservations/{one['id']}"

    async def as_(token, method, url, key="k"):
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        json = {"points": 10} if method == "POST" else None
        return (await shop.http.request(method, url, headers=headers, json=json)).status_code

    assert await as_(mine, "GET", path) == 200
    assert await as_(theirs, "GET", path) == 404
    assert await as_(theirs, "POST", f"{path}/cancel") == 404
    assert await as_(theirs, "POST", "/v1/accounts/ada/reservations") == 404
    assert await as_(mine, "POST", f"{path}/confirm") == 403  # a checkout's server confirms
    assert await as_(mine, "POST", "/v1/accounts/ada/reservations", "r") == 201
    assert await as_(mine, "POST", f"{path}/cancel", "c") == 200
    causes = await door.query("SELECT DISTINCT cause_source FROM journal WHERE source <> 'order'")
    assert "ada" not in str(causes), "the books are never erased"


async def test_the_erased_leave_no_name_on_their_reservations(shop, door, ask):
    one = await shop.reserve(60)
    await door.give(erasure("ada", LATER))

    assert (await shop.http.get(f"/v1/reservations/{one['id']}")).status_code == 404
    assert await door.query("SELECT 1 FROM reservation WHERE customer_id IS NOT NULL") == []
    world = replace(door.world, clock=Clock(frozen_at=LATER + timedelta(hours=1)))
    async with door.engine.begin() as conn:
        await timers.time_out_due(conn, world)
    await balanced(ask)


async def test_who_pays_too_late_spends_nothing_of_others_in_the_same_batch(shop, door, ask):
    bobs = Order("b1", "bob", lines=(line("1", 10_000),))
    await door.give(*bobs.life())
    late = await shop.reserve(60)
    await shop.cancel(late)
    await shop.confirm(await shop.reserve(100), order_id="o9")
    await door.published()

    again = at(bobs.every(shipped="all", delivered="all").event("order.delivered", 5))
    await door.give(again, at(paid_with(late).event("order.paid", 1)))

    assert await shop.held("bob") == (100, 0)
    assert short(await door.published()) == [("o2", 60, "too_late")]
    await balanced(ask)


async def test_a_reservation_confirmed_without_an_order_pays_the_first_that_names_it(
    shop, door, ask
):
    one = await shop.reserve(60)
    await shop.confirm(one)
    first, second = paid_with(one, "o2"), paid_with(one, "o3")
    await door.give(at(first.event("order.paid", 1)), at(second.event("order.paid", 1)))
    await door.give(at(second.every(returned="all").event("return.received", 2)))

    told = await shop.look(one)
    assert (told["order_id"], told["given_back"]) == ("o2", 0)
    assert short(await door.published()) == [("o3", 60, "other_order")]
    await balanced(ask)


async def test_a_tender_of_more_than_was_set_aside_is_told_what_is_missing(shop, door, ask):
    event, http = await shop.reserve(40), await shop.reserve(60)
    await shop.confirm(http, points=50, order_id="o3")

    await door.give(at(paid_with(event, "o2", 70).event("order.paid", 1)))
    await door.give(at(paid_with(http, "o3", 60).event("order.paid", 1)))
    await door.give(at(paid_with(http, "o3", 60).event("order.shipped", 2)))

    assert [(await shop.look(one))["confirmed"] for one in (event, http)] == [40, 50]
    assert short(await door.published()) == [("o2", 30, "too_few"), ("o3", 10, "too_few")]
    await balanced(ask)


async def test_money_refunded_in_another_currency_gives_back_its_own_share(shop, door):
    one = await shop.reserve(100)  # 1.00 in euro, of 4.00: 200 of 800 in dollars
    order = paid_with(one, amount_minor=200, total_minor=800)
    order = replace(order, more={**order.more, "currency": "USD", "base_total_minor": 400})
    await door.give(at(order.event("order.paid", 1)))

    half = order.every(delivered=4, refunded_minor=300)
    await door.give(at(half.event("order.refunded", 2)))

    assert (await shop.look(one))["given_back"] == 50


async def test_one_reservation_in_two_tenders_is_spent_for_both(shop, door, ask):
    one = await shop.reserve(60)
    order = paid_with(one, amount_minor=30)
    points, money = order.more["tenders"]
    order = replace(order, more={"tenders": (points, points, money)})

    await door.give(at(order.event("order.paid", 1)))

    assert ((await shop.look(one))["confirmed"], await shop.held()) == (60, (40, 0))
    await balanced(ask)


async def test_who_pays_too_late_after_an_unmerge_spends_nothing_of_the_other(shop, door, ask):
    await door.give(*Order("b1", "bob", lines=(line("1", 10_000),)).life())
    await door.give(*[merged(one, "ada", ("ada", "bob")) for one in ("ada", "bob")])
    joint = await shop.reserve(150)
    await shop.cancel(joint)
    await door.give(*[unmerged(one, (one,), (one,)) for one in ("ada", "bob")])
    await door.published()

    await door.give(at(paid_with(joint, amount_minor=150).event("order.paid", 1)))

    assert (await shop.held(), await shop.held("bob")) == ((0, 0), (100, 0))
    assert short(await door.published()) == [("o2", 50, "too_late")]
    await balanced(ask)
