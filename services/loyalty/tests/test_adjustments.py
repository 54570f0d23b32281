"""Adjustments over HTTP: who may alone, the second person, and what it does to the books."""

import asyncio
from datetime import timedelta

import pytest

from services.loyalty.tests.desk import callers
from services.loyalty.tests.shop import NOON, Order, erasure, line, merged
from services.loyalty.tests.test_worker import balanced
from shared.clock import Clock
from shared.keys import dev_token

LATER = NOON + timedelta(days=1)
POLICY = {
    "starts_at": "2000-01-01T00:00:00Z",
    "alone_points_max": 100,
    "day_points_max": 150,
    "points_max": 5000,
}
READS, ADMINS = ("loyalty:read",), ("loyalty:read", "loyalty:admin")


@pytest.fixture
async def people(door):
    """`ann` and `ben` may adjust, `eve` may only read; ada has 10 points, bob 5."""
    await door.give(*Order().life(), *Order("o2", "bob", (line(total_minor=500),)).life())
    await door.published()
    clock = Clock(frozen_at=LATER)
    async with callers(door, clock, ann=ADMINS, ben=ADMINS, eve=READS) as found:
        await found["ben"].put("/v1/adjustment-policies/default", POLICY)
        yield found


async def adjust(person, points, status=201, customer="ada", key=None, **more):
    body = {"points": points, "reason": "goodwill", **more}
    return await person.post(f"/v1/accounts/{customer}/adjustments", body, status, key)


async def held(person, customer="ada"):
    account = await person.get(f"/v1/accounts/{customer}")
    return account["active"], account["owed"]


async def test_points_are_given_and_taken_at_once_below_the_limits(people, ask, door):
    ann = people["ann"]

    given = await adjust(ann, 50, note="ticket 4711")
    taken = await adjust(ann, -20, reason="correction")

    assert (given["state"], given["waits_for"], given["requested_by"]) == (
        "booked",
        [],
        taken["requested_by"],
    )
    assert await held(ann) == (40, 0)
    books = await balanced(ask)
    assert books["accounts"]["adjusted"] == -30
    newest = (await ask("/v1/accounts/ada/history"))["items"]
    assert {journal["document"] for journal in newest if journal["kind"] == "adjust"} == {
        given["id"],
        taken["id"],
    }
    told = [(e.type, e.data.points, e.data.reason) for e in await door.published()]
    assert told == [("points.earned", 50, "goodwill"), ("points.reversed", 20, "correction")]


async def test_points_are_taken_from_however_many_lots(people, door, ask):
    ann, ben = people["ann"], people["ben"]
    await door.give(*[event for n in range(40) for event in Order(f"small-{n}").life()])

    waiting = await adjust(ann, -210, status=202)
    await ben.post(f"/v1/adjustments/{waiting['id']}/approve")

    assert await held(ann) == (200, 0)
    await balanced(ask)


async def test_points_of_a_checkout_that_never_came_back_may_be_taken(people, door, ask):
    async with callers(door, Clock(frozen_at=LATER), shop=("loyalty:write",)) as now:
        await now["shop"].post("/v1/accounts/ada/reservations", {"points": 8}, status=201)
    async with callers(door, Clock(frozen_at=LATER + timedelta(hours=1)), ann=ADMINS) as later:
        await adjust(later["ann"], -10)

    assert await held(people["ann"]) == (0, 0)
    await balanced(ask)


async def test_an_adjustment_has_one_effect_for_one_key(people):
    first = await adjust(people["ann"], 50, key="same")
    again = await adjust(people["ann"], 50, key="same")

    assert again == first
    assert await held(people["ann"]) == (60, 0)


async def test_above_a_limit_it_waits_for_another_person(people, ask):
    ann, ben = people["ann"], people["ben"]
    waiting = await adjust(ann, 500, status=202)

    assert (waiting["state"], waiting["waits_for"]) == (
        "waiting",
        ["alone_points_max", "day_points_max"],
    )
    assert waiting["inputs"]["policy_version"] == 1
    assert await held(ann) == (10, 0), "nothing is booked yet"
    path = f"/v1/adjustments/{waiting['id']}"
    refused = await ann.post(f"{path}/approve", status=403)
    assert refused["type"] == "urn:regulars:problem:own-approval"
    assert await ann.post(f"{path}/decline", status=403)
    assert [each["id"] for each in (await ben.get("/v1/adjustments"))["items"]] == [waiting["id"]]

    booked = await ben.post(f"{path}/approve", {"comment": "seen the ticket"})

    assert (booked["state"], booked["comment"]) == ("booked", "seen the ticket")
    assert booked["decided_by"] != booked["requested_by"]
    assert await held(ann) == (510, 0)
    assert (await ben.post(f"{path}/approve", status=409))["state"] == "booked"
    assert (await ben.get("/v1/adjustments"))["items"] == []
    assert await ben.get(path) == booked
    await balanced(ask)


async def test_a_declined_one_has_no_effect_and_frees_the_callers_day(people):
    ann, ben = people["ann"], people["ben"]
    await adjust(ann, 90)
    waiting = await adjust(ann, 80, status=202)
    assert waiting["waits_for"] == ["day_points_max"]

    declined = await ben.post(f"/v1/adjustments/{waiting['id']}/decline", {"comment": "no"})

    assert declined["state"] == "declined"
    assert await held(ann) == (100, 0)
    assert (await adjust(ann, 60))["inputs"]["caller_points_today"] == 150
    assert len((await ann.get("/v1/adjustments", state="all"))["items"]) == 3


