"""What is shown: in stock, for sale here and now, and with its reason."""

import pytest

from services.recommend.tests.shop import at, line, offer, order, product, view, withdrawn
from shared.events.catalog import Variant

GOES_TOGETHER = [order(f"o{n}", f"x{n}", "pot", "lid", "mat") for n in range(3)]
CATALOGUE = [product("pot"), product("lid", skus=("lid-s", "lid-l")), product("mat")]


def ids(answer):
    return [item["product_id"] for item in answer["items"]]


@pytest.fixture
async def shop(tell):
    """pot, lid and mat are bought together; ada looked at the pot."""
    await tell(*GOES_TOGETHER, *CATALOGUE, view("ada", "pot"))


async def test_a_recommendation_says_what_and_why(shop, tell, ask):
    await tell(offer("lid-l", price_minor=700, list_price_minor=900), offer("lid-s", stock=0))

    told = await ask("/v1/recommendations/ada")

    assert told["customer_id"] == "ada"
    assert told["recommendation_id"]
    lid = next(item for item in told["items"] if item["product_id"] == "lid")
    assert lid["score"] > 0
    assert {name: lid[name] for name in ("name", "sku", "reason", "because", "offer")} == {
        "name": "The lid",
        "sku": "lid-l",
        "reason": "bought_with",
        "because": "pot",
        "offer": {"store": "web", "currency": "EUR", "price_minor": 700, "list_price_minor": 900},
    }


async def test_who_is_not_known_gets_what_is_popular(shop, tell, ask):
    await tell(order("more", "bob", "mat"))

    told = await ask("/v1/recommendations/anon:new")

    assert ids(told) == ["mat", "pot", "lid"]  # the pot was viewed
    assert {(item["reason"], item["because"], item["score"]) for item in told["items"]} == {
        ("popular", None, 0)
    }


async def test_an_empty_shop_answers_with_nothing(ask):
    assert (await ask("/v1/recommendations/ada"))["items"] == []


async def test_what_the_person_bought_is_left_out_of_both_parts(shop, tell, ask):
    await tell(order("own", "ada", "lid"))

    assert ids(await ask("/v1/recommendations/ada")) == ["mat", "pot"]


async def test_the_answer_is_as_long_as_asked_and_holds_nothing_twice(shop, tell, ask):
    await tell(*[order(f"q{n}", f"y{n}", f"other{n}") for n in range(9)])

    assert len(ids(await ask("/v1/recommendations/ada", limit=2))) == 2
    found = ids(await ask("/v1/recommendations/ada", limit=50))
    assert len(found) == len(set(found)) == 12
    assert found[:2] == ["lid", "mat"]


GONE = {
    "withdrawn": [withdrawn("lid", 1)],
    "content": [product("lid", 1, kind="content")],
    "no stock": [offer("lid-s", stock=0), offer("lid-l", stock=0)],
    "not yet on sale": [offer(sku, on_sale_from=at(1)) for sku in ("lid-s", "lid-l")],
    "no longer on sale": [offer(sku, on_sale_until=at(0)) for sku in ("lid-s", "lid-l")],
    "offers withdrawn": [offer(sku, withdrawn=True) for sku in ("lid-s", "lid-l")],
    "its own offer is out": [product("lid", 1), offer("odd", product_id="lid", stock=0)],
}


@pytest.mark.parametrize("why", GONE)
async def test_what_cannot_be_sold_is_never_shown(shop, tell, ask, why):
    before = ids(await ask("/v1/recommendations/ada"))
    await tell(*GONE[why])

    assert "lid" in before
    assert "lid" not in ids(await ask("/v1/recommendations/ada"))
    assert "lid" not in ids(await ask("/v1/recommendations/nobody"))
    assert "lid" not in ids(await ask("/v1/products/pot/also-bought"))


