"""A member's card and code through the API: at a till, replaced, erased, without a secret."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import time_machine

from services.loyalty.api.cards import read_secret
from services.loyalty.members import cards
from services.loyalty.tests.caller import Api, new_key
from services.loyalty.tests.shop import Order, erasure, merged
from shared.keys import dev_token

CARD, TILL = "/v1/accounts/ada/card", "/v1/accounts/by-code"


@pytest.fixture
def secret(door, tmp_path):
    path = tmp_path / "code.secret"
    path.write_bytes(b"0123456789abcdef0123456789abcdef\n")
    settings = door.world.settings.model_copy(update={"member_code_secret_file": path})
    door.world = replace(door.world, settings=settings)
    return path


@pytest.fixture
def api(door, secret):
    return Api(door)


async def by(api, code, status=200):
    return await api("POST", TILL, {"code": code}, status=status)


async def test_a_till_finds_the_member_by_card_and_by_code(api):
    shown = await api("GET", CARD)

    assert await by(api, shown["card_number"]) == {
        "customer_id": "ada",
        "canonical_id": "ada",
        "tier": None,
        "by": "card",
    }
    assert (await by(api, shown["code"]))["by"] == "code"
    assert 0 < shown["seconds_left"] <= 60


async def test_the_card_is_drawn_once_and_the_code_rotates(api):
    with time_machine.travel(datetime(2026, 11, 1, 12, 0, 10, tzinfo=UTC), tick=False) as clock:
        first = await api("GET", CARD)
        clock.shift(60)
        second = await api("GET", CARD)
        good = await by(api, first["code"])
        clock.shift(60)
        stale = await by(api, first["code"], status=404)

    assert first["card_number"] == second["card_number"]
    assert first["code"] != second["code"]
    assert first["seconds_left"] == 50
    assert good["customer_id"] == "ada"
    assert stale["type"] == "urn:regulars:problem:code-not-good"


async def test_a_till_is_told_the_tier(api):
    plan = {"period": "monthly", "price_minor": 1, "currency": "EUR", "tier": "plus"}
    early = {"starts_at": "2020-01-01T00:00:00Z"}
    tiers = {"tiers": [{"code": "basic", "threshold": 0}, {"code": "plus", "threshold": 10**9}]}
    await api("PUT", "/v1/membership-plans/plus", plan | early)
    await api("GET", CARD)
    number = (await api("GET", CARD))["card_number"]

    before = (await by(api, number))["tier"]
    bought = {"plan_id": "plus", "document_id": "d1"}
    await api("POST", "/v1/accounts/ada/subscriptions", bought, status=201)
    paid = (await by(api, number))["tier"]
    await api("PUT", "/v1/tier-plans/default", tiers | early)
    earned = (await by(api, number))["tier"]

    assert (before, paid, earned) == (None, "plus", "basic")


async def test_a_replaced_card_is_dead_and_so_are_its_codes(api):
    old = await api("GET", CARD)

    new = await api("POST", CARD, status=201)
    now = await api("GET", CARD)

    assert new["card_number"] == now["card_number"] != old["card_number"]
    for dead in (old["card_number"], old["code"]):
        refused = await by(api, dead, status=404)
        assert refused["type"] == "urn:regulars:problem:card-replaced"
    assert (await by(api, now["code"]))["customer_id"] == "ada"


async def test_what_no_till_can_have_read_is_named(api):
    misread = await by(api, "1234567890123", status=422)
    unknown = await by(api, cards.card_number(1), status=404)
    forged = cards.show(b"x" * 32, cards.handle(1), datetime.now(UTC)).code
    no_such = await by(api, forged, status=404)

    assert misread["type"] == "urn:regulars:problem:misread"
    assert unknown["type"] == "urn:regulars:problem:not-found"
    assert no_such["type"] == "urn:regulars:problem:code-not-good"


async def test_without_the_secret_both_say_what_to_set_and_nothing_else_breaks(door):
    api = Api(door)
    await door.give(*Order().life())

    for method, path, body in (("GET", CARD, None), ("POST", TILL, {"code": "1"})):
        told = await api(method, path, body, status=503)
        assert "REGULARS_MEMBER_CODE_SECRET_FILE" in told["detail"]
    assert await api.purse() == (0, 10, 0)


async def test_a_secret_that_is_short_or_missing_says_so(api, secret):
    read_secret.cache_clear()
    secret.write_bytes(b"short")
    assert "fewer" in (await api("GET", CARD, status=503))["detail"]
    secret.unlink()
    assert "No such file" in (await api("GET", CARD, status=503))["detail"]


async def test_many_first_looks_at_once_draw_one_card(door, secret):
    async with door.client() as http:
        answers = await asyncio.gather(*[http.get(CARD) for _ in range(8)])

    assert len({answer.json()["card_number"] for answer in answers}) == 1


async def test_many_replacements_at_once_leave_one_card_alive(door, secret):
    async with door.client() as http:
        await http.get(CARD)
        await asyncio.gather(*[http.post(CARD, headers=new_key()) for _ in range(8)])

    assert len(await door.query("SELECT * FROM card WHERE dead_at IS NULL")) == 1


async def test_a_storefront_sees_and_replaces_its_own_card_only(api, tmp_path):
    token = dev_token("ada", tmp_path)

    assert (await api("GET", CARD, token=token))["customer_id"] == "ada"
    await api("POST", CARD, token=token, status=201)
    await api("GET", "/v1/accounts/bob/card", token=token, status=404)
    await api("POST", "/v1/accounts/bob/card", token=token, status=404)
    await api("POST", TILL, {"code": "1"}, token=token, status=403)


async def test_a_merged_person_shows_one_card_and_each_has_his_own_after_an_unmerge(api, door):
    both = ("ada", "ada2")
    card = await api("GET", CARD)
    await door.give(*[merged(one, "ada", both) for one in both])

    other = await api("GET", "/v1/accounts/ada2/card")

    assert other["card_number"] == card["card_number"]
    assert (await by(api, other["code"]))["canonical_id"] == "ada"


async def test_who_is_no_member_has_no_card(api):
    card = await api("GET", CARD)
    await api("DELETE", "/v1/accounts/ada/membership")

    await api("GET", CARD, status=404)
    assert (await by(api, card["card_number"], status=404))["type"].endswith("no-member")
    await api("GET", "/v1/accounts/anon:1/card", status=422)


async def test_the_card_of_the_erased_opens_nothing(api, door):
    card = await api("GET", CARD)

    await door.give(erasure("ada"))

    await by(api, card["card_number"], status=404)
    await by(api, card["code"], status=404)
    assert await door.query("SELECT * FROM card") == []


async def test_a_till_that_reads_a_code_is_in_the_audit_under_its_member(api, door):
    card = await api("GET", CARD)
    await by(api, card["code"])

    logged = await door.query("SELECT action, subject, detail::text FROM audit ORDER BY id")

    assert ("POST /v1/accounts/by-code", "ada") in {(row[0], row[1]) for row in logged}
    assert card["card_number"] not in str(logged)
