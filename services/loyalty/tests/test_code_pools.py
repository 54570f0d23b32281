"""The shop's own codes: uploaded with a report by row, had once each."""

import asyncio

import pytest

from services.loyalty.tests.counter import Counter, counter_at, problem, warm

POOL = "/v1/code-pools/partner"


@pytest.fixture
async def shop(door):
    async with counter_at(door) as http:
        counter = Counter(http)
        await counter.lay_down("partner", codes="pool")
        await warm(door)
        yield counter


async def test_an_upload_tells_by_row_what_it_did_not_take(shop):
    first = await shop.call("POST", POOL, {"codes": ["SUMMER-1", "summer i", "", "X" * 65]})
    second = await shop.call("POST", POOL, {"codes": ["Summer1", "SUMMER-2"]})

    assert first == {
        "added": 1,
        "refused": [
            {"row": 2, "reason": "repeated"},
            {"row": 3, "reason": "malformed"},
            {"row": 4, "reason": "malformed"},
        ],
    }
    assert second == {"added": 1, "refused": [{"row": 1, "reason": "known"}]}
    assert (await shop.call("GET", POOL))["left"] == 2


async def test_a_codes_life_is_over_for_ever_once_it_was_had(shop):
    await shop.call("POST", POOL, {"codes": ["SUMMER-1"]})

    coupon = await shop.take("partner")
    empty = await shop.take("partner", status=409)
    again = await shop.call("POST", POOL, {"codes": ["SUMMER-1"]})

    assert coupon["code"] == "SUMMER-1"
    assert problem(empty) == "out-of-stock"
    assert (await shop.offered())["partner"]["reasons"] == ["out_of_stock"]
    assert again["refused"] == [{"row": 1, "reason": "known"}]
    assert (await shop.act("use", "summer 1"))["state"] == "used"


async def test_each_code_is_had_by_one_member_however_many_come_at_once(shop):
    await shop.call("POST", POOL, {"codes": [f"P{n}" for n in range(12)]})

    async def take(customer):
        path = f"/v1/accounts/{customer}/rewards/partner"
        return await shop.http.post(path, headers={"Idempotency-Key": customer})

    answers = await asyncio.gather(*(take(f"c{n}") for n in range(20)))

    had = [answer.json()["code"] for answer in answers if answer.status_code == 201]
    assert len(had) == len(set(had)) <= 12
    assert {answer.status_code for answer in answers} <= {201, 409}
    left = (await shop.call("GET", POOL))["left"]
    assert len(had) + left == 12


async def test_two_uploads_of_the_same_codes_add_each_once(shop):
    codes = {"codes": [f"P{n}" for n in range(500)]}

    reports = await asyncio.gather(*(shop.call("POST", POOL, codes, key=f"k{n}") for n in range(4)))

    assert sum(report["added"] for report in reports) == 500


async def test_only_a_reward_with_a_pool_takes_codes(shop, door):
    await shop.lay_down("own")

    await shop.call("POST", "/v1/code-pools/own", {"codes": ["A"]}, status=404)
    await shop.call("POST", "/v1/code-pools/none", {"codes": ["A"]}, status=404)
    async with door.client("loyalty:write") as http:
        answer = await http.post(POOL, json={"codes": ["A"]}, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 403
