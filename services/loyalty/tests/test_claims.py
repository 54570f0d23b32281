"""Offers at the checkout: quoted, claimed exactly, counted when paid, free when not."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.loyalty.promotions.claims import Claim, Given, moves
from services.loyalty.tests import test_rules, test_tiering
from services.loyalty.tests.shop import NOON, Order, erasure, line, merged, unmerged
from services.loyalty.work import claiming
from shared.clock import Clock
from shared.keys import dev_token

LATER = NOON + timedelta(days=1)
BEGINNING = "2000-01-01T00:00:00Z"
TEN_OFF = {
    "starts_at": BEGINNING,
    "gives": {"kind": "steps", "steps": [{"spend_minor": 10_000, "save_minor": 1_000}]},
}
MUG = {
    "starts_at": BEGINNING,
    "gives": {
        "kind": "gift",
        "spend_minor": 5_000,
        "choices": [{"sku": "mug", "worth_minor": 300}],
    },
}

TWICE = [{"line_id": "1", "unit_price_minor": 1}, {"line_id": "1", "unit_price_minor": 2}]


class Checkout:
    """A checkout with a server key."""

    def __init__(self, http):
        self.http, self.calls = http, 0

    async def send(self, method, path, body=None, status=200):
        self.calls += 1
        headers = {"Idempotency-Key": f"call-{self.calls}"}
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def lay_down(self, id_, body, etag=None, **more):
        self.calls += 1
        headers = {"Idempotency-Key": f"call-{self.calls}"} | ({"If-Match": etag} if etag else {})
        answer = await self.http.put(f"/v1/offers/{id_}", json=body | more, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.headers["etag"]

    async def quote(self, *prices, customer="ada"):
        return await self.send("POST", "/v1/quotes", cart(*prices, customer=customer))

    async def claim(self, order_id, *prices, customer="ada", status=200, **promised):
        body = {
            "order_id": order_id,
            "cart": cart(*prices, customer=customer),
            "offers": [
                {"offer_id": id_, "discount_minor": minor} for id_, minor in promised.items()
            ],
        }
        return await self.send("POST", "/v1/offers/claims", body, status)

    async def look(self, order_id):
        return (await self.send("GET", f"/v1/offers/claims/{order_id}"))["state"]

    async def budget(self, id_):
        found = await self.send("GET", f"/v1/offers/{id_}/budget")
        return found["uses"], found["cost_minor"]


def cart(*prices, customer="ada"):
    return {"customer_id": customer, "lines": [{"unit_price_minor": price} for price in prices]}


def order(order_id, customer="ada", **more):
    return Order(order_id, customer, (line("1", 10_000, 2),), more=more)


async def tick(door, **delta):
    """The job, so much later."""
    world = replace(door.world, clock=Clock(frozen_at=LATER + timedelta(**delta)))
    async with door.engine.begin() as conn:
        while await claiming.time_out_due(conn, world):
            pass


@pytest.fixture
async def shop(door):
    async with door.client(clock=Clock(frozen_at=LATER)) as http:
        yield Checkout(http)


async def test_a_quote_tells_discounts_gifts_and_the_nearest_and_points_on_what_is_left(shop):
    await shop.lay_down("ten", TEN_OFF)
    await shop.lay_down("mug", MUG)

    before, after = await shop.quote(9_000), await shop.quote(9_000, 3_000)

    assert [(o["offer_id"], o["reason"]) for o in before["offers"]["offers"]] == [
        ("mug", ""),
        ("ten", "spend"),
    ]
    (near,) = before["offers"]["nearest"]
    assert (near["offer_id"], near["missing_minor"], near["discount_minor"]) == (
        "ten",
        1_000,
        1_000,
    )
    assert before["points"] == 90
    assert after["offers"]["by_line"] == {"1": 750, "2": 250}
    assert after["points"] == 110
    assert [each["points"] for each in after["lines"]] == [82, 28]


async def test_what_is_claimed_is_what_was_quoted_and_is_counted_when_the_order_is_paid(shop, door):
    await shop.lay_down("ten", TEN_OFF, budget={"uses": 5})
    await shop.lay_down("mug", MUG, budget={"cost_minor": 1_000})

    made = await shop.claim("o1", 9_000, 3_000, ten=1_000, mug=0)

    assert (made["state"], made["discount_minor"]) == ("claimed", 1_000)
    assert made["by_line"] == {"1": 750, "2": 250}
    assert made["offers"][0]["gift"]["choices"][0]["sku"] == "mug"
    assert (await shop.budget("ten"), await shop.budget("mug")) == ((1, 1_000), (1, 300))
    await door.give(order("o1").event("order.paid", 1))
    assert await shop.look("o1") == "counted"
    await tick(door, days=1)
    assert (await shop.look("o1"), await shop.budget("ten")) == ("counted", (1, 1_000))
    await shop.send("DELETE", "/v1/offers/claims/o1", status=409)
    await shop.claim("o1", 9_000, 3_000, ten=1_000, status=409)


async def test_a_test_order_counts_no_offer(shop, door):
    await shop.lay_down("ten", TEN_OFF, budget={"uses": 5})
    await shop.claim("o1", 12_000, ten=1_000)

    await door.give(order("o1").event("order.paid", 1, test=True))
    free = await shop.look("o1"), await shop.budget("ten")
    await door.give(order("o1").event("order.shipped", 2, test=True))

    assert free == (await shop.look("o1"), await shop.budget("ten")) == ("released", (0, 0))


async def test_an_offer_that_gives_something_else_by_now_is_named_and_nothing_is_taken(shop):
    etag = await shop.lay_down("ten", TEN_OFF, budget={"uses": 5})
    await shop.lay_down("mug", MUG)

    wrong = await shop.claim("o1", 12_000, ten=999, mug=0, status=409)
    too_small = await shop.claim("o1", 9_000, ten=1_000, status=409)
    unknown = await shop.claim("o1", 12_000, other=5, status=409)
    await shop.lay_down("ten", {**TEN_OFF, "starts_at": None}, etag=etag, enabled=False)
    over = await shop.claim("o1", 12_000, ten=1_000, status=409)

    assert [answer["detail"] for answer in (wrong, too_small, unknown, over)] == [
        "ten gives 1000, not 999",
        "ten does not apply: spend",
        "other is not in force",
        "ten is not in force",
    ]
    assert "offers-changed" in wrong["type"]
    await shop.send("GET", "/v1/offers/claims/o1", status=404)
    assert await shop.budget("ten") == (0, 0)


async def test_a_claim_is_free_again_by_delete_by_time_and_by_cancellation(shop, door):
    await shop.lay_down("ten", TEN_OFF, budget={"uses": 5})
    for order_id in ("deleted", "cancelled", "forgotten", "paid-late"):
        await shop.claim(order_id, 10_000, ten=1_000)
    assert await shop.budget("ten") == (4, 4_000)

    await shop.send("DELETE", "/v1/offers/claims/deleted")
    await door.give(order("cancelled", tenders=()).event("order.cancelled", 1))
    assert await shop.budget("ten") == (2, 2_000)
    await tick(door, minutes=29)
    assert await shop.look("forgotten") == "claimed"
    await tick(door, minutes=30)
    assert await shop.budget("ten") == (0, 0)

    late = order("paid-late")
    await door.give(late.event("order.paid", 1))
    assert await shop.budget("ten") == (1, 1_000)
    await door.give(late.event("order.cancelled", 2), late.event("order.refunded", 3))
    assert (await shop.look("paid-late"), await shop.budget("ten")) == ("released", (0, 0))


async def test_an_order_whose_every_piece_is_cancelled_frees_its_claim_and_a_part_does_not(
    shop, door
):
    await shop.lay_down("ten", TEN_OFF, budget={"uses": 5})
    await shop.claim("o1", 10_000, ten=1_000)
    one = order("o1")

    await door.give(one.event("order.paid", 1))
    await door.give(one.change("1", cancelled=1).event("order.changed", 2))
    part = await shop.look("o1")
    await door.give(one.every(cancelled="all").event("order.cancelled", 3))

    assert (part, await shop.look("o1")) == ("counted", "released")


async def test_an_orders_new_claim_takes_the_place_of_the_old(shop):
    await shop.lay_down("ten", TEN_OFF, budget={"uses": 1}, uses_per_member=1)
    await shop.lay_down("mug", MUG, budget={"cost_minor": 300})

    await shop.claim("o1", 10_000, ten=1_000)
    await shop.claim("o1", 20_000, ten=1_000, mug=0)
    assert (await shop.budget("ten"), await shop.budget("mug")) == ((1, 1_000), (1, 300))
    await shop.claim("o1", 5_000, mug=0)
    assert (await shop.budget("ten"), await shop.budget("mug")) == ((0, 0), (1, 300))


async def test_thirty_checkouts_at_once_never_exceed_the_budgets(shop, door):
    await shop.lay_down("ten", TEN_OFF, budget={"uses": 7})
    await shop.lay_down("mug", MUG, budget={"cost_minor": 3_000})
    wanted = [{"mug": 0, "ten": 1_000}, {"ten": 1_000, "mug": 0}, {"mug": 0}]

    async def claim(number):
        body = {
            "order_id": f"o{number}",
            "cart": cart(10_000, customer=f"c{number}"),
            "offers": [
                {"offer_id": id_, "discount_minor": minor}
                for id_, minor in wanted[number % 3].items()
            ],
        }
        headers = {"Idempotency-Key": f"race-{number}"}
        return await shop.http.post("/v1/offers/claims", json=body, headers=headers)

    answers = await asyncio.gather(*(claim(number) for number in range(30)))

    assert {answer.status_code for answer in answers} == {200, 409}
    (ten_uses, _), (mugs, mug_cost) = await shop.budget("ten"), await shop.budget("mug")
    assert ten_uses <= 7
    assert (mugs, mug_cost) == (10, 3_000)
    claimed = [answer.json()["offers"] for answer in answers if answer.status_code == 200]
    assert sum(len(offers) for offers in claimed) == ten_uses + mugs


async def test_claims_payments_and_cancellations_at_once_leave_the_budget_at_what_counts(
    shop, door
):
    await shop.lay_down("ten", TEN_OFF, budget={"uses": 100})
    for number in range(6):
        await shop.claim(f"o{number}", 10_000, ten=1_000)

    events = [order(f"o{number}").event("order.paid", 1) for number in range(3)]
    deletes = [
        shop.http.delete(
            f"/v1/offers/claims/o{number}", headers={"Idempotency-Key": f"delete-{number}"}
        )
        for number in range(6)
    ]
    await asyncio.gather(door.give(*events), tick(door, minutes=30), *deletes)

    counted = [number for number in range(6) if await shop.look(f"o{number}") == "counted"]
    assert counted == [0, 1, 2], "they were paid, so they count"
    assert await shop.budget("ten") == (3, 3_000)


async def test_a_person_uses_an_offer_so_often_under_all_his_ids(shop, door):
    both = ("ada", "anon:1")
    await shop.lay_down("ten", TEN_OFF, uses_per_member=1)
    await door.give(*[merged(one, "ada", both) for one in both])

    await shop.claim("o1", 10_000, ten=1_000)
    refused = await shop.claim("o2", 10_000, ten=1_000, customer="anon:1", status=409)
    await shop.claim("o2", 10_000, ten=1_000, customer="bob")
    guest = await shop.claim("o3", 10_000, ten=1_000, customer="guest:o3", status=409)
    quoted = await shop.quote(10_000)
    await door.give(unmerged("ada", ("ada",), ("anon:1",)))
    await door.give(unmerged("anon:1", ("anon:1",), ("anon:1",)))
    await shop.claim("o4", 10_000, ten=1_000, customer="anon:1")

    assert refused["detail"] == "ten does not apply: member_uses"
    assert guest["detail"] == "ten does not apply: guest"
    assert quoted["offers"]["offers"][0]["reason"] == "member_uses"


async def test_two_ids_of_a_person_at_once_use_it_once(shop, door):
    await shop.lay_down("ten", TEN_OFF, uses_per_member=1)

    async def claim(person, number):
        body = {
            "order_id": f"{person}-{number}",
            "cart": cart(10_000, customer=(person, f"anon:{person}")[number % 2]),
            "offers": [{"offer_id": "ten", "discount_minor": 1_000}],
        }
        headers = {"Idempotency-Key": f"{person}-{number}"}
        return (await shop.http.post("/v1/offers/claims", json=body, headers=headers)).status_code

    for person in ("ada", "bob", "cho", "dan"):  # the first opens the connections
        both = (person, f"anon:{person}")
        await door.give(*[merged(one, person, both) for one in both])
        answers = await asyncio.gather(*(claim(person, number) for number in range(8)))
        assert sorted(answers) == [200, *[409] * 7]


async def test_the_erased_leave_no_name_on_their_claims_and_what_they_took_still_counts(shop, door):
    await shop.lay_down("ten", TEN_OFF, budget={"uses": 5}, uses_per_member=1)
    await shop.claim("o1", 10_000, ten=1_000)
    await door.give(order("o1").event("order.paid", 1))
    await door.give(erasure("ada", LATER))

    assert (await shop.send("GET", "/v1/offers/claims/o1"))["customer_id"] is None
    assert await shop.budget("ten") == (1, 1_000)


async def test_only_a_checkouts_server_claims(door):
    async with door.client("loyalty:read") as http:
        body = {"order_id": "o1", "cart": cart(10_000), "offers": [{"offer_id": "ten"}]}
        headers = {"Idempotency-Key": "k"}
        answer = await http.post("/v1/offers/claims", json=body, headers=headers)
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"offers": []}, "offers"),
        ({"cart": {"lines": [{"unit_price_minor": 1}]}}, "customer_id"),
        ({"cart": cart(1) | {"at": "2026-11-01T00:00:00Z"}}, "at"),
        ({"order_id": ""}, "order_id"),
        ({"cart": {"customer_id": "ada", "lines": TWICE}}, "the same line_id"),
    ],
)
async def test_a_claim_that_lacks_something_is_refused_by_name(shop, change, fault):
    body = {"order_id": "o1", "cart": cart(10_000), "offers": [{"offer_id": "ten"}]} | change

    assert fault in str(await shop.send("POST", "/v1/offers/claims", body, 422))


CLAIMS = st.builds(
    lambda order_id, state, offers: Claim(order_id, "ada", state, LATER, tuple(offers)),
    st.sampled_from("abc"),
    st.sampled_from(("claimed", "counted", "released")),
    st.lists(
        st.builds(
            lambda id_, cost, budgeted: Given(
                offer_id=id_,
                version=1,
                discount_minor=cost,
                cost_minor=cost,
                budgeted=budgeted,
                by_line={},
            ),
            st.sampled_from("xyz"),
            st.integers(0, 500),
            st.booleans(),
        ),
        max_size=3,
    ),
)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.lists(CLAIMS, max_size=4, unique_by=lambda claim: claim.order_id), max_size=8))
def test_budgets_hold_what_counts_whatever_claims_become(steps):
    claims, uses, costs = {}, Counter(), Counter()
    for after in steps:
        before = [claims[each.order_id] for each in after if each.order_id in claims]
        for offer_id, move in moves(before, after).items():
            uses[offer_id] += move.uses
            costs[offer_id] += move.cost_minor
        claims |= {each.order_id: each for each in after}

    counting = [
        each for one in claims.values() if one.counts for each in one.given if each.budgeted
    ]
    assert +uses == Counter(each.offer_id for each in counting)
    assert sum(costs.values()) == sum(each.cost_minor for each in counting)
    assert min([*uses.values(), *costs.values(), 0]) == 0


async def test_a_storefront_hears_of_its_own_offers_and_claims_nothing(shop, tmp_path):
    await shop.lay_down("ten", TEN_OFF)
    await shop.lay_down("staff", MUG, when={"segments": ["staff"]})
    headers = {"Authorization": f"Bearer {dev_token('ada', tmp_path)}", "Idempotency-Key": "k"}

    quoted = await shop.http.post("/v1/quotes", json=cart(9_000), headers=headers)
    body = {"order_id": "o1", "cart": cart(10_000), "offers": [{"offer_id": "ten"}]}
    claimed = await shop.http.post("/v1/offers/claims", json=body, headers=headers)

    assert [each["offer_id"] for each in quoted.json()["offers"]["offers"]] == ["ten"]
    assert [each["offer_id"] for each in quoted.json()["offers"]["nearest"]] == ["ten"]
    assert claimed.status_code == 403


async def test_two_claims_of_one_order_at_once_count_once(shop):
    await shop.lay_down("ten", TEN_OFF, budget={"uses": 5})

    async def claim(order_id, number):
        body = {
            "order_id": order_id,
            "cart": cart(10_000, customer=f"c{number}"),
            "offers": [{"offer_id": "ten", "discount_minor": 1_000}],
        }
        headers = {"Idempotency-Key": f"{order_id}-{number}"}
        return (await shop.http.post("/v1/offers/claims", json=body, headers=headers)).status_code

    for rounds in (1, 2, 3):  # the first opens the connections
        answers = await asyncio.gather(*(claim(f"o{rounds}", number) for number in range(4)))
        assert answers == [200] * 4
        assert await shop.budget("ten") == (rounds, rounds * 1_000)


async def test_offers_know_of_tiers_segments_and_the_catalogue(shop, door):
    await test_tiering.lay_down(door)
    when = {"tiers": ["silver"], "segments": ["vip"]}
    await shop.lay_down("tea", TEN_OFF, when=when, lines={"categories": ["Tea"]})
    line_of_tea = {"product_id": "oolong", "unit_price_minor": 10_000}
    asked = {"customer_id": "ada", "lines": [line_of_tea]}

    async def verdict():
        return (await shop.send("POST", "/v1/quotes", asked))["offers"]["offers"][0]["reason"]

    said = [await verdict()]
    for event in (
        test_tiering.paid(euros=150)[1],
        test_rules.segment(),
        test_rules.published("oolong", category=("Drinks", "Tea")),
    ):
        await door.give(event)
        said.append(await verdict())
    body = {"order_id": "o9", "cart": asked}
    body["offers"] = [{"offer_id": "tea", "discount_minor": 1_000}]

    assert said == ["tier", "segment", "no_line", ""]
    assert (await shop.send("POST", "/v1/offers/claims", body))["by_line"] == {"1": 1_000}
