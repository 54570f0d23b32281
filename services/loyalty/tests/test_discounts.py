"""What coupons take off a cart: exact by line, in a fixed order, only together where both agree."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.benefits import discounts
from services.loyalty.benefits.discounts import Presented, apply
from services.loyalty.benefits.rewards import Reward
from services.loyalty.promotions.quoting import discounted, quote
from services.loyalty.terms.cart import Cart, Item
from services.loyalty.terms.conditions import Selection
from services.loyalty.tests import carts

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
EVERY = frozenset(discounts.ORDER)


def cart(*totals_minor, shipping_minor=0, store="web"):
    items = [
        Item(str(n), 1, minor, category=("shoes" if n % 2 else "coats",))
        for n, minor in enumerate(totals_minor)
    ]
    if shipping_minor:
        items.append(Item("ship", 1, shipping_minor, kind="shipping"))
    return Cart(store, NOON, UTC, "EUR", tuple(items))


def amount(value_minor, **more):
    return Reward(kind="amount", value_minor=value_minor, stacks_with=EVERY, **more)


def percent(share, **more):
    return Reward(kind="percent", percent=share, stacks_with=EVERY, **more)


FREE_SHIPPING = Reward(kind="free_shipping", stacks_with=EVERY)
GIFT = Reward(kind="gift", sku="socks", stacks_with=EVERY)


def present(*rewards):
    return [
        Presented(UUID(int=n), reward.name or str(n), reward) for n, reward in enumerate(rewards, 1)
    ]


def told(effects):
    return [(e.presented.reward.kind, e.refusal or dict(e.lines)) for e in effects]


def test_an_amount_is_shared_out_among_its_lines_and_takes_no_more_than_there_is():
    assert told(apply(cart(1000, 500, 500), present(amount(300)))) == [
        ("amount", {"0": 150, "1": 75, "2": 75})
    ]
    assert told(apply(cart(100, 100), present(amount(999)))) == [("amount", {"0": 100, "1": 100})]
    assert told(apply(cart(0), present(amount(999)))) == [("amount", "nothing_left")]


def test_percentages_come_before_amounts_however_they_were_typed():
    effects = apply(
        cart(1000, shipping_minor=490), present(FREE_SHIPPING, amount(300), percent(20))
    )

    assert told(effects) == [
        ("percent", {"0": 200}),
        ("amount", {"0": 300}),
        ("free_shipping", {"ship": 490}),
    ]


def test_a_percentage_is_rounded_down_once_and_has_a_maximum():
    assert apply(cart(999), present(percent(10)))[0].taken_minor == 99
    assert apply(cart(5, 5, 5), present(percent(10)))[0].taken_minor == 1
    assert apply(cart(100_000), present(percent(50, value_max_minor=2_000)))[0].taken_minor == 2_000


def test_a_coupon_is_for_the_lines_that_it_selects_and_their_money():
    shoes = Selection(categories={"shoes"})

    assert told(apply(cart(1000, 500), present(percent(10, lines=shoes)))) == [
        ("percent", {"1": 50})
    ]
    [small] = apply(cart(1000, 500), present(amount(100, lines=shoes, spend_min_minor=800)))
    assert (small.refusal, small.missing_minor) == ("spend_min", 300)
    assert told(apply(cart(1000), present(percent(10, lines=shoes)))) == [("percent", "no_line")]


def test_a_coupon_is_good_in_its_stores():
    assert told(apply(cart(100, store="us"), present(amount(5, stores={"web"})))) == [
        ("amount", "store")
    ]


def test_coupons_go_together_only_where_both_say_so():
    alone = Reward(kind="amount", value_minor=300)
    shy = Reward(kind="percent", percent=10, stacks_with={"free_shipping"})

    assert told(apply(cart(1000, shipping_minor=5), present(alone, shy, FREE_SHIPPING))) == [
        ("percent", {"0": 100}),
        ("amount", "stacking"),
        ("free_shipping", {"ship": 5}),
    ]
    assert told(apply(cart(1000), present(alone, alone))) == [
        ("amount", {"0": 300}),
        ("amount", "stacking"),
    ]
    assert told(apply(cart(1000), present(amount(300), amount(300)))) == [
        ("amount", {"0": 300}),
        ("amount", {"0": 300}),
    ]


def test_coupons_take_off_what_offers_have_left_but_ask_for_the_cart_as_it_is_before_them():
    small = amount(300, spend_min_minor=1_000)

    assert told(apply(cart(1_000), present(small, percent(10)), {"0": 400})) == [
        ("percent", {"0": 60}),
        ("amount", {"0": 300}),
    ]
    assert told(apply(cart(1_000), present(small), {"0": 1_000})) == [("amount", "nothing_left")]
    far = amount(300, spend_min_minor=2_000, name="far")
    assert discounts.used_on(cart(1_000), present(small, far, GIFT)) == {"1", "3"}


def test_a_gift_comes_with_the_order_and_takes_nothing_off():
    [gift] = apply(cart(1000), present(GIFT))

    assert (gift.gives, gift.taken_minor) == (True, 0)


REWARDS = st.lists(
    st.one_of(
        st.integers(1, 5_000).map(amount),
        st.integers(1, 100).map(percent),
        st.sampled_from((FREE_SHIPPING, GIFT, amount(700, lines=Selection(categories={"shoes"})))),
    ),
    max_size=6,
)
TOTALS = st.lists(st.integers(-500, 9_999), min_size=1, max_size=8)


@given(TOTALS, st.integers(0, 999), REWARDS, st.randoms(use_true_random=False))
def test_no_line_goes_below_zero_and_the_parts_sum_to_the_whole(totals, shipping, rewards, random):
    bought, presented = cart(*totals, shipping_minor=shipping), present(*rewards)
    effects = apply(bought, presented)
    off = dict.fromkeys((item.line_id for item in bought.items), 0)
    for effect in effects:
        for line_id, minor in effect.lines.items():
            assert minor > 0
            off[line_id] += minor
    shuffled = random.sample(presented, len(presented))

    assert all(off[item.line_id] <= max(0, item.total_minor) for item in bought.items)
    assert apply(bought, shuffled) == effects, "the order of typing does not matter"
    for effect in effects:
        if effect.presented.reward.kind == "amount":
            assert effect.taken_minor <= effect.presented.reward.value_minor


@given(carts.items(), carts.offers(), REWARDS)
def test_offers_and_coupons_together_take_no_line_below_zero_and_sum_to_the_discount(
    items, found, rewards
):
    bought = carts.cart(*items)
    quoted = quote(bought, carts.ADA, found, {}, present(*rewards))
    paid = discounted(bought, quoted.by_line)

    assert min(item.total_minor for item in paid.items) >= 0
    off = sum(item.total_minor for item in bought.items) - sum(i.total_minor for i in paid.items)
    coupons = sum(effect.taken_minor for effect in quoted.effects)
    assert off == quoted.applied.discount_minor + coupons == sum(quoted.by_line.values())
    for effect in quoted.effects:
        chosen = effect.presented.reward.lines
        lowered = [item for item in items if item.line_id in effect.lines]
        assert all(i.kind == "shipping" or not chosen.misses(i) for i in lowered)


@pytest.mark.parametrize("bad", ["amount", "percent"])
def test_what_cannot_be_used_is_as_if_it_were_not_there(bad):
    far = amount(100, spend_min_minor=10**6) if bad == "amount" else percent(9, stores={"us"})
    good = present(amount(300), GIFT)

    with_bad = [e for e in apply(cart(1000), [*good, *present(far)]) if not e.refusal]

    assert [e.lines for e in with_bad] == [e.lines for e in apply(cart(1000), good)]
