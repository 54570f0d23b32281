"""Paid membership through the API: bought, renewed, refunded; one effect for one document."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.loyalty.tests.caller import Api, new_key
from services.loyalty.tests.shop import NOON, erasure, merged
from services.loyalty.work import subscribing
from shared.clock import Clock
from shared.keys import dev_token

DAY = timedelta(days=1)
PATH = "/v1/accounts/{}/subscriptions"
PLAN = {
    "period": "monthly",
    "price_minor": 3_000,
    "currency": "EUR",
    "tier": "plus",
    "benefits": {"free_shipping": True, "multiplier_percent": 150},
    "grace_days": 3,
    "starts_at": "2020-01-01T00:00:00Z",
}


@pytest.fixture
async def api(door):
    api = Api(door)
    await api("PUT", "/v1/membership-plans/plus", PLAN, at=NOON - 400 * DAY)
    return api


async def buy(api, document="d1", customer="ada", at=NOON, status=201, **more):
    body = {"plan_id": "plus", "document_id": document} | more
    return await api("POST", PATH.format(customer), body, at=at, status=status)


async def refund(api, term="d1", document="r1", at=NOON, status=200, customer="ada"):
    body = {"term_document_id": term, "document_id": document}
    return await api("POST", PATH.format(customer) + "/refunds", body, at=at, status=status)


async def told(api, customer="ada", at=NOON, **more):
    return await api("GET", PATH.format(customer), at=at, **more)


async def test_a_purchase_gives_its_tier_and_benefits_until_it_lapses_by_time(api):
    term = await buy(api)

    now = await told(api)
    assert (now["tier"], now["plan_id"], now["benefits"]) == ("plus", "plus", PLAN["benefits"])
    assert term["ends_at"] == "2026-12-01T00:00:00Z"
    assert now["until"] == "2026-12-04T00:00:00Z"
    in_grace = await told(api, at=datetime(2026, 12, 3, tzinfo=UTC))
    assert (in_grace["tier"], in_grace["in_grace"]) == ("plus", True)
    over = await told(api, at=datetime(2026, 12, 4, tzinfo=UTC))
    assert (over["tier"], over["terms"][0]["state"]) == (None, "lapsed")


async def test_a_renewal_joins_on(api):
    await buy(api)
    second = await buy(api, "d2", at=NOON + 10 * DAY)

    assert second["starts_at"] == "2026-12-01T00:00:00Z"
    assert (await told(api))["until"] == "2027-01-04T00:00:00Z"
    assert [term["state"] for term in (await told(api))["terms"]] == ["active", "upcoming"]


async def test_a_document_buys_once_for_ever(api):
    first = await buy(api)

    again = await buy(api, status=200, at=NOON + 20 * DAY)
    others = [
        await buy(api, customer="bob", status=409),
        await buy(api, status=409, paid_minor=1),
    ]

    assert again == first
    assert {o["type"] for o in others} == {"urn:regulars:problem:document-used"}
    assert len((await told(api))["terms"]) == 1


async def test_a_refund_states_what_it_gives_back_and_how_it_counted(api):
    await buy(api)  # 30 days of November for 30.00

    back = await refund(api, at=NOON + 9 * DAY)
    again = await refund(api, at=NOON + 12 * DAY)

    counted = back["refund"]
    assert (counted["days_unused"], counted["days"], counted["amount_minor"]) == (20, 30, 2_000)
    assert again["refund"] == counted
    assert (await told(api, at=NOON + 9 * DAY))["tier"] is None
    refused = await refund(api, document="r2", status=409)
    assert refused["type"] == "urn:regulars:problem:already-refunded"


async def test_what_was_paid_is_refunded_and_not_the_price(api):
    await buy(api, paid_minor=1_000)

    assert (await refund(api, at=NOON + 9 * DAY))["refund"]["amount_minor"] == 666


async def test_a_refunds_document_is_never_used_again(api):
    await buy(api)
    await buy(api, "d2")
    await refund(api)

    refused = await refund(api, term="d2", status=409)
    stranger = await refund(api, term="d1", document="r9", customer="bob", status=404)

    assert refused["type"] == "urn:regulars:problem:document-used"
    assert stranger["status"] == 404


async def test_a_later_version_of_the_plan_leaves_what_was_bought(api, door):
    await buy(api)
    async with door.client(clock=Clock(frozen_at=NOON + DAY)) as http:
        etag = (await http.get("/v1/membership-plans/plus")).headers["etag"]
        dearer = {key: value for key, value in PLAN.items() if key != "starts_at"}
        dearer |= {"price_minor": 9_000, "tier": "gold"}
        headers = new_key() | {"If-Match": etag}
        await http.put("/v1/membership-plans/plus", json=dearer, headers=headers)

    assert (await told(api, at=NOON + 2 * DAY))["tier"] == "plus"
    second = await buy(api, "d2", at=NOON + 2 * DAY)
    assert (second["tier"], second["paid_minor"], second["plan_version"]) == ("gold", 9_000, 2)


TIERS = {
    "tiers": [
        {"code": "basic", "threshold": 0},
        {"code": "plus", "threshold": 10**9},
        {"code": "gold", "threshold": 10**10},
    ],
    "starts_at": "2020-01-01T00:00:00Z",
}


async def tier(api, at=NOON, customer="ada"):
    card = await api("GET", f"/v1/accounts/{customer}/tier", at=at)
    return card["tier"], card["sources"][0]["source"]


async def test_a_paid_term_is_a_grant_of_its_tier_until_it_lapses_or_is_refunded(api):
    await api("PUT", "/v1/tier-plans/default", TIERS, at=NOON - 400 * DAY)
    gold = {key: value for key, value in PLAN.items() if key != "benefits"} | {"tier": "gold"}
    await api("PUT", "/v1/membership-plans/gold", gold, at=NOON - 400 * DAY)
    await buy(api)
    await buy(api, "d2", plan_id="gold")

    assert await tier(api) == ("plus", "paid")
    assert await tier(api, at=datetime(2026, 12, 2, tzinfo=UTC)) == ("gold", "paid")
    assert (await tier(api, at=datetime(2027, 1, 4, tzinfo=UTC)))[0] == "basic"

    await refund(api, at=NOON + DAY)

    assert (await tier(api, at=NOON + DAY))[0] == "basic"
    assert await tier(api, at=datetime(2026, 12, 2, tzinfo=UTC)) == ("gold", "paid")


async def test_a_term_of_a_tier_that_is_not_in_the_plan_is_not_sold(api):
    await api("PUT", "/v1/tier-plans/default", TIERS, at=NOON - 400 * DAY)
    wrong = PLAN | {"tier": "diamond"}
    await api("PUT", "/v1/membership-plans/wrong", wrong, at=NOON - 400 * DAY)

    refused = await buy(api, plan_id="wrong", status=422)

    assert refused["type"] == "urn:regulars:problem:no-such-tier"
    assert (await told(api))["terms"] == []


async def test_what_is_not_on_sale_cannot_be_bought(api):
    for wrong in ({"plan_id": "gold"}, {"time": "2019-01-01T00:00:00Z"}):
        assert (await buy(api, status=422, **wrong))["detail"].startswith("plan_id")
    assert "future" in (await buy(api, status=422, time="2030-01-01T00:00:00Z"))["detail"]
    await buy(api, customer="anon:1", status=422)


async def test_one_document_at_once_for_two_customers_buys_for_one(api, door):
    async with door.client(clock=Clock(frozen_at=NOON)) as http:
        body = {"plan_id": "plus", "document_id": "d1"}
        answers = await asyncio.gather(
            *[http.post(PATH.format(f"c{n % 2}"), json=body, headers=new_key()) for n in range(10)]
        )

    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [201] + [409] * 5
    assert len(await door.query("SELECT * FROM paid_term")) == 1


async def test_many_documents_at_once_of_one_customer_follow_one_another(api, door):
    async with door.client(clock=Clock(frozen_at=NOON)) as http:
        answers = await asyncio.gather(
            *[
                http.post(
                    PATH.format("ada"),
                    json={"plan_id": "plus", "document_id": f"d{n}"},
                    headers=new_key(),
                )
                for n in range(6)
            ]
        )

    assert {answer.status_code for answer in answers} == {201}
    terms = (await told(api))["terms"]
    assert [term["starts_at"] for term in terms[1:]] == [term["ends_at"] for term in terms[:-1]]


async def test_two_refunds_at_once_give_back_once(api, door):
    await buy(api)
    async with door.client(clock=Clock(frozen_at=NOON)) as http:
        answers = await asyncio.gather(
            *[
                http.post(
                    PATH.format("ada") + "/refunds",
                    json={"term_document_id": "d1", "document_id": f"r{n}"},
                    headers=new_key(),
                )
                for n in range(6)
            ]
        )

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert len(await door.query("SELECT * FROM term_refund")) == 1


async def test_a_storefront_sees_its_own_and_buys_nothing(api, tmp_path):
    await buy(api)
    token = dev_token("ada", tmp_path)

    assert (await told(api, token=token))["tier"] == "plus"
    await api("GET", PATH.format("bob"), token=token, status=404)
    body = {"plan_id": "plus", "document_id": "d2"}
    await api("POST", PATH.format("ada"), body, token=token, status=403)


async def test_a_merged_person_has_what_any_of_his_ids_bought(api, door):
    await buy(api)
    await door.give(*[merged(one, "ada", ("ada", "ada2")) for one in ("ada", "ada2")])

    assert (await told(api, "ada2"))["tier"] == "plus"
    assert (await buy(api, "d2", customer="ada2"))["starts_at"] == "2026-12-01T00:00:00Z"
    assert await buy(api, customer="ada2", status=200)
    async with door.engine.connect() as conn:
        found = await subscribing.paid_tiers(conn, {"p": ("ada", "ada2"), "q": ("bob",)}, NOON)
    assert {name: paid.tier for name, paid in found.items()} == {"p": "plus"}


async def test_what_the_erased_bought_stays_and_names_nobody(api, door):
    await buy(api)

    await door.give(erasure("ada"))

    assert (await told(api))["terms"] == []
    assert len(await door.query("SELECT * FROM paid_term")) == 1
    assert "ada" not in str(await door.query("SELECT paid_term::text FROM paid_term"))
    assert (await buy(api, status=409))["type"] == "urn:regulars:problem:document-used"


@pytest.mark.parametrize("table", ["paid_term", "term_refund"])
@pytest.mark.parametrize("change", ["UPDATE {} SET document_id = ''", "DELETE FROM {}"])
async def test_what_was_paid_is_never_rewritten(door, table, change):
    with pytest.raises(DBAPIError, match="permission denied"):
        async with door.engine.begin() as conn:
            await conn.execute(text(change.format(table)))
