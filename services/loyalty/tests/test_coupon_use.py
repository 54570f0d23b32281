"""Coupons at the checkout: over HTTP, by the orders' own events, and all at once."""

import asyncio
from collections import Counter as Tally
from dataclasses import replace
from datetime import timedelta

import pytest

from services.loyalty.tests.counter import (
    LATER,
    Counter,
    as_storefront,
    counter_at,
    earn,
    problem,
    warm,
)
from services.loyalty.tests.shop import Order, line, merged
from services.loyalty.tests.test_worker import balanced

RIVALS = 20


@pytest.fixture
async def shop(door):
    """ada has 100 points, and there is five off for the asking."""
    await earn(door)
    async with counter_at(door) as http:
        counter = Counter(http)
        await counter.lay_down("five-off", valid={"after_days": 1})
        await warm(door)
        yield counter


def with_code(coupon, order_id="o2", customer="ada"):
    return Order(order_id, customer, (line("1", 2_000, 2),), more={"coupon": coupon["code"]})


def at(event, **delta):
    return replace(event, time=LATER + timedelta(**delta))


async def state(shop, coupon):
    found = {one["issue_id"]: one for one in await shop.coupons()}[coupon["issue_id"]]
    return found["state"], found["order_id"]


async def test_reserved_used_and_asked_again_it_is_the_same(shop):
    coupon = await shop.take("five-off")

    held = await shop.act("reserve", coupon, minutes=10)
    other = await shop.act("use", coupon, "o3", status=409)
    used = await shop.act("use", coupon["code"].lower().replace("-", " "))
    again = [await shop.act(action, coupon) for action in ("use", "reserve")]

    assert (held["state"], held["reserved_until"]) == ("reserved", "2026-11-02T12:10:00Z")
    assert problem(other) == "coupon-reserved"
    assert used == again[0] == again[1]
    assert (used["state"], used["order_id"], used["value_minor"]) == ("used", "o2", 500)
    assert problem(await shop.act("free", coupon, status=409)) == "coupon-used"


async def test_a_reservation_and_a_coupon_end_by_time_alone(shop, door):
    coupon = await shop.take("five-off")
    await shop.act("reserve", coupon, minutes=30)

    async with counter_at(door, LATER + timedelta(minutes=30)) as http:
        assert (await Counter(http).act("reserve", coupon, "o3"))["order_id"] == "o3"
    async with counter_at(door, LATER + timedelta(days=3)) as http:
        late = Counter(http)
        assert await state(late, coupon) == ("expired", "o3")
        assert problem(await late.act("use", coupon, "o3", status=409)) == "coupon-expired"


async def test_a_mistyped_code_is_told_from_an_unknown_one(shop):
    coupon = await shop.take("five-off")
    wrong = ("0" if coupon["code"][0] != "0" else "1") + coupon["code"][1:]

    assert problem(await shop.act("use", wrong, status=404)) == "code-mistyped"
    assert problem(await shop.act("use", "0000-0000-0000-0000", status=404)) == "no-such-coupon"
    assert problem(await shop.act("use", "SUMMER", status=404)) == "no-such-coupon"