async def test_nobody_is_taken_below_zero_unless_the_policy_says_so(people, ask):
    ann = people["ann"]
    refused = await adjust(ann, -11, status=409)
    assert refused["spendable"] == 10

    await people["ben"].put(
        "/v1/adjustment-policies/default", POLICY | {"starts_at": None, "below_zero": True}
    )
    await adjust(ann, -25)
    assert await held(ann) == (0, 15)
    await adjust(ann, 20)

    assert await held(ann) == (5, 0), "the debt was paid first"
    await balanced(ask)


async def test_given_points_expire_when_told_or_as_the_programme_says(people):
    ann = people["ann"]
    until = (LATER + timedelta(days=5)).isoformat()
    programme = {"expiry": {"after_days": 10, "round_to": "day"}, "starts_at": None}
    await people["ben"].put("/v1/programmes/default", programme)

    told = await adjust(ann, 5, expires_at=until)
    usual = await adjust(ann, 5)

    assert told["expires_at"].startswith("2026-11-07")
    assert usual["expires_at"].startswith("2026-11-13T00:00")
    assert "later" in (await adjust(ann, 5, 422, expires_at=NOON.isoformat()))["detail"]
    assert "leave it out" in (await adjust(ann, -5, 422, expires_at=until))["detail"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"points": 0}, "points"),
        ({"points": 9999}, "points"),
        ({"points": 5, "reason": "because"}, "reason"),
        ({"points": 5, "note": "ada@shop.example"}, "note"),
        ({"points": 5, "store": "nowhere"}, "store"),
    ],
)
async def test_what_nobody_may_book_is_named(people, body, named):
    refused = await adjust(people["ann"], **({"status": 422} | body))

    assert named in refused["detail"]


async def test_it_takes_a_key_that_may_and_a_customer_who_is_known(people, door, tmp_path):
    await adjust(people["eve"], 5, status=403)
    await adjust(people["ann"], 5, status=404, customer="nobody")
    async with door.client() as http:
        http.headers["Authorization"] = f"Bearer {dev_token('ada', tmp_path)}"
        headers = {"Idempotency-Key": "mine"}
        body = {"points": 5, "reason": "goodwill"}
        for customer in ("ada", "bob"):
            path = f"/v1/accounts/{customer}/adjustments"
            assert (await http.post(path, json=body, headers=headers)).status_code == 403
        assert (await http.get("/v1/adjustments")).status_code == 403


async def test_a_person_is_taken_from_under_all_ids(people, door, ask):
    await door.give(merged("ada", "ada", ("ada", "bob")), merged("bob", "ada", ("ada", "bob")))

    await adjust(people["ann"], -12)

    assert (await held(people["ann"]))[0] == 3
    await balanced(ask)


async def test_two_requests_at_once_do_not_share_a_day(people, door):
    ann = people["ann"]
    await door.give(*(Order(f"x{n}", f"c{n}").event("order.paid", 2) for n in range(8)))

    async def one(number):
        customer = f"c{number}"
        headers = {"Idempotency-Key": f"race-{number}"}
        body = {"points": 40, "reason": "goodwill"}
        return await ann.http.post(
            f"/v1/accounts/{customer}/adjustments", json=body, headers=headers
        )

    answers = await asyncio.gather(*(one(number) for number in range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [202] * 5


async def test_two_approvals_at_once_book_once(people):
    waiting = await adjust(people["ann"], 500, status=202)
    path = f"/v1/adjustments/{waiting['id']}/approve"

    async def one(number):
        headers = {"Idempotency-Key": f"race-{number}"}
        return await people["ben"].http.post(path, json={}, headers=headers)

    answers = await asyncio.gather(*(one(number) for number in range(6)))

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert await held(people["ann"]) == (510, 0)


async def test_an_erased_customers_adjustments_name_nobody_and_wait_no_more(people, door, ask):
    done = await adjust(people["ann"], 50, note="about ada")
    waiting = await adjust(people["ann"], 500, status=202)

    await door.give(erasure("ada"))

    for each in (done, waiting):
        kept = await people["eve"].get(f"/v1/adjustments/{each['id']}")
        assert (kept["customer_id"], kept["note"]) == (None, "")
    refused = await people["ben"].post(f"/v1/adjustments/{waiting['id']}/approve", status=409)
    assert refused["state"] == "declined"
    await balanced(ask)


async def test_every_adjustment_and_decision_is_in_the_audit_log(people, door):
    waiting = await adjust(people["ann"], 500, status=202)
    await people["ben"].post(f"/v1/adjustments/{waiting['id']}/approve")

    rows = await door.query(
        "SELECT caller, action, subject, detail FROM audit WHERE action LIKE '%adjustments%'"
        " AND action LIKE 'POST%' ORDER BY at"
    )

    assert [(row.subject, row.detail["state"]) for row in rows] == [
        ("ada", "waiting"),
        ("ada", "booked"),
    ]
    assert rows[0].caller != rows[1].caller
