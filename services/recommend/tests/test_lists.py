"""What is bought together: counted right, bounded, and never forgotten."""

import asyncio
import random
from collections import Counter
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recommend import lists
from services.recommend.baskets import PAIRED_MAX
from services.recommend.jobs import build_lists
from services.recommend.tests.shop import line, order, pairs, product

PRODUCTS = [f"p{n}" for n in range(12)]


async def together(door):
    """What `also_bought` says, as pairs in both directions."""
    rows = await door.query("SELECT product_id, others, orders FROM also_bought")
    return {
        (row.product_id, other): count
        for row in rows
        for other, count in zip(row.others, row.orders, strict=True)
    }


def both_ways(counted):
    return {key: n for (a, b), n in counted.items() for key in ((a, b), (b, a))}


async def test_the_lists_count_the_orders_as_they_now_stand(door, tell):
    rng = random.Random(7)
    baskets = {f"o{n}": rng.sample(PRODUCTS, rng.randint(1, 5)) for n in range(60)}
    orders = {id_: order(id_, f"c{n % 9}", *b) for n, (id_, b) in enumerate(baskets.items())}
    await tell(*orders.values())
    assert await together(door) == both_ways(pairs(baskets.values()))

    for id_ in list(baskets)[::3]:
        dropped, *kept = baskets[id_]
        lines = [line(dropped, cancelled=1), *kept]
        baskets[id_] = kept
        await door.give(order(id_, "c1", *lines, revision=2))
    await tell()

    assert await together(door) == both_ways(pairs(baskets.values()))


async def test_a_cancelled_order_takes_its_pairs_away(door, tell, ask):
    await tell(order("o1", "ada", "p1", "p2"), product("p1"), product("p2"))
    before = await ask("/v1/products/p1/also-bought")
    await tell(order("o1", "ada", line("p1", cancelled=1), line("p2", cancelled=1), revision=2))

    assert [item["product_id"] for item in before["items"]] == ["p2"]
    assert (await ask("/v1/products/p1/also-bought"))["items"] == []
    assert await door.query("SELECT 1 FROM popularity, also_bought") == []


async def test_of_a_huge_order_only_the_dearest_lines_make_pairs(door, tell, ask):
    many = [line(f"p{n:04}", total=1000 + n) for n in range(1114)]
    await tell(order("o1", "ada", *many))

    told = await together(door)
    dearest = {f"p{n:04}" for n in range(1114 - PAIRED_MAX, 1114)}
    assert {a for a, _ in told} == dearest
    assert len(told) == PAIRED_MAX * (PAIRED_MAX - 1)
    assert sum(p["pairs"] for p in (await ask("/v1/orders/o1"))["products"]) == PAIRED_MAX


async def test_only_recent_orders_of_a_product_are_looked_at(door, tell, monkeypatch):
    monkeypatch.setattr("services.recommend.store.lists.RECENT_MAX", 5)
    await tell(*[order(f"o{n}", "ada", "p1", f"q{n}", minutes=n) for n in range(20)])

    found = {other for product_id, other in await together(door) if product_id == "p1"}
    assert found == {f"q{n}" for n in range(15, 20)}


async def test_an_order_that_comes_while_a_list_is_built_is_not_missed(door, monkeypatch):
    loop, gather = asyncio.get_running_loop(), lists.gather

    def interrupted(baskets):
        """In the job's thread, after it has read the baskets."""
        monkeypatch.setattr(lists, "gather", gather)
        late = door.give(order("o2", "bob", "p1", "p3"))
        asyncio.run_coroutine_threadsafe(late, loop).result(30)
        return gather(baskets)

    await door.give(order("o1", "ada", "p1", "p2"))
    monkeypatch.setattr(lists, "gather", interrupted)
    await build_lists(door.engine, door.world)

    assert await together(door) == both_ways(pairs([["p1", "p2"], ["p1", "p3"]]))
    assert await door.query("SELECT 1 FROM popularity WHERE stale_since IS NOT NULL") == []


async def test_the_model_says_how_far_it_is_behind(door, tell, ask):
    await door.give(order("o1", "ada", "p1", "p2"))
    behind = await ask("/v1/models/also-bought")
    await tell()

    assert behind["stale"] == 2
    assert behind["stale_since"]
    assert await ask("/v1/models/also-bought") == {"stale": 0, "stale_since": None}


baskets_of = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.sampled_from("abcdef"), unique=True)),
    max_size=30,
)


@given(baskets_of)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_gathering_counts_each_basket_once_and_never_the_product_itself(baskets):
    found = lists.gather(baskets)

    for product_id, company in found.items():
        own = [basket for p, basket in baskets if p == product_id]
        assert company.orders == len(own)
        expected = Counter(other for basket in own for other in basket if other != product_id)
        assert company.others == dict(expected)


@given(st.integers(1, 500), st.integers(0, 10**6), st.integers(0, 10**6), st.data())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_similarity_is_a_share_and_grows_with_the_orders_in_common(looked_at, own, other, data):
    both = data.draw(st.integers(1, looked_at))

    score = lists.similarity(both, looked_at, own, other)

    assert 0 < score < 1
    assert both == 1 or lists.similarity(both - 1, looked_at, own, other) < score


def test_without_a_window_the_score_is_the_shrunk_cosine():
    assert lists.similarity(30, 100, 100, 400) == pytest.approx(30 / (sqrt(100 * 400) + 10))


def test_what_goes_with_everything_stands_below_what_goes_with_this():
    company = lists.Company(100, {"bag": 40, "lid": 30})

    built = lists.build("pot", company, {"pot": 100, "bag": 5000, "lid": 60})

    assert built.others == ["lid", "bag"]
    assert built.orders == [30, 40]