async def test_one_quote_has_offers_coupons_and_points_and_names_each_refused_code(
    shop, door, tmp_path
):
    both = {"stacks_with": ["amount", "percent", "gift"], "value_minor": 300}
    await shop.lay_down("three-off", **both)
    await shop.lay_down("tenth", **both | {"kind": "percent", "percent": 10, "value_minor": 0})
    await shop.lay_down("mug", **both | {"kind": "gift", "sku": "mug", "points": 1})
    await shop.lay_down("big", **both | {"spend_min_minor": 5_000})
    await shop.lay_down("secret", **both, occasion="member_only")
    names = ("three-off", "tenth", "mug", "big", "five-off", "five-off")
    three, tenth, mug, big, alone, spent = [(await shop.take(name))["code"] for name in names]
    secret = (await shop.take("secret", "bob"))["code"]
    await shop.act("use", spent, "o9")
    await shop.offer("hundred", [{"spend_minor": 4_000, "save_minor": 1_000}])
    await shop.offer("more", [{"spend_minor": 9_000, "save_minor": 3_000}])
    lines = [{"unit_price_minor": 1_000}, {"unit_price_minor": 3_000}]
    typed = [three, tenth.lower(), mug, big, alone, spent, secret, "NONE"]
    asked = {"customer_id": "ada", "coupons": typed, "lines": lines, "store": "web"}

    told = await shop.call("POST", "/v1/quotes", asked)

    by_code = {one["code"]: one for one in told["coupons"]["coupons"]}
    assert told["offers"]["by_line"] == {"1": 250, "2": 750}
    assert [near["offer_id"] for near in told["offers"]["nearest"]] == ["more"]
    assert by_code[tenth.lower()]["by_line"] == {"1": 75, "2": 225}, "of what the offer has left"
    assert by_code[three]["by_line"] == {"1": 75, "2": 225}
    assert by_code[mug]["sku"] == "mug"
    assert (by_code[big]["refusal"], by_code[big]["missing_minor"]) == ("spend_min", 1_000)
    assert [by_code[c]["refusal"] for c in (alone, spent, secret, "NONE")] == [
        *("stacking", "used", "not_theirs", "unknown")
    ]
    assert told["coupons"]["by_line"] == {"1": 150, "2": 450}
    assert (told["by_line"], told["discount_minor"]) == ({"1": 400, "2": 1_200}, 1_600)
    assert told["points"] == 24, "one for each full unit of the 24.00 that are left to pay"
    assert await shop.act("use", alone), "nothing was set aside"
    as_storefront(shop.http, tmp_path, "bob")
    seen = await shop.call("POST", "/v1/quotes", asked | {"customer_id": "bob"})
    assert {one["code"] for one in seen["coupons"]["coupons"] if not one["refusal"]} == {secret}
    assert {one["refusal"] for one in seen["coupons"]["coupons"]} == {None, "unknown"}


async def test_a_coupons_offer_is_had_by_its_own_open_coupon_and_claimed_by_what_is_reserved(shop):
    await shop.lay_down("key", value_minor=100, occasion="member_only")
    await shop.lay_down("far", value_minor=100, spend_min_minor=10**6)
    mine, bobs, far = [
        (await shop.take(*who))["code"] for who in (("key",), ("key", "bob"), ("far",))
    ]
    await shop.offer("ten", [{"spend_minor": 1_000, "save_minor": 200}], coupon="key")
    cart = {"customer_id": "ada", "lines": [{"line_id": "a", "unit_price_minor": 5_000}]}

    async def quoted(*codes, order_id="o7"):
        asked = cart | {"coupons": codes, "order_id": order_id}
        told = await shop.call("POST", "/v1/quotes", asked)
        return told["offers"]["offers"][0]["reason"], told["discount_minor"]

    async def claim(code, order_id, status=200):
        body = {"order_id": order_id, "cart": cart | {"coupons": [code]}}
        body["offers"] = [{"offer_id": "ten", "discount_minor": 200}]
        return await shop.call("POST", "/v1/offers/claims", body, status=status)

    assert await quoted() == await quoted(bobs) == await quoted(far) == ("coupon", 0)
    assert await quoted(mine) == ("", 300)
    unheld = await claim(mine, "o7", 409)
    await shop.act("reserve", mine, "o7", customer_id="ada")
    assert await quoted(mine, order_id="o8") == ("coupon", 0), "another order holds it"
    assert await quoted(mine) == ("", 300)
    assert (
        unheld["detail"] == (await claim(mine, "o8", 409))["detail"] == "ten does not apply: coupon"
    )
    assert (await claim(mine, "o7"))["discount_minor"] == 200


