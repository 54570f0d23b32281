"""Consent, and being forgotten."""

import re
from uuid import uuid4

import pytest

from services.profile.tests.shop import (
    at,
    come_round,
    consented,
    deleted,
    event,
    identified,
    order,
    profile,
    registered,
    state,
    viewed,
)
from shared.clock import Clock
from shared.events.notices import ContactUnsubscribed

EMPTY = {
    name: []
    for name in ("profile", "order_state", "timeline", "consent", "identity", "identity_link")
}


async def erase(door, customer="ada", *, now=60, **body):
    async with door.client(clock=Clock(frozen_at=at(now))) as http:
        return await http.post(
            f"/v1/profiles/{customer}/erasure",
            json=body,
            headers={"Idempotency-Key": str(uuid4())},
        )


async def test_consent_is_the_newest_answer_and_told_with_a_growing_version(door):
    await door.give(consented(minutes=5), consented(minutes=1, granted=False))
    await door.give(consented(minutes=9, granted=False))

    told = [e.data for e in await door.published()]

    assert [(fact.state, fact.version, fact.at) for fact in told] == [
        ("granted", 1, at(5)),
        ("withdrawn", 2, at(9)),
    ]
    async with door.client() as http:
        [answer] = (await http.get("/v1/profiles/ada/consents")).json()["consents"]
    assert (answer["purpose"], answer["channel"]) == ("marketing", "email")
    assert (answer["state"], answer["version"]) == ("withdrawn", 2)


async def test_an_unsubscribe_link_withdraws_consent(door):
    await door.give(consented(minutes=1))
    fact = ContactUnsubscribed(customer_id="ada", channel="email")

    await door.give(event("contact.unsubscribed", fact, 5))

    assert [e.data.state for e in await door.published()] == ["granted", "withdrawn"]


async def test_a_deleted_customer_is_erased_by_all_ids_with_a_receipt(door):
    await door.give(registered(name="Ada"), order(), viewed("anon:1"), consented())
    await door.give(identified("anon:1", minutes=1), registered("bob", name="Bob"))
    await come_round(door)

    await door.give(deleted(minutes=9))
    told = await come_round(door)

    requests = [e for e in told if e.type == "erasure.requested"]
    assert [e.key for e in requests] == ["ada", "anon:1"]
    assert {e.data.members for e in requests} == {("ada", "anon:1")}
    assert {e.data.erased_until for e in requests} == {at(9)}
    assert [row.customer_id for row in await door.query("SELECT customer_id FROM profile")] == [
        "bob"
    ]
    left = await door.query("SELECT * FROM timeline WHERE customer_id <> 'bob'")
    assert [left, await door.query("SELECT * FROM order_state")] == [[], []]
    assert await door.query("SELECT * FROM alias") == []
    assert (await profile(door))["status"] == 404


async def test_an_erasure_can_be_followed_to_its_receipts(door):
    await door.give(registered(name="Ada"), identified("anon:1"))
    await come_round(door)

    asked = await erase(door, "anon:1", reason="request")
    await come_round(door)

    assert asked.status_code == 202
    async with door.client() as http:
        followed = (await http.get(asked.headers["location"])).json()
        unknown = await http.get("/v1/erasures/none")
    assert (followed["members"], followed["requested_at"]) == (2, "2026-11-01T13:00:00Z")
    assert [receipt["service"] for receipt in followed["receipts"]] == ["profile", "profile"]
    assert sum(receipt["erased"].get("timeline", 0) for receipt in followed["receipts"]) == 2
    assert "topics" in followed["receipts"][0]["gone_by"]
    assert followed["waiting"] == ["loyalty", "recommend", "notify"]
    assert unknown.status_code == 404
    rows = await door.query("SELECT * FROM erasure_request, erasure_receipt")
    assert not re.search(r"\bada\b", str(rows)), "as a word: a random id may hold the letters"


async def test_an_erased_person_stays_erased_when_replayed(door):
    await door.give(registered(name="Ada"), order(), consented(), identified("anon:1"))
    await come_round(door)
    await erase(door)
    await come_round(door)

    await door.again(*door.log.messages)
    await come_round(door)

    assert await state(door) == EMPTY


async def test_a_late_link_does_not_bring_an_erased_visitor_back(door):
    await door.give(viewed("anon:1"), registered("bob", name="Bob"))
    await erase(door, "anon:1", now=60)
    await come_round(door)

    await door.give(identified("anon:1", "bob", minutes=5))
    await come_round(door)

    assert await door.query("SELECT * FROM alias") == []
    assert (await profile(door, "anon:1"))["status"] == 404
    async with door.client() as http:
        assert "anon:1" not in (await http.get("/v1/profiles/bob/timeline")).text


async def test_who_registers_anew_begins_a_new_person(door):
    await door.give(registered(name="Ada"), order(), identified("anon:1"))
    await erase(door)
    await come_round(door)

    await door.give(registered(minutes=90, name="Ada again"), order(order_id="o2", minutes=91))
    await door.again(*door.log.messages)

    ada = await profile(door)
    assert (ada["attributes"]["name"], ada["orders"], ada["members"]) == ("Ada again", 1, ["ada"])


@pytest.mark.parametrize("together", [True, False])
async def test_who_registers_anew_before_the_erasure_came_round_is_kept(door, together):
    old = [registered(name="Ada", city="Leeds"), order(), viewed(), consented(), viewed("anon:1")]
    old += [identified("anon:1"), deleted(minutes=9)]
    new = [registered(minutes=90, name="Ada again"), order(order_id="o2", minutes=91)]
    new += [viewed(minutes=92), identified("anon:2", minutes=93), consented(minutes=94)]

    for batch in [[*old, *new]] if together else [old, new]:
        await door.give(*batch)
    await come_round(door)

    ada = await profile(door)
    told = ada["attributes"]
    assert told == {"name": "Ada again", "registered_at": at(90).isoformat()}
    assert (ada["orders"], ada["placed_orders"], ada["browse"]) == (1, 1, {"product.viewed": 1})
    assert ada["first_seen_at"] == "2026-11-01T13:30:00Z"
    assert ada["members"] == ["ada", "anon:2"]
    assert (await profile(door, "anon:2"))["members"] == ["ada", "anon:2"]
    assert (await profile(door, "anon:1"))["status"] == 404
    [row] = await door.query("SELECT state, time FROM consent")
    assert (row.state, row.time) == ("granted", at(94))


async def test_what_waits_to_be_told_of_the_new_person_is_still_told(door):
    await door.give(consented(), deleted(minutes=9), consented(minutes=94))
    [*_, asked] = [e for e in await door.published() if e.type == "erasure.requested"]
    await door.give(consented(minutes=95, granted=False))

    await door.give(asked)

    told = [e for e in await door.published() if e.type == "consent.changed"]
    assert [(e.data.state, e.data.at) for e in told] == [("withdrawn", at(95))]


async def test_an_erasure_asked_for_again_is_the_same(door):
    await door.give(registered())
    key = {"Idempotency-Key": "one"}

    async with door.client(clock=Clock(frozen_at=at(60))) as http:
        first = await http.post("/v1/profiles/ada/erasure", json={}, headers=key)
        await come_round(door)  # erases the stored answer too
        again = await http.post("/v1/profiles/ada/erasure", json={}, headers=key)

    assert first.json()["request_id"] == again.json()["request_id"]
    assert await state(door) == EMPTY


async def test_an_unknown_customer_can_be_erased_elsewhere(door):
    asked = await erase(door, "nobody-here")

    assert asked.status_code == 202
    assert [e.key for e in await door.published()] == ["nobody-here"]
