"""What support sees of a person's notices."""

from datetime import timedelta

import pytest

from services.notify.tests.shop import NOON, erased, merged, order, registered, shipped


@pytest.fixture
async def http(door):
    async with door.client("notify:read") as client:
        yield client


async def test_a_persons_notices_under_any_of_his_ids(door, post, http):
    await door.give(
        registered(),
        order(),
        order(order_id="o2", customer="anon:1", at=NOON + timedelta(minutes=1)),
        *merged("ada", "anon:1"),
    )
    await post.turn()

    for customer in ("ada", "anon:1"):
        page = (await http.get("/v1/notices", params={"customer_id": customer})).json()
        assert [item["order_id"] for item in page["items"]] == ["o2", "o1"]
        assert [item["state"] for item in page["items"]] == ["sent", "sent"]
        assert page["next"] is None


async def test_pages_join_without_gaps(door, http):
    await door.give(
        *(order(order_id=f"o{n}", customer=["ada", "anon:1"][n % 2]) for n in range(7)),
        *merged("ada", "anon:1"),
    )

    seen, cursor = [], ""
    while cursor is not None:
        params = {"customer_id": "ada", "limit": 3, "cursor": cursor}
        page = (await http.get("/v1/notices", params=params)).json()
        seen += [item["order_id"] for item in page["items"]]
        cursor = page["next"]

    assert sorted(seen) == [f"o{n}" for n in range(7)]


async def test_one_notice_with_its_decision_and_attempts(door, post, http):
    await door.give(registered(), order())
    post.mode("later", times=1)
    await post.turn()
    await post.hasten("created")
    await post.turn()
    [row] = await post.notices()

    notice = (await http.get(f"/v1/notices/{row.id}")).json()

    assert notice["state"] == "sent"
    assert notice["cause"] == {"source": "shop", "id": row.cause_id}
    assert notice["decision"]["consent"] is None
    assert [(t["number"], t["outcome"], t["code"]) for t in notice["tries"]] == [
        (1, "postponed", "451 4.3.0"),
        (2, "accepted", "250 2.0.0"),
    ]
    assert "content" not in notice


async def test_an_order_as_notify_knows_it(door, http):
    await door.give(order(test=True), shipped("RM1", at=NOON + timedelta(minutes=1)))

    found = (await http.get("/v1/orders/o1")).json()

    assert (found["customer_id"], found["revision"], found["has_contact"]) == ("ada", 3, False)
    assert [(n["kind"], n["state"], n["reason"]) for n in found["notices"]] == [
        ("order_confirmation", "suppressed", "test_order"),
        ("order_shipped", "created", None),
    ]


async def test_what_an_event_caused(door):
    placed = order()
    await door.give(placed)

    async with door.client() as http:
        answer = (await http.get(f"/v1/events/shop/{placed.id}")).json()

    assert [(c["what"], c["kind"], c["order_id"]) for c in answer["caused"]] == [
        ("notice", "order_confirmation", "o1")
    ]


async def test_an_erased_persons_notice_names_nobody(door, post, http):
    await door.give(registered(), order())
    await post.turn()
    [row] = await post.notices()
    await door.give(erased())

    notice = (await http.get(f"/v1/notices/{row.id}")).json()
    page = (await http.get("/v1/notices", params={"customer_id": "ada"})).json()

    assert (notice["state"], notice["customer_id"], notice["address"], notice["cause"]) == (
        "sent",
        None,
        None,
        None,
    )
    assert page["items"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/notices", 422),
        ("/v1/notices?customer_id=a@b.example", 422),
        ("/v1/notices?customer_id=ada&cursor=x", 400),
        ("/v1/notices?customer_id=ada&limit=0", 422),
        ("/v1/notices/00000000-0000-0000-0000-000000000000", 404),
        ("/v1/notices/1", 422),
        ("/v1/orders/none", 404),
        ("/v1/orders/a%00b", 400),
        ("/v1/notices?customer_id=a%00b", 400),
        (f"/v1/orders/{'o' * 300}", 422),
    ],
)
async def test_bad_questions_get_clear_answers(http, path, status):
    answer = await http.get(path)

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_another_scope_reads_no_notices(door):
    async with door.client("loyalty:read") as http:
        assert (await http.get("/v1/notices?customer_id=ada")).status_code == 403


async def test_reads_are_audited(door):
    await door.give(order())
    async with door.client("notify:read") as http:
        await http.get("/v1/notices?customer_id=ada")
        await http.get("/v1/orders/o1")

    rows = await door.query("SELECT action, subject FROM audit ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("GET /v1/notices", "ada"),
        ("GET /v1/orders/{order_id}", "ada"),
    ]