async def test_a_member_only_coupon_is_good_for_its_owner_only(shop, door):
    await shop.lay_down("secret", occasion="member_only")
    coupon = await shop.take("secret")

    assert problem(await shop.act("use", coupon, status=409)) == "not-theirs"
    assert problem(await shop.act("use", coupon, status=409, customer_id="bob")) == "not-theirs"
    await door.give(at(with_code(coupon, customer="bob").event("order.paid", 2)))
    assert await state(shop, coupon) == ("issued", None)
    assert (await shop.act("use", coupon, customer_id="ada"))["state"] == "used"


async def test_a_paid_order_uses_its_coupon_and_a_cancelled_one_gives_it_back(shop, door):
    coupon = await shop.take("five-off")
    order = with_code(coupon)
    placed, paid = order.event("order.placed", 1), at(order.event("order.paid", 2))
    cancelled = at(order.every(cancelled="all").event("order.cancelled", 3), minutes=5)
    partly = at(order.change("1", cancelled=1).event("order.cancelled", 3))

    await door.give(placed)
    assert await state(shop, coupon) == ("issued", None)
    await door.give(paid, partly)
    assert await state(shop, coupon) == ("used", "o2")
    last = replace(cancelled, id="last", data=cancelled.data.model_copy(update={"revision": 4}))
    await door.give(last)
    await door.give(replace(paid, id="late"))  # an old revision, heard of again
    assert await state(shop, coupon) == ("issued", None)
    assert (await shop.act("use", coupon, "o3"))["order_id"] == "o3"


async def test_a_refund_that_follows_on_a_cancellation_leaves_the_coupon_free(shop, door):
    coupon = await shop.take("five-off")
    order = with_code(coupon)
    gone = order.every(cancelled="all")
    await door.give(at(order.event("order.paid", 1)), at(gone.event("order.cancelled", 2)))

    await door.give(at(gone.every(refunded_minor=2_000).event("order.refunded", 3)))

    assert await state(shop, coupon) == ("issued", None)


@pytest.mark.parametrize("type_", ["order.refunded", "return.received", "order.cancelled"])
async def test_what_follows_on_an_uncounted_cancellation_takes_the_coupon_of_neither_kind(
    shop, door, type_
):
    named, held = await shop.take("five-off"), await shop.take("five-off")
    await shop.act("reserve", held)
    order = with_code(named)
    await door.give(at(order.event("order.paid", 1)), at(order.event("order.cancelled", 2)))

    refund = at(order.every(refunded_minor=2_000).event(type_, 3))
    await door.give(refund)
    await door.give(replace(refund, id="again"))

    assert [await state(shop, one) for one in (named, held)] == [("issued", None)] * 2
    await door.give(at(order.event("order.shipped", 4)))
    assert await state(shop, named) == ("used", "o2"), "it goes on after all"


async def test_a_refund_that_is_heard_of_first_uses_what_was_set_aside_for_its_order(shop, door):
    coupon = await shop.take("five-off")
    await shop.act("reserve", coupon)

    await door.give(at(Order("o2").event("order.refunded", 3)))

    assert await state(shop, coupon) == ("used", "o2")


async def test_a_test_order_uses_nothing_and_frees_what_was_set_aside_for_it(shop, door):
    named, held, used = [await shop.take("five-off") for _ in range(3)]
    await shop.act("reserve", held)
    await shop.act("use", used)

    await door.give(at(with_code(named).event("order.placed", 1, test=True)))
    assert await state(shop, held) == ("reserved", "o2")
    await door.give(at(with_code(named).event("order.paid", 2, test=True)))
    assert [await state(shop, one) for one in (named, held, used)] == [("issued", None)] * 3
    gone = with_code(named).every(cancelled="all")
    await door.give(at(gone.event("order.cancelled", 3, test=True)))
    await door.give(at(gone.event("order.refunded", 4, test=True)))

    assert [await state(shop, one) for one in (named, held, used)] == [("issued", None)] * 3


async def test_an_order_uses_what_was_reserved_for_it_though_it_names_no_code(shop, door):
    mine, others = await shop.take("five-off"), await shop.take("five-off")
    await shop.act("reserve", mine, "o2")
    await shop.act("reserve", others, "o3")

    await door.give(at(Order("o2").event("order.paid", 1), hours=5))

    assert await state(shop, mine) == ("used", "o2")
    assert (await state(shop, others))[1] == "o3"


