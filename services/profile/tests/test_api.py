"""Who may read what, and in which form."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.profile.__main__ import SERVICE
from services.profile.api.profiles import ProfileView
from services.profile.tests.shop import (
    consented,
    event,
    identified,
    order,
    registered,
    viewed,
)
from shared.events import codec
from shared.events.feedback import ReviewSubmitted
from shared.keys import dev_token
from shared.testing import open_door
from shared.topics import KafkaSettings, apply, topics


@pytest.fixture
def token(tmp_path):
    return lambda sub: {"Authorization": f"Bearer {dev_token(sub, tmp_path / 'jwt')}"}


async def test_a_profile_has_the_form_that_is_documented(door):
    await door.give(registered(name="Ada"), order(), viewed("anon:1"), identified("anon:1"))

    async with door.client("profile:read") as http:
        answer = await http.get("/v1/profiles/anon:1")

    view = ProfileView.model_validate_json(answer.content)
    assert set(answer.json()) == set(ProfileView.model_fields)
    assert (view.customer_id, view.canonical_id, view.orders) == ("anon:1", "ada", 1)


async def test_a_storefront_sees_its_own_id_and_no_other(door, token):
    await door.give(registered(name="Ada"), order(), viewed("anon:1"), identified("anon:1"))
    await door.give(registered("bob", name="Bob"))

    async with door.client() as http:
        own = await http.get("/v1/profiles/ada", headers=token("ada"))
        others = [
            (await http.get(f"/v1/profiles/{id_}{part}", headers=token("ada"))).status_code
            for id_ in ("bob", "anon:1")
            for part in ("", "/timeline", "/consents")
        ]

    assert own.json()["attributes"]["name"] == "Ada"
    assert set(others) == {404}


@pytest.mark.parametrize(("sub", "other"), [("anon:1", "ada"), ("ada", "anon:1")])
async def test_a_merge_widens_no_storefronts_token(door, token, sub, other):
    await door.give(registered(name="Ada"), order(), consented(), viewed("anon:1"))
    before = {}
    async with door.client() as http:
        for part in ("", "/timeline", "/consents"):
            path = f"/v1/profiles/{sub}{part}"
            before[path] = (await http.get(path, headers=token(sub))).json()

        await door.give(identified("anon:1", minutes=9))

        for path, answer in before.items():
            now = (await http.get(path, headers=token(sub))).json()
            if "items" in now:
                now["items"] = [i for i in now["items"] if i["type"] != "customer.identified"]
            now.pop("last_seen_at", None), answer.pop("last_seen_at", None)
            assert now == answer
            assert other not in str(now)


async def test_the_identity_and_the_decisions_are_not_a_storefronts(door, token):
    await door.give(registered(), registered("bob"))

    async with door.client() as http:
        identity = await http.get("/v1/profiles/ada/identity", headers=token("ada"))
        merge = await http.post(
            "/v1/profiles/ada/merge",
            json={"other_id": "bob"},
            headers={**token("ada"), "Idempotency-Key": "k"},
        )

    assert (identity.status_code, merge.status_code) == (403, 403)


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("loyalty:read", "GET", "/v1/profiles/ada"),
        ("profile:read", "POST", "/v1/profiles/ada/merge"),
        ("profile:write", "POST", "/v1/profiles/ada/erasure"),
        ("profile:write", "GET", "/v1/reports/totals"),
    ],
)
async def test_a_key_opens_what_its_scopes_say(door, scope, method, path):
    async with door.client(scope) as http:
        answer = await http.request(method, path, json={})

    assert answer.status_code == 403


async def test_the_timeline_is_read_newest_first_page_by_page(door):
    await door.give(*[viewed("ada", minutes, str(minutes)) for minutes in range(7)])
    await door.give(*[viewed("anon:1", minutes, f"a{minutes}") for minutes in range(3)])
    await door.give(identified("anon:1", minutes=30))

    seen, cursor = [], ""
    async with door.client() as http:
        while cursor is not None:
            page = await http.get(
                "/v1/profiles/ada/timeline", params={"limit": 3, "cursor": cursor}
            )
            seen += page.json()["items"]
            cursor = page.json()["next"]
        broken = await http.get("/v1/profiles/ada/timeline", params={"cursor": "x"})

    assert len(seen) == len({item["id"] for item in seen}) == 11
    assert [item["time"] for item in seen] == sorted((i["time"] for i in seen), reverse=True)
    assert seen[0]["type"] == "customer.identified"
    assert broken.status_code == 400


async def test_feedback_is_told_in_the_timeline_without_its_text(door):
    review = ReviewSubmitted(
        customer_id="ada", review_id="r1", product_id="mug", rating=4, review_body="Dear Bob, ..."
    )
    await door.give(event("review.submitted", review, 3))

    async with door.client() as http:
        [item] = (await http.get("/v1/profiles/ada/timeline")).json()["items"]

    assert item["summary"] == {"review_id": "r1", "product_id": "mug", "rating": 4}


async def test_an_order_is_told_as_it_now_stands_with_its_events(door):
    await door.give(order(), order(type_="order.returned", revision=3, line={"returned": 1}))
    await door.give(order(type_="order.paid", revision=2, minutes=-1))

    async with door.client() as http:
        answer = (await http.get("/v1/orders/o1")).json()
        unknown = await http.get("/v1/orders/o9")

    assert (answer["customer_id"], answer["revision"]) == ("ada", 3)
    assert (answer["last_event"], answer["kept_minor"]) == ("order.returned", 1000)
    assert answer["events"][0]["type"] == "order.paid"
    assert unknown.status_code == 404


async def test_the_totals_add_up_over_people_and_leave_guests_apart(door):
    await door.give(
        order("ada"),
        order("ada", "o2", line={"cancelled": 2}),
        order("anon:1", "o3", price=500),
        order("bob", "o4", currency="USD"),
        order("guest:o5", "o5"),
        order("eve", "o6", test=True),
        identified("anon:1", "ada"),
    )

    async with door.client("profile:read") as http:
        totals = (await http.get("/v1/reports/totals")).json()

    assert totals["base_currency"] == "EUR"
    assert totals["customers"] == {
        "customers": 2,
        "placed_orders": 4,
        "placed_minor": 5000,
        "orders": 3,
        "units": 6,
        "spend_minor": 3000,
        "orders_left_out": 1,
    }
    assert totals["guests"]["placed_minor"] == 2000
    by_currency = {row["currency"]: row for row in totals["customer_currencies"]}
    assert by_currency["EUR"]["placed_minor"] == 5000
    assert by_currency["USD"] == {
        "currency": "USD",
        "placed_orders": 1,
        "placed_minor": 2000,
        "orders": 1,
        "spend_minor": 2000,
    }


async def test_an_event_says_what_it_caused(door):
    placed, said, login = order(), consented(), identified("anon:1")
    await door.give(placed, said, login)

    async with door.client() as http:
        answers = [
            (await http.get(f"/v1/events/shop/{e.id}")).json()["caused"]
            for e in (placed, said, login)
        ]

    assert [[row["what"] for row in caused] for caused in answers] == [
        ["timeline", "order_state"],
        ["timeline", "consent"],
        ["timeline", "identity_link"],
    ]
    assert answers[0][1]["detail"] == "o1 revision 1"


async def test_a_storefronts_event_goes_into_the_log_by_the_intake(settings, token):
    await apply(KafkaSettings(kafka_servers=settings.kafka_servers), topics(partitions=4))
    now = datetime.now(UTC)
    seen = replace(viewed("anon:7"), time=now, source="storefront/anon:7")

    async with open_door(SERVICE, settings) as door, door.client() as http:
        for _ in range(100):  # the producer starts beside the API
            answer = await http.post(
                "/v1/events", json=[codec.structured(seen)], headers=token("anon:7")
            )
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.1)

    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


async def test_reads_and_decisions_are_in_the_audit_log(door):
    await door.give(registered(), registered("bob"))

    async with door.client() as http:
        await http.get("/v1/profiles/ada")
        await http.post(
            "/v1/profiles/ada/merge", json={"other_id": "bob"}, headers={"Idempotency-Key": "k"}
        )

    rows = await door.query("SELECT action, subject FROM audit ORDER BY action")
    assert [tuple(row) for row in rows] == [
        ("GET /v1/profiles/{customer_id}", "ada"),
        ("POST /v1/profiles/{customer_id}/merge", "ada"),
    ]
