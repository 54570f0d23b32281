"""What offers and coupons cost: what remains of it, by month, whatever becomes of the orders."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.benefits.discounts import Presented
from services.loyalty.benefits.rewards import Reward
from services.loyalty.promotions import costs
from services.loyalty.promotions.claims import Claim, Given
from services.loyalty.promotions.costs import Bought, Spent
from services.loyalty.promotions.offers import Gift
from services.loyalty.promotions.stacking import GiftGiven
from services.loyalty.terms.cart import Item
from services.loyalty.tests.closer import look
from services.loyalty.tests.counter import Counter, counter_at
from services.loyalty.tests.shop import NOON, Order, erasure, line
from services.loyalty.tests.test_claims import MUG

PATH = "/v1/ledger/promotions"
DAYS = {"from": "2000-01-01", "until": "2100-01-01"}
TEN_OFF = [{"spend_minor": 10_000, "save_minor": 1_000}]


@pytest.fixture
async def shop(door):
    """Ten off from 100.00 on, for three orders; a mug from 50.00 on."""
    async with counter_at(door) as http:
        counter = Counter(http)
        await counter.offer("ten", TEN_OFF, name="Ten off", budget={"uses": 3})
        await counter.call("PUT", "/v1/offers/mug", MUG)
        yield counter


def order(order_id="o1", *more, off_minor=1_000, **fields):
    """Two pieces of 50.00 on line 1, and what is added to them."""
    lines = (line("1", 10_000 - off_minor, 2, discount_minor=off_minor), *more)
    return Order(order_id, "ada", lines, more=fields)


async def claim(shop, order_id="o1", **promised):
    promised = promised or {"ten": 1_000, "mug": 0}
    body = {
        "order_id": order_id,
        "cart": {"customer_id": "ada", "lines": [{"unit_price_minor": 5_000, "quantity": 2}]},
        "offers": [{"offer_id": id_, "discount_minor": off} for id_, off in promised.items()],
    }
    await shop.call("POST", "/v1/offers/claims", body)


async def told(door, **params):
    """By kind and id: uses, money, gifts, what the gifts cost, points."""
    page = await look(door, PATH, **DAYS | params)
    return {
        each["id"]: tuple(
            each[name] for name in ("uses", "discount_minor", "gifts", "gifts_minor", "points_paid")
        )
        for each in page["items"]
    }


async def test_what_each_offer_cost_is_told_by_month_with_what_is_left_of_its_budget(shop, door):
    for order_id, day in (("o1", 1), ("o2", 30)):
        await claim(shop, order_id)
        placed_at = datetime(2026, 11, day, 23, 30, tzinfo=UTC)
        await door.give(order(order_id, placed_at=placed_at).event("order.paid", 1))
    await claim(shop, "o3")  # and is never paid
    placed_at = datetime(2026, 12, 1, tzinfo=UTC)
    await claim(shop, "o4", mug=0)
    await door.give(order("o4", off_minor=0, placed_at=placed_at).event("order.paid", 1))

    mug, ten, later = (await look(door, PATH, **DAYS))["items"]

    assert ten == {
        "month": "2026-11",
        "kind": "offer",
        "id": "ten",
        "name": "Ten off",
        "currency": "EUR",
        "uses": 2,
        "discount_minor": 2_000,
        "gifts": 0,
        "gifts_minor": 0,
        "points_paid": 0,
        "left": {"uses": 0, "cost_minor": None},
    }
    assert (mug["month"], mug["uses"], mug["gifts"], mug["gifts_minor"]) == ("2026-11", 2, 2, 600)
    assert (later["month"], later["id"], later["gifts"]) == ("2026-12", "mug", 1)
    assert mug["left"] == {"uses": None, "cost_minor": None}


async def test_of_an_order_that_comes_back_it_is_what_remains(shop, door):
    await claim(shop)
    gift = line("g", 0, kind="gift", sku="mug")
    one = order("o1", gift)
    await door.give(one.event("order.paid", 1))
    whole = await told(door)
    await door.give(one.change("1", returned=1).event("order.returned", 2))
    half = await told(door)
    await door.give(one.every(returned="all").event("order.returned", 3))
    nothing = await told(door)

    assert whole == {"ten": (1, 1_000, 0, 0, 0), "mug": (1, 0, 1, 300, 0)}
    assert half == {"ten": (1, 500, 0, 0, 0), "mug": (1, 0, 1, 300, 0)}
    assert nothing == {"ten": (1, 0, 0, 0, 0), "mug": (1, 0, 0, 0, 0)}


async def test_of_an_order_that_is_cancelled_whole_nothing_remains_unless_it_is_bought_yet(
    shop, door
):
    await claim(shop)
    one = order()
    await door.give(one.event("order.paid", 1))
    await door.give(one.every(cancelled="all").event("order.cancelled", 2))
    cancelled = await told(door)
    await door.give(one.event("order.completed", 3))

    assert cancelled == {}
    assert (await told(door))["ten"] == (1, 1_000, 0, 0, 0)


async def test_a_coupons_discount_is_what_its_order_has_beyond_the_offers(shop, door):
    await shop.lay_down("five", name="Five off", stock=10)
    await door.give(*Order("o0", "ada", (line("1", 40_000),)).life())
    await shop.lay_down("paid", points=300)
    coupons = [await shop.take("five"), await shop.take("paid")]
    await claim(shop, ten=1_000)
    one = order("o1", off_minor=1_500, coupon=coupons[0]["code"])
    await door.give(one.event("order.paid", 1))
    await door.give(order("o2", off_minor=300, coupon=coupons[1]["code"]).event("order.paid", 1))

    found = await told(door)
    page = await look(door, PATH, **DAYS)

    assert found == {
        "ten": (1, 1_000, 0, 0, 0),
        "five": (1, 500, 0, 0, 0),
        "paid": (1, 300, 0, 0, 300),
    }
    first = page["items"][0]
    assert (first["kind"], first["name"], first["left"]["uses"]) == ("coupon", "Five off", 9)


async def test_coupons_of_a_cancelled_order_cost_nothing_and_of_a_returned_one_what_remains(
    shop, door
):
    await shop.lay_down("five", limit=None)
    await shop.lay_down("mug-free", kind="gift", value_minor=250, sku="mug")
    five, mug = await shop.take("five"), await shop.take("mug-free")
    one = order("o1", off_minor=500, coupon=five["code"])
    gift = order("o2", line("g", 0, kind="gift", sku="mug"), off_minor=0, coupon=mug["code"])
    await door.give(one.event("order.paid", 1), gift.event("order.paid", 1))
    whole = await told(door)
    await door.give(
        one.change("1", returned=1).event("order.returned", 2),
        gift.every(returned="all").event("order.returned", 2),
    )
    part = await told(door)
    await door.give(one.every(cancelled="all").event("order.cancelled", 3))

    assert whole == {"five": (1, 500, 0, 0, 0), "mug-free": (1, 0, 1, 250, 0)}
    assert part == {"five": (1, 250, 0, 0, 0), "mug-free": (1, 0, 0, 0, 0)}
    assert await told(door) == {"mug-free": (1, 0, 0, 0, 0)}


async def test_an_order_in_another_currency_costs_in_the_base_currency(shop, door):
    await shop.lay_down("five")
    coupons = [await shop.take("five") for _ in range(2)]
    usd = {"currency": "USD", "coupon": coupons[0]["code"], "base_total_minor": 4_800}
    await door.give(order("o1", off_minor=400, **usd).event("order.paid", 1))
    usd = {"currency": "USD", "coupon": coupons[1]["code"]}
    await door.give(order("o2", off_minor=400, **usd).event("order.paid", 1))

    assert await told(door) == {"five": (2, 200, 0, 0, 0)}


@pytest.mark.parametrize("sequence", list(itertools.permutations((0, 1, 2))))
async def test_late_and_repeated_revisions_change_nothing(shop, door, sequence):
    one = order(placed_at=NOON)
    events = [
        one.event("order.paid", 1),
        one.change("1", returned=1).event("order.returned", 2),
        one.change("1", returned=2).event("order.returned", 3),
    ]
    await claim(shop)
    await door.give_singly(*(events[n] for n in sequence))
    singly = await told(door)
    await door.again(*door.log.messages)
    await door.give(*(replace(each, id=f"{each.id}-again") for each in events))

    assert singly == await told(door) == {"ten": (1, 0, 0, 0, 0), "mug": (1, 0, 1, 300, 0)}


async def test_what_nobody_bought_costs_nothing(shop, door):
    await claim(shop, "placed")
    await claim(shop, "test")
    await door.give(order("placed").event("order.placed", 1))
    await door.give(order("test", test=True).event("order.paid", 1))

    assert await told(door) == {}


async def test_an_order_that_turns_out_to_be_a_test_costs_nothing_any_more(shop, door):
    await claim(shop)
    await door.give(order().event("order.paid", 1))
    before = await told(door)
    await door.give(order(test=True).event("order.shipped", 2))

    assert "ten" in before
    assert await told(door) == {}


async def test_many_orders_at_once_by_several_workers_are_all_counted(shop, door):
    await shop.lay_down("five")
    coupons = [await shop.take("five") for _ in range(12)]
    for number in range(12):
        await claim(shop, f"o{number}", mug=0)
    orders = [
        replace(order(f"o{n}", off_minor=500, coupon=coupons[n]["code"]), customer=f"c{n}")
        for n in range(12)
    ]

    def work(number):
        mine = orders[number * 3 : number * 3 + 3]
        events = [e for one in mine for e in (one.event("order.paid", 1),)]
        events += [one.change("1", returned=1).event("order.returned", 2) for one in mine]
        return door.handle([door.log.append(each, partition=number) for each in events])

    await asyncio.gather(*map(work, range(4)))

    assert await told(door) == {"five": (12, 3_000, 0, 0, 0), "mug": (12, 0, 12, 3_600, 0)}


async def test_an_erasure_leaves_what_was_given_and_nobody_who_got_it(shop, door):
    await claim(shop)
    await door.give(order().event("order.paid", 1))
    before = await told(door)
    await door.give(erasure("ada"))

    assert await told(door) == before
    assert before["ten"] == (1, 1_000, 0, 0, 0)


async def test_pages_hold_each_offer_of_each_month_once(shop, door):
    for order_id, month in (("o1", 10), ("o2", 11), ("o3", 12)):
        await claim(shop, order_id)
        placed_at = datetime(2026, month, 15, tzinfo=UTC)
        await door.give(order(order_id, placed_at=placed_at).event("order.paid", 1))

    found, cursor = [], ""
    while cursor is not None:
        page = await look(door, PATH, limit=1, cursor=cursor, **DAYS)
        found += [(each["month"], each["id"], each["uses"]) for each in page["items"]]
        cursor = page["next"]
    some = {"from": "2026-11-15", "until": "2026-12-15"}
    bounded = (await look(door, PATH, **some))["items"]

    months = ("2026-10", "2026-11", "2026-12")
    assert found == [(month, id_, 1) for month in months for id_ in ("mug", "ten")]
    assert [each["month"] for each in bounded] == ["2026-11", "2026-11"]
    await look(door, PATH, status=422, **{"from": "2026-11-01", "until": "2026-11-01"})
    await look(door, PATH, status=400, cursor="x", **DAYS)


PIECES = st.integers(1, 4)
MINOR = st.integers(0, 5_000)
REWARDS = st.one_of(
    st.builds(Reward, kind=st.just("amount"), value_minor=st.integers(1, 3_000)),
    st.builds(
        Reward,
        kind=st.just("percent"),
        percent=st.integers(1, 100),
        value_max_minor=st.none() | MINOR,
    ),
    st.builds(Reward, kind=st.just("free_shipping")),
    st.builds(Reward, kind=st.just("gift"), sku=st.just("mug"), value_minor=MINOR),
)
CLAIM = Claim(
    "o1",
    "ada",
    "counted",
    NOON,
    (
        Given(
            offer_id="ten",
            version=1,
            discount_minor=70,
            cost_minor=170,
            budgeted=False,
            by_line={"0": 50, "1": 20},
            gift=GiftGiven((Gift(sku="mug", worth_minor=50),), 2),
        ),
    ),
)


def bought_of(lines, items):
    return Bought(Order("o1", lines=tuple(lines)).event("order.paid", 1).data, NOON.date(), items)


@st.composite
def bought(draw, back=None):
    """An order, of each line of which some pieces are back."""
    lines, items = [], []
    for number in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(("product", "shipping", "gift")))
        total, off, pieces = draw(MINOR), draw(MINOR), draw(PIECES)
        returned = draw(st.integers(0, pieces)) if back is None else pieces * back
        more = {"discount_minor": off, "sku": "mug"}
        lines.append(line(str(number), total, pieces, kind, returned=returned, **more))
        items.append(Item(str(number), pieces, total, kind, off))
    return bought_of(lines, items)


@given(bought(), st.lists(REWARDS, max_size=4), st.booleans())
def test_coupons_never_cost_more_than_the_lines_discounts_hold(order, rewards, has_claim):
    spent = [
        Spent(Presented(UUID(int=n), f"r{n}", reward), points=n) for n, reward in enumerate(rewards)
    ]

    found = costs.of_order(order, CLAIM if has_claim else None, spent)

    coupons = [each for each in found if each.kind == "coupon"]
    assert sum(each.discount_minor for each in coupons) <= sum(
        each.discount_minor for each in order.items
    )
    assert all(min(each[4:]) >= 0 for each in found)
    assert len(coupons) == len(rewards)
    assert costs.of_order(order, CLAIM if has_claim else None, spent[::-1]) == found


@given(bought(back=1), st.lists(REWARDS, max_size=3))
def test_nothing_remains_of_lines_that_came_back_whole(order, rewards):
    spent = [Spent(Presented(UUID(int=n), f"r{n}", each), 0) for n, each in enumerate(rewards)]

    found = costs.of_order(order, None, spent)

    assert sum(each.discount_minor for each in found) == 0


def test_two_coupons_of_one_reward_are_one_row():
    five = Reward(kind="amount", value_minor=500)
    order = bought_of([line("1", 1_000)], [Item("1", 1, 1_000, "product", 700)])
    spent = [Spent(Presented(UUID(int=n), "five", five), points=10) for n in range(2)]

    [found] = costs.of_order(order, None, spent)

    assert (found.uses, found.discount_minor, found.points) == (2, 700, 20)