async def test_an_order_with_a_coupon_that_is_not_to_be_had_stands_and_the_refusal_is_kept(
    shop, door, ask
):
    coupon = await shop.take("five-off")
    await shop.act("use", coupon, "o9")

    await door.give(*(at(event) for event in with_code(coupon).life()))

    assert (await ask("/v1/orders/o2"))["active"] == 20
    assert await state(shop, coupon) == ("used", "o9")
    refused = await door.query("SELECT refused, order_id FROM coupon_step WHERE refused <> ''")
    assert {tuple(row) for row in refused} == {("CouponUsed", "o2")}


async def rush(calls):
    """All at once; how many got which answer."""
    return Tally(
        [answer if answer == "ok" else problem(answer) for answer in await asyncio.gather(*calls)]
    )


async def tell(shop, path, body, key):
    headers = {"Idempotency-Key": key}
    answer = await shop.http.post(path, json=body, headers=headers)
    return "ok" if answer.status_code < 300 else answer.json()


async def test_the_last_piece_is_had_once(shop, ask):
    await shop.lay_down("last", stock=3)
    for early in ("bob", "cy"):
        await shop.take("last", early)
    rivals = [f"c{n}" for n in range(RIVALS)]

    tally = await rush(tell(shop, f"/v1/accounts/{c}/rewards/last", None, c) for c in rivals)

    assert tally == {"ok": 1, "out-of-stock": RIVALS - 1}
    assert sum([len(await shop.coupons(c)) for c in rivals]) == 1


async def test_one_code_is_used_by_one_order(shop, door):
    coupon = await shop.take("five-off")
    path = f"/v1/coupons/{coupon['code']}/use"

    tally = await rush(tell(shop, path, {"order_id": f"o{n}"}, f"u{n}") for n in range(RIVALS))

    assert tally == {"ok": 1, "coupon-used": RIVALS - 1}
    [used] = await door.query("SELECT count(*) FROM coupon_step WHERE action = 'use'")
    assert tuple(used) == (1,)


async def test_nobody_gets_more_than_his_limit_nor_pays_for_more(shop, ask):
    await shop.lay_down("twice", points=10, limit={"count": 2})

    tally = await rush(
        tell(shop, "/v1/accounts/ada/rewards/twice", None, f"t{n}") for n in range(RIVALS)
    )

    assert tally == {"ok": 2, "limit-reached": RIVALS - 2}
    assert await shop.held() == 80
    await balanced(ask)


async def test_who_had_no_account_yet_has_his_limit_too(shop, door):
    await shop.lay_down("once", limit={"count": 1})
    await door.give(*[merged(one, "new", ("new", "phone")) for one in ("new", "phone")])
    ids = ("new", "phone")

    tally = await rush(
        tell(shop, f"/v1/accounts/{ids[n % 2]}/rewards/once", None, f"n{n}") for n in range(RIVALS)
    )

    assert tally == {"ok": 1, "limit-reached": RIVALS - 1}


async def test_void_against_use_and_the_order_itself_ends_one_way(shop, door, ask):
    await shop.lay_down("dear", points=10)
    for n in range(6):
        coupon = await shop.take("dear")
        path = f"/v1/coupons/{coupon['code']}"
        order = f"o1{n}"
        calls = [
            tell(shop, f"{path}/void", {}, f"v{n}"),
            tell(shop, f"{path}/use", {"order_id": order}, f"u{n}"),
        ]
        paid = at(with_code(coupon, order).event("order.paid", 1))

        await asyncio.gather(*calls, door.give(paid))

        kept, _ = await state(shop, coupon)
        given_back = await door.query(
            "SELECT 1 FROM journal WHERE document = :id AND kind = 'give_back'",
            id=coupon["issue_id"],
        )
        assert (kept, len(given_back)) in {("void", 1), ("used", 0)}
    await balanced(ask)
