"""The views depend on the set of events alone: not on order, cutting, or repetition."""

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.recommend import interactions
from services.recommend.interactions import HISTORY_MAX
from services.recommend.tests.conftest import state, wipe
from services.recommend.tests.shop import (
    at,
    cart,
    line,
    offer,
    order,
    product,
    view,
    wish,
    withdrawn,
)

# A little life: two customers, three orders through their revisions, browsing, a catalogue.
LIFE = (
    order("o1", "ada", "p1", "p2", "p3"),
    order("o1", "ada", line("p1", quantity=2, cancelled=1), "p2", "p3", revision=2),
    order("o1", "ada", line("p1", quantity=2, cancelled=2), "p3", revision=4),
    order("o2", "bob", "p1", "p2", minutes=3),
    order("o2", "bob", line("p1", returned=1), line("p2", returned=1), minutes=3, revision=2),
    order("o3", "ada", "p2", "p4", minutes=5, placed_at=None),
    order("o3", "bob", "p2", "p4", minutes=5, placed_at=None, revision=3),
    view("ada", "p1", 1),
    view("ada", "p1", 2),
    view("bob", "p3", 2, sku="p3-1"),
    cart("ada", "p2", 2),
    cart("ada", "p2", 3, out=True),
    wish("bob", "p4", 1),
    product("p1", 1, skus=("p1-1", "p1-2"), category=("Home", "Mugs")),
    product("p1", 2, skus=("p1-1",), brand="Fern"),
    product("p2", 1),
    withdrawn("p2", 2),
    offer("p1-1", 1, stock=3),
    offer("p1-1", 2, stock=0),
    offer("p1-1", 2, store="outlet"),
)
slow = settings(
    derandomize=True,
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@given(st.permutations(LIFE), st.lists(st.integers(1, len(LIFE) - 1), max_size=6))
@slow
async def test_any_order_in_any_cutting_ends_in_the_same_views(door, events, cuts):
    await wipe(door)
    await door.give(*LIFE)
    whole = await state(door)
    await wipe(door)

    places = [0, *sorted(set(cuts)), len(events)]
    for start, end in pairwise(places):
        await door.give(*events[start:end])

    assert await state(door) == whole


@given(st.permutations(LIFE[:7]), st.sets(st.sampled_from([0, 1, 3, 5])))
@slow
async def test_the_last_revision_of_an_order_is_all_it_takes(door, events, lost):
    await wipe(door)
    await door.give(LIFE[2], LIFE[4], LIFE[6])
    last_ones = await state(door)
    await wipe(door)

    await door.give_singly(*[event for event in events if event not in [LIFE[n] for n in lost]])

    assert await state(door) == last_ones


async def test_a_redelivered_batch_counts_once(door):
    await door.give(*LIFE)
    once = await state(door)

    await door.again(*door.log.messages)
    await door.handle([door.log.append(event, partition=3) for event in LIFE])

    assert await state(door) == once


async def test_what_an_order_counts_for(door, ask):
    await door.give(
        order(
            "o1",
            "ada",
            line("small", total=100),
            line("large", total=900, quantity=3, cancelled=1),
            line("large", total=50, line_id="again", sku="large-2"),
            line("cancelled", quantity=2, cancelled=2),
            line("returned", quantity=2, returned=2),
            line(None, line_id="post", kind="shipping", sku=None),
            line("card", kind="gift_card"),
            line("extra", kind="gift", total=0),
        )
    )

    told = await ask("/v1/orders/o1")

    assert [(p["product_id"], p["units"], p["sku"]) for p in told["products"]] == [
        ("large", 3, "large-1"),
        ("small", 1, "small-1"),
    ]
    assert {row.product_id: (row.orders, row.units) for row in await popular(door)} == {
        "large": (1, 3),
        "small": (1, 1),
    }


async def test_a_test_order_counts_nowhere(door, ask):
    await door.give(order("o1", "ada", "p1", "p2", test=True))

    assert (await ask("/v1/orders/o1"))["products"] == []
    assert await popular(door) == []
    assert await door.query("SELECT 1 FROM purchase") == []


async def test_an_order_cancelled_without_counts_counts_for_nothing(door, ask):
    await door.give(order("o1", "ada", "p1", "p2"))
    await door.give(order("o1", "ada", "p1", "p2", revision=2, type_="order.cancelled"))

    assert (await ask("/v1/orders/o1"))["products"] == []
    assert {(row.orders, row.units) for row in await popular(door)} == {(0, 0)}


async def test_an_order_that_turns_out_a_test_is_taken_out(door):
    await door.give(order("o1", "ada", "p1", "p2"))
    await door.give(order("o1", "ada", "p1", "p2", revision=2, test=True))

    assert {(row.orders, row.units) for row in await popular(door)} == {(0, 0)}
    assert await door.query("SELECT 1 FROM purchase") == []


async def test_a_history_keeps_the_newest(door):
    views = [view("ada", f"p{n}", n) for n in range(HISTORY_MAX + 20)]

    await door.give(*reversed(views[50:]))
    await door.give(*views[:50])

    [row] = await door.query("SELECT interactions FROM history")
    kept = [each.product_id for each in interactions.read(row.interactions)]
    assert kept == [f"p{n}" for n in range(20, HISTORY_MAX + 20)]


async def test_the_newest_snapshot_of_a_product_wins_and_not_the_last(door, ask):
    await door.give(withdrawn("p1", 5))
    await door.give(product("p1", 3, name="Too late"))
    before = await ask("/v1/products/p1")
    await door.give(product("p1", 6, name="Back again"))

    assert before["withdrawn"] is True
    told = await ask("/v1/products/p1")
    assert (told["withdrawn"], told["name"]) == (False, "Back again")


async def test_of_two_offers_at_one_moment_the_same_one_wins_in_any_order(door, ask):
    first, second = offer("p1-1", 1, price_minor=1), offer("p1-1", 1, price_minor=2)
    second = type(second)(**{**_fields(second), "id": "z"})
    await door.give(product("p1", skus=("p1-1",)), second)
    await door.give(first)

    [told] = (await ask("/v1/products/p1"))["offers"]
    assert told["price_minor"] == 2


def _fields(event):
    names = ("id", "source", "type", "time", "topic", "key", "data")
    return {name: getattr(event, name) for name in names}


async def popular(door):
    return await door.query("SELECT * FROM popularity ORDER BY product_id")


async def test_an_event_tells_what_it_caused(door, ask):
    await door.give(order("o1", "ada", "p1"), product("p1", 1))

    [caused] = (await ask("/v1/events/shop/o1-1"))["caused"]
    assert caused == {"kind": "order", "id": "o1", "revision": 1, "at": caused["at"]}
    [caused] = (await ask("/v1/events/shop/p-p1-1"))["caused"]
    assert (caused["kind"], caused["id"]) == ("product", "p1")
    assert at(1).isoformat().replace("+00:00", "") in caused["at"]
