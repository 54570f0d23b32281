"""Tiers that are granted: until when, why, once, and what counts afterwards."""

import asyncio

import pytest

from services.loyalty.tests.test_tiering import at, card, lay_down, paid, run_job, told


async def post(http, path, key, **body):
    return await http.post(path, json=body, headers={"Idempotency-Key": key})


GRANTS = "/v1/accounts/ada/tier-grants"


async def test_a_granted_tier_holds_until_its_end_and_then_the_earned_one_counts(door):
    await lay_down(door)
    await door.give(paid(euros=100)[1])
    async with door.client(clock=at("2026-11-10T00:00:00")) as http:
        body = {"tier": "gold", "until": "2026-12-01T00:00:00Z", "reason": "a complaint"}
        answers = [await post(http, GRANTS, "g1", **body) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["current_tier"] == "gold"
    now = await card(door)
    assert [(each["source"], each["tier"]) for each in now["sources"]] == [
        ("manual", "gold"),
        ("earned", "silver"),
    ]
    await run_job(door, "2026-12-02T00:00:00")
    assert (await card(door, moment="2026-12-02T00:00:00"))["tier"] == "silver"
    assert await told(door) == [
        ("ada", "up", "silver", "reached"),
        ("ada", "up", "gold", "granted"),
        ("ada", "down", "silver", "grant_ended"),
    ]


async def test_a_grant_is_ended_once_and_needs_no_orders_before(door):
    await lay_down(door)
    async with door.client(clock=at("2026-11-10T00:00:00")) as http:
        grant_id = (await post(http, GRANTS, "g1", tier="gold", reason="press")).json()["id"]
        end = f"{GRANTS}/{grant_id}/end"
        ended = await post(http, end, "e1", reason="mistake")
        again = await post(http, end, "e2", reason="mistake")
        listed = (await http.get(GRANTS)).json()["items"]

    assert (ended.status_code, ended.json()["current_tier"]) == (200, "basic")
    assert again.status_code == 404
    assert [(each["reason"], each["ended_for"]) for each in listed] == [("press", "mistake")]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"tier": "platinum", "reason": "x"}, "/v1/tiers"),
        ({"tier": "gold", "reason": "x", "until": "2020-01-01T00:00:00Z"}, "until"),
        ({"tier": "gold"}, "reason"),
    ],
)
async def test_a_grant_that_cannot_be_is_refused(door, body, fault):
    await lay_down(door)
    async with door.client() as http:
        answer = await post(http, GRANTS, "g1", **body)

    assert answer.status_code == 422
    assert fault in answer.text


async def test_grants_and_orders_at_once_leave_one_history_without_gaps(door):
    await lay_down(door)
    await door.give(paid(euros=10)[1])
    orders = [paid(f"o{n}", euros=20, days=n % 3)[1] for n in range(2, 12)]

    async with door.client(clock=at("2026-11-10T00:00:00")) as http:
        grants = [post(http, GRANTS, f"g{n}", tier="silver", reason="x") for n in range(8)]
        answers = await asyncio.gather(*grants, door.give(*orders))
        entries = (await http.get("/v1/accounts/ada/tier/history")).json()["items"]

    assert {answer.status_code for answer in answers[:-1]} == {201}
    assert [entry["version"] for entry in reversed(entries)] == list(range(1, len(entries) + 1))
    assert (await card(door))["counted"] == 21_000