HERE = {
    "stock is not counted": [offer("lid-s"), offer("lid-l", stock=0)],
    "one variant has no offer": [offer("lid-l", stock=0)],
    "sold out elsewhere": [offer(sku, stock=0, store="outlet") for sku in ("lid-s", "lid-l")]
    + [offer("lid-s", stock=1)],
    "on sale now": [offer("lid-s", on_sale_from=at(0), on_sale_until=at(1))],
    "another product's offer": [offer("lid-s", product_id="other", stock=0)],
}


@pytest.mark.parametrize("why", HERE)
async def test_what_can_be_sold_is_shown(shop, tell, ask, why):
    await tell(*HERE[why])

    found = await ask("/v1/recommendations/ada", store="web")

    assert {i["product_id"]: i["sku"] for i in found["items"]}["lid"] == "lid-s"


async def test_a_store_shows_its_own_stock_and_its_own_products(shop, tell, ask):
    skus = ("lid-s", "lid-l")
    await tell(*[offer(sku, stock=0, store="outlet") for sku in skus], *map(offer, skus))
    await tell(product("mat", 1, stores=("outlet",)))

    assert "lid" not in ids(await ask("/v1/recommendations/ada", store="outlet"))
    assert "mat" in ids(await ask("/v1/recommendations/ada", store="outlet"))
    assert "lid" in ids(await ask("/v1/recommendations/ada", store="web"))
    assert "mat" not in ids(await ask("/v1/recommendations/ada", store="web"))


async def test_the_variant_is_the_one_like_those_the_person_chose(tell, ask):
    def sized(name):
        return [Variant(sku=f"{name}-{size}", attributes={"size": size}) for size in "SML"]

    await tell(
        product("shirt", skus=sized("shirt")),
        product("hat", skus=sized("hat")),
        *[order(f"o{n}", f"x{n}", "shirt", "hat") for n in range(3)],
        order("own", "ada", line("shirt", sku="shirt-L")),
    )
    first = await ask("/v1/recommendations/ada")
    await tell(offer("hat-L", stock=0))

    assert [(i["product_id"], i["sku"]) for i in first["items"]] == [("hat", "hat-L")]
    assert (await ask("/v1/recommendations/ada"))["items"][0]["sku"] == "hat-S"


async def test_products_that_were_never_published_can_be_shown(tell, ask):
    await tell(order("o1", "x", "pot", "lid"), view("ada", "pot"))

    [lid, pot] = (await ask("/v1/recommendations/ada"))["items"]

    assert (lid["product_id"], lid["sku"], lid["name"], lid["offer"]) == ("lid", None, "", None)
    assert pot["reason"] == "popular"


async def test_also_bought_tells_in_how_many_orders(shop, ask):
    told = await ask("/v1/products/pot/also-bought", limit=1)

    assert [(item["product_id"], item["orders"]) for item in told["items"]] == [("lid", 3)]
    assert (await ask("/v1/products/none/also-bought", 404))["detail"].startswith("no such product")


async def test_a_product_tells_what_is_known_of_it(shop, tell, ask):
    await tell(offer("lid-s", stock=4), offer("lid-s", stock=2, store="outlet"), view("x", "new"))

    lid, new = await ask("/v1/products/lid"), await ask("/v1/products/new")

    assert (lid["orders"], lid["units"], lid["views"], lid["name"]) == (3, 3, 0, "The lid")
    assert [(o["store"], o["stock"]) for o in lid["offers"]] == [("outlet", 2), ("web", 4)]
    assert (new["orders"], new["views"], new["name"], new["offers"]) == (0, 1, None, [])
    await ask("/v1/products/none", 404)


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 51}, {"limit": "x"}, {"store": "a:b"}])
async def test_a_bad_question_names_the_field(ask, query):
    told = await ask("/v1/recommendations/ada", 422, **query)

    assert next(iter(query)) in str(told["errors"])


async def test_reading_an_order_or_a_person_is_recorded(door, shop):
    async with door.client() as http:
        await http.get("/v1/orders/o1")
        await http.get("/v1/recommendations/ada")
        await http.get("/v1/products/pot/also-bought")

    recorded = await door.query("SELECT subject FROM audit ORDER BY id")
    assert [row.subject for row in recorded] == ["x1", "ada"]
