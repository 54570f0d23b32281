"""Merged, parted, erased; and what a storefront's token may see."""

import pytest

from services.recommend.tests.conftest import state
from services.recommend.tests.shop import (
    erasure,
    merged,
    order,
    product,
    unmerged,
    view,
)

CATALOGUE = [product(f"p{n}") for n in range(1, 7)]
# p1 goes with p2, p3 goes with p4; p6 is the most popular.
BOUGHT = [
    *[order(f"a{n}", f"x{n}", "p1", "p2") for n in range(3)],
    *[order(f"b{n}", f"y{n}", "p3", "p4") for n in range(3)],
    *[order(f"c{n}", f"z{n}", "p6") for n in range(9)],
]


def reasons(answer):
    return {i["product_id"]: i["because"] for i in answer["items"] if i["reason"] == "bought_with"}


async def test_a_merged_person_has_one_past_under_every_id(door, tell, ask):
    await tell(*CATALOGUE, *BOUGHT, view("anon:1", "p1"), view("ada", "p3"))
    apart = reasons(await ask("/v1/recommendations/ada"))

    await tell(*merged(1, "anon:1", "ada"))

    together = {"p2": "p1", "p4": "p3"}
    assert apart == {"p4": "p3"}
    assert reasons(await ask("/v1/recommendations/ada")) == together
    assert reasons(await ask("/v1/recommendations/anon:1")) == together


async def test_what_one_of_them_bought_is_not_recommended_to_the_other(door, tell, ask):
    await tell(*CATALOGUE, *BOUGHT, view("anon:1", "p1"), order("o1", "ada", "p2"))
    before = await ask("/v1/recommendations/anon:1")

    await tell(*merged(1, "anon:1", "ada"))

    assert "p2" in reasons(before)
    items = (await ask("/v1/recommendations/anon:1"))["items"]
    assert "p2" not in {item["product_id"] for item in items}


async def test_an_unmerge_gives_each_his_own_past_back(door, tell, ask):
    await tell(*CATALOGUE, *BOUGHT, view("anon:1", "p1"), view("ada", "p3"))
    before = await state(door)

    await tell(*merged(1, "anon:1", "ada"))
    await tell(*unmerged(2, "anon:1", "ada"))

    assert reasons(await ask("/v1/recommendations/ada")) == {"p4": "p3"}
    assert reasons(await ask("/v1/recommendations/anon:1")) == {"p2": "p1"}
    assert await state(door) == before


async def test_a_merge_before_its_data_counts_too(door, tell, ask):
    await tell(*CATALOGUE, *BOUGHT, *merged(1, "anon:1", "ada"))

    await tell(view("anon:1", "p1"))

    assert reasons(await ask("/v1/recommendations/ada")) == {"p2": "p1"}


async def test_the_erased_leave_nothing_but_anonymous_counts(door, tell, ask):
    await tell(*CATALOGUE, *BOUGHT, view("ada", "p1"), order("o1", "ada", "p1", "p3"))
    counted = await door.query("SELECT product_id, orders, views FROM popularity ORDER BY 1")

    await tell(erasure("ada"))

    for table in ("history", "order_seen"):
        assert await door.query(f"SELECT 1 FROM {table} WHERE customer_id = 'ada'") == []
    assert await door.query("SELECT 1 FROM purchase WHERE order_id = 'o1'") == []
    assert await ask("/v1/orders/o1", 404)
    assert reasons(await ask("/v1/recommendations/ada")) == {}
    after = await door.query("SELECT product_id, orders, views FROM popularity ORDER BY 1")
    assert after == counted
    receipt = next(e for e in await door.published() if e.type == "erasure.completed")
    assert receipt.data.erased == {"history": 1, "purchase": 2, "order_seen": 1}


async def test_the_erased_stay_erased_when_the_log_is_replayed(door, tell, ask):
    await tell(*CATALOGUE, *BOUGHT, view("ada", "p1"), order("o1", "ada", "p1", "p3"))
    await tell(erasure("ada"))
    erased = await state(door)

    await door.again(*door.log.messages)
    await tell(order("o1", "ada", "p1", "p3", revision=2))

    assert await state(door) == erased


async def test_whoever_asks_for_the_erased_leaves_no_name_in_the_audit(door, tell):
    await tell(*CATALOGUE, *BOUGHT, view("ada", "p1"), view("bob", "p1"))
    async with door.client() as http:
        await http.get("/v1/recommendations/ada")  # recorded when the client ends, a second later
        await tell(erasure("ada"))
        await http.get("/v1/recommendations/ada")
        await http.get("/v1/recommendations/bob")

    told = [row.subject for row in await door.query("SELECT subject FROM audit ORDER BY id")]
    assert told == [door.world.tombstones.mark("ada")] * 2 + ["bob"]


async def test_a_product_with_the_id_of_an_erased_customer_is_still_for_sale(door, tell, ask):
    await tell(erasure("p1"))

    await tell(product("p1", 5), view("p1", "p2", 5))

    told = await ask("/v1/products/p1")
    assert told["name"] == "The p1"
    await ask("/v1/products/p2", 404)  # the view was the erased customer's


@pytest.mark.parametrize(
    ("sub", "known"),
    [
        ("ada", {"p2": "p1", "p4": "p3"}),  # what ada did, before she was known too
        ("anon:1", {"p2": "p1"}),  # whoever uses the browser next sees nothing of ada's
        ("bob", {"p2": "p1"}),  # and nothing of another customer's, whatever was merged
    ],
)
async def test_a_storefront_sees_no_other_customers_past(door, tell, storefront, sub, known):
    await tell(*CATALOGUE, *BOUGHT, view("anon:1", "p1"), view("ada", "p3"))
    await tell(*merged(1, "anon:1", "ada", "bob"))

    async with storefront(sub) as http:
        own = await http.get(f"/v1/recommendations/{sub}")
        others = await http.get("/v1/recommendations/ada2")
        beside = await http.get("/v1/products/p1/also-bought")
        figures = await http.get("/v1/products/p1")
        order = await http.get("/v1/orders/a1")

    assert reasons(own.json()) == known
    assert [r.status_code for r in (others, beside, figures, order)] == [404, 200, 403, 403]
