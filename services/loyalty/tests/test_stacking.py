"""Offers beside each other: what must hold whatever they are, and who beats whom."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.loyalty.promotions.quoting import discounted, quote
from services.loyalty.promotions.stacking import Use
from services.loyalty.tests.carts import (
    ADA,
    KINDS,
    MONOTONE,
    cart,
    item,
    items,
    offer,
    offers,
)

FAST = settings(derandomize=True, deadline=None, max_examples=200)
TEN_OFF = {"kind": "steps", "steps": [{"spend_minor": 10_000, "save_minor": 1_000}]}
HALF = {"kind": "steps", "steps": [{"percent": 50}]}
TENTH = {"kind": "steps", "steps": [{"percent": 10}]}
MUG = {"kind": "gift", "spend_minor": 5_000, "choices": [{"sku": "mug", "worth_minor": 300}]}


def applied(lines, *found, shopper=ADA, used=None, **more):
    return quote(cart(*lines, **more), shopper, found, used or {}).applied


def said(result):
    return {each.offer.id: each.reason for each in result.verdicts}


@FAST
@given(items(), offers())
def test_the_lines_sum_to_the_offers_and_none_falls_below_zero(lines, found):
    result = applied(lines, *found)

    owed = {each.line_id: each.total_minor for each in lines}
    by_offer = [minor for each in result.applying for minor in each.by_line.values()]
    assert sum(by_offer) == result.discount_minor == sum(result.by_line.values())
    assert all(minor > 0 for minor in by_offer)
    assert all(0 < minor <= owed[line_id] for line_id, minor in result.by_line.items())
    after = discounted(cart(*lines), result.by_line)
    assert sum(each.total_minor for each in after.items) == sum(owed.values()) - sum(by_offer)
    assert not [each for each in result.verdicts if each.reason and (each.by_line or each.gift)]


@FAST
@given(items(), offers(), st.randoms())
def test_neither_the_order_of_lines_nor_that_of_offers_matters(lines, found, random):
    before = quote(cart(*lines), ADA, found, {})
    random.shuffle(lines)
    random.shuffle(found)

    assert quote(cart(*lines), ADA, found, {}) == before


@FAST
@given(items(), MONOTONE, st.sampled_from(("list", "price")), items(1))
def test_a_larger_cart_never_gets_less_off(lines, gives, basis, more):
    one = offer("o", gives, basis=basis)
    added = [each._replace(line_id=f"+{each.line_id}") for each in more if each.kind == "product"]

    before, after = applied(lines, one), applied([*lines, *added], one)

    assert after.discount_minor >= before.discount_minor


@FAST
@given(items(), offers())
def test_what_is_said_to_be_missing_reaches_the_offer_and_one_less_does_not(lines, found):
    before = quote(cart(*lines), ADA, found, {})
    levels = {each.offer.id: each.level for each in before.applied.verdicts}
    for near in before.nearest:
        like = next(each for each in lines if each.line_id == near.line_id)
        after = {less: verdict_with_more(lines, found, near, like, less) for less in (0, 1)}

        assert after[0].level > levels[near.offer.id] >= after[1].level
        assert not after[0].reason
        assert (after[0].discount_minor, after[0].gift) == (near.discount_minor, near.gift)
        assert near.discount_minor or near.gift


def verdict_with_more(lines, found, near, like, less):
    """What is said of the offer with a line more, like one that is there."""
    counted = [
        each
        for each in lines
        if each.kind == "product" and not near.offer.body.lines.misses(each) and each.quantity
    ]
    if near.missing_pieces:
        pieces = near.missing_pieces - less
        total = pieces * min(price for each in counted if (price := cheapest(near, each)))
    else:
        pieces, total = 1, near.missing_minor - less
    more = like._replace(
        line_id="~", quantity=pieces, total_minor=total, discount_minor=0, tax_minor=0
    )
    result = applied([*lines, more], *found)
    return next(each for each in result.verdicts if each.offer.id == near.offer.id)


def cheapest(near, each):
    minor = each.total_minor
    if near.offer.body.basis == "list":
        minor += each.discount_minor
    return minor // each.quantity or bool(minor)


@FAST
@given(items(), KINDS, st.integers(1, 3_000))
def test_no_offer_costs_more_than_its_budget_has_left(lines, gives, left):
    one = offer("o", gives, budget={"cost_minor": 10_000})

    (verdict,) = applied(lines, one, used={"o": Use(3, 10_000 - left)}).verdicts

    assert verdict.cost_minor <= left


def test_an_offer_sees_what_earlier_ones_have_left():
    half = offer("a-half", HALF)
    later = offer("b-ten", TEN_OFF, basis="left")

    assert said(applied([item("1", 19_998)], half, later)) == {"a-half": "", "b-ten": "spend"}
    both = applied([item("1", 20_000)], half, later)
    assert (said(both), both.discount_minor) == ({"a-half": "", "b-ten": ""}, 11_000)
    first = replace(later, body=later.body.model_copy(update={"priority": 1}))
    assert applied([item("1", 19_998)], half, first).discount_minor == 1_000 + 9_999


def test_of_a_group_the_best_applies_and_a_tie_is_for_the_first():
    ten, tenth = offer("ten", TEN_OFF, group="g"), offer("tenth", TENTH, group="g")

    assert said(applied([item("1", 9_000)], ten, tenth)) == {"ten": "spend", "tenth": ""}
    assert said(applied([item("1", 10_000)], ten, tenth)) == {"ten": "", "tenth": "beaten"}
    result = applied([item("1", 11_000)], ten, tenth)
    assert [(v.offer.id, v.beaten_by) for v in result.verdicts if v.reason] == [("ten", "tenth")]


def test_an_exclusive_offer_applies_alone_or_not_at_all():
    half = offer("half", HALF, exclusive=True)
    others = offer("ten", TEN_OFF), offer("tenth", TENTH), offer("mug", MUG)

    alone = applied([item("1", 10_000)], half, *others)
    assert said(alone) == {"half": "", "ten": "beaten", "tenth": "beaten", "mug": "beaten"}
    assert (alone.discount_minor, alone.applying[0].gift) == (5_000, None)
    small = offer("small", {"kind": "steps", "steps": [{"percent": 5}]}, exclusive=True)
    together = applied([item("1", 10_000)], small, *others)
    assert said(together) == {"small": "beaten", "ten": "", "tenth": "", "mug": ""}


def test_a_tie_is_for_those_that_stand_together():
    alone = offer("a", TENTH, exclusive=True)

    assert said(applied([item("1", 10_000)], alone, offer("b", TENTH))) == {"a": "beaten", "b": ""}


def test_a_line_is_lowered_only_so_far():
    lines = [item("1", 9_000, discount_minor=1_000), item("2", 10_000)]
    half = offer("half", HALF, share_max_percent=30)

    assert applied(lines, half).by_line == {"1": 2_000, "2": 3_000}


def test_a_discount_given_as_a_line_is_not_given_twice():
    lines = [item("1", 1_000), item("2", -900)]

    assert applied(
        lines, offer("o", {"kind": "steps", "steps": [{"save_minor": 500}]})
    ).by_line == {"1": 100}


@pytest.mark.parametrize(
    ("more", "used", "shopper", "reason"),
    [
        ({"when": {"tiers": ["gold"]}}, None, ADA, "tier"),
        ({"when": {"stores": ["us"]}}, None, ADA, "store"),
        ({"lines": {"categories": ["Garden"]}}, None, ADA, "no_line"),
        ({"coupon": "welcome"}, None, ADA, "coupon"),
        ({"when": {"spend_min_minor": 10_001}}, None, ADA, "spend"),
        ({"budget": {"uses": 3}}, Use(uses=3), ADA, "budget"),
        ({"budget": {"uses": 3}}, Use(uses=2), ADA, ""),
        ({"budget": {"cost_minor": 999}}, None, ADA, "budget"),
        ({"uses_per_member": 2}, Use(by_member=2), ADA, "member_uses"),
        ({"uses_per_member": 2}, Use(by_member=1), ADA, ""),
        ({"uses_per_member": 2}, None, replace(ADA, customer_id="guest:o1"), "guest"),
    ],
)
def test_what_bars_an_offer_is_named(more, used, shopper, reason):
    one = offer("o", TEN_OFF, **more)

    result = applied([item("1", 10_000)], one, shopper=shopper, used={"o": used} if used else {})

    assert said(result) == {"o": reason}


def test_a_coupon_on_the_order_unlocks_its_offer():
    one = offer("o", TEN_OFF, coupon="welcome")

    assert said(applied([item("1", 10_000)], one, rewards=frozenset({"welcome"}))) == {"o": ""}


def test_wholesale_carts_are_quoted_and_not_told_what_is_near():
    lines = [item(f"{n:05}", 101, 7) for n in range(10_000)]

    quoted = quote(cart(*lines), ADA, [offer("o", TEN_OFF), offer("t", TENTH)], {})

    assert quoted.applied.discount_minor == 1_000 + 101_000
    assert quoted.nearest == ()
