"""Awards: exact, explained by name, stacked and capped as stated, monotone, and pure."""

import dataclasses
import time
from datetime import UTC, datetime
from typing import get_args, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from services.loyalty.earning import awarding, rules
from services.loyalty.earning.awarding import Action, award, award_action
from services.loyalty.earning.caps import Used
from services.loyalty.earning.rules import BASE, EarningRule, Rulebook, asked, rulebook_at
from services.loyalty.terms import cart
from services.loyalty.terms.cart import Cart, Item, Shopper
from services.loyalty.terms.definitions import Book, Version

FAST = settings(derandomize=True, deadline=None, max_examples=200)
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday
ADA = Shopper("ada")


def item(line_id="1", total_minor=1_000, quantity=1, **more):
    return Item(line_id, quantity, total_minor, **more)


def cart_of(*items, **more):
    more = {"store": "web", "at": NOON, "zone": UTC, "currency": "EUR"} | more
    return Cart(items=items or (item(),), **more)


def book_of(**bodies):
    """A rulebook of rules by id, each in its first version."""
    return Rulebook(
        tuple(Version(id_, 1, NOON, EarningRule(**body)) for id_, body in sorted(bodies.items()))
    )


def earned(cart, rulebook, shopper=ADA, used=None):
    """Points by rule, for those that earned any."""
    found = award(cart, shopper, rulebook, used or Used())
    assert found.points == sum(each.points for each in found.rules)
    for each in found.rules:
        assert each.points == sum(line.points for line in each.lines.values())
    return {each.rule.id: each.points for each in found.rules if each.points}


def verdicts(cart, rulebook, shopper=ADA, used=None):
    """By rule, what is said of each line."""
    found = award(cart, shopper, rulebook, used or Used())
    return {
        each.rule.id: [each.lines.get(name, (each.verdict,))[0] for name in found.lines]
        for each in found.rules
    }


def test_without_a_rule_each_full_unit_earns_a_point():
    book = rulebook_at(Book(), NOON, "EUR")
    lines = [item(str(n), 50) for n in range(10)]

    assert earned(cart_of(*lines), book) == {BASE.id: 5}
    assert earned(cart_of(item(total_minor=120)), rulebook_at(Book(), NOON, "JPY")) == {
        BASE.id: 120
    }


def test_a_rule_that_is_over_does_not_bring_the_default_back():
    over = EarningRule(ends_at=datetime(2026, 11, 2, tzinfo=UTC))
    book = Book([("EarningRule", Version("r", 1, datetime(2026, 11, 1, tzinfo=UTC), over))])

    assert [r.id for r in rulebook_at(book, datetime(2026, 10, 1, tzinfo=UTC), "EUR").rules] == [
        BASE.id
    ]
    assert [r.id for r in rulebook_at(book, datetime(2026, 11, 1, tzinfo=UTC), "EUR").rules] == [
        "r"
    ]
    assert rulebook_at(book, NOON, "EUR").rules == ()


@pytest.mark.parametrize(
    ("body", "points"),
    [
        ({}, 12),  # 12.34
        ({"points": 5}, 60),
        ({"points": 5, "steps": "parts"}, 61),
        ({"points": 5, "steps": "parts", "rounding": "nearest"}, 62),
        ({"points": 5, "steps": "parts", "rounding": "ceil"}, 62),
        ({"points": 5, "step_minor": 250}, 20),  # 4.936 steps
        ({"basis": {"before_discount": True}}, 15),  # 15.00
        ({"basis": {"with_tax": False}}, 10),  # 10.34
        ({"basis": {"before_discount": True, "with_tax": False}}, 12),  # 15.00 less 2.43 of tax
        ({"basis": {"with_shipping": True}}, 17),  # 17.33
    ],
)
def test_money_counts_as_the_rule_says(body, points):
    line = item("1", 1_234, discount_minor=266, tax_minor=200)

    assert earned(cart_of(line, item("2", 499, kind="shipping")), book_of(r=body)) == {"r": points}


def test_what_is_paid_in_points_earns_nothing_unless_the_rule_says_so():
    bought = cart_of(item("1", 3_000), item("2", 1_000, kind="shipping"), paid_in_points_minor=2000)

    assert earned(bought, book_of(r={})) == {"r": 15}
    assert earned(bought, book_of(r={"basis": {"paid_in_points": True}})) == {"r": 30}
    assert earned(bought, book_of(r={"basis": {"with_shipping": True}})) == {"r": 20}


def test_multipliers_are_of_the_base_points_and_add_up():
    book = book_of(r={}, double={"kind": "multiplier", "percent": 200})
    gold = dataclasses.replace(ADA, tier="gold", tier_percent=150)

    assert earned(cart_of(), book, gold) == {"r": 10, "double": 10, "tier": 5}
    apart = book_of(r={}, double={"kind": "multiplier", "percent": 200, "group": "tier"})
    assert earned(cart_of(), apart, gold) == {"r": 10, "double": 10}
    alone = book_of(r={}, more={"kind": "multiplier", "percent": 120, "exclusive": True})
    assert earned(cart_of(), alone, gold) == {"r": 10, "more": 2}


def test_a_bonus_is_once_in_an_order_or_for_each_piece():
    lines = (item("1", 3_000, 2), item("2", 1_000), item("3", 0, kind="gift"))
    book = book_of(
        once={"kind": "bonus", "points": 10}, each={"kind": "bonus", "points": 3, "per": "piece"}
    )
    found = award(cart_of(*lines), ADA, book, Used())

    assert {each.rule.id: each.points for each in found.rules} == {"once": 10, "each": 9}
    assert found.lines == {"1": 13, "2": 6}


def test_of_a_group_the_rule_that_gives_most_counts():
    book = book_of(
        a={"kind": "bonus", "points": 5, "group": "g"},
        b={"kind": "bonus", "points": 7, "group": "g"},
        c={"kind": "bonus", "points": 7, "group": "g", "priority": -1},
        d={"kind": "bonus", "points": 1},
    )

    assert earned(cart_of(), book) == {"b": 7, "d": 1}
    assert verdicts(cart_of(), book)["a"] == ["group"]


def test_an_exclusive_rule_has_its_lines_to_itself():
    shoes, hats = item("1", 1_000, category=("Shoes",)), item("2", 1_000, category=("Hats",))
    book = book_of(
        all={},
        shoes={"points": 3, "exclusive": True, "lines": {"categories": ["Shoes"]}},
        none={"points": 0, "exclusive": True, "priority": -5, "lines": {"categories": ["Hats"]}},
    )

    assert earned(cart_of(shoes, hats), book) == {"shoes": 30}
    assert verdicts(cart_of(shoes, hats), book) == {
        "all": ["exclusive", "exclusive"],
        "shoes": ["earned", "category"],
        "none": ["category", "gives_none"],
    }


def test_caps_cut_to_the_point_and_are_named():
    book = book_of(r={"caps": {"per_day": 20, "ever": 100, "budget": 1_000}})
    lines = cart_of(item("1", 1_500), item("2", 1_500))

    def after(day=0, ever=0, spent=0):
        used = Used({("r", "2026-11-18"): day, ("r", "ever"): ever}, {"r": spent})
        [one] = award(lines, ADA, book, used).rules
        return one.verdict, one.points, one.cut_by

    assert after() == ("earned", 20, "cap_day")
    assert after(day=20) == ("cap_day", 0, "cap_day")
    assert after(ever=97) == ("earned", 3, "cap_ever")
    assert after(spent=999) == ("earned", 1, "budget")
    assert after(spent=1_000) == ("budget", 0, "budget")


def test_a_day_is_the_stores_own():
    midnight = datetime(2026, 11, 17, 16, 30, tzinfo=UTC)  # 00:30 on the 18th in Shanghai
    used = Used({("r", "2026-11-18"): 5})
    shanghai = cart_of(at=midnight, zone=ZoneInfo("Asia/Shanghai"))

    assert earned(shanghai, book_of(r={"caps": {"per_day": 5}}), used=used) == {}


def test_every_rule_says_why_a_line_earned_nothing():
    lines = (item("1", 40, brand="Acme"), item("2", 0), item("3", 900))
    book = book_of(
        r={},
        dear={"when": {"spend_min_minor": 5_000}},
        shop={"when": {"stores": ["us"]}},
        brand={"lines": {"brands": ["Acme"]}},
        zero={"lines": {"brands": ["Other"]}},
    )

    assert verdicts(cart_of(*lines), book) == {
        "r": ["rounded", "no_amount", "earned"],
        "dear": ["spend_min"] * 3,
        "shop": ["store"] * 3,
        "brand": ["rounded", "brand", "brand"],
        "zero": ["brand"] * 3,
    }


def test_ten_times_the_lines_take_about_ten_times_as_long():
    book = book_of(r={}, **{f"r{n}": {"lines": {"categories": [f"c{n % 7}"]}} for n in range(19)})

    def seconds(count):
        lines = [item(f"{n:05}", 99, category=("Home", f"c{n % 7}")) for n in range(count)]
        began = time.process_time()
        found = award(cart_of(*lines), ADA, book, Used())
        assert found.rules[0].points == count * 99 // 100
        return time.process_time() - began

    small = min(seconds(1_000) for _ in range(3))
    assert min(seconds(10_000) for _ in range(2)) < 40 * small  # each with each would be 100


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "multiplier"}, "percent"),
        ({"percent": 200}, "percent"),
        ({"on": "action", "actions": {"kinds": ["review"]}}, "bonus"),
        ({"on": "action", "kind": "bonus"}, "actions.kinds"),
        ({"exclusive": True, "group": "g"}, "group"),
        ({"points": -1}, "points"),
        ({"points": 1.5}, "points"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_by_its_field(body, field):
    with pytest.raises(ValidationError, match=field):
        EarningRule(**body)


def test_what_a_rulebook_asks_for_is_known():
    body = EarningRule(
        when={"segments": ["vip"], "attributes": {"city": ["Paris"]}, "birthday": {}},
        lines={"categories": ["Shoes"]},
        caps={"per_day": 5, "budget": 10},
    )
    found = asked(Book([("EarningRule", Version("r", 1, NOON, body))]))

    assert found.facts == {"segment/vip", "attribute/city", "birthday"}
    assert (found.products, found.capped, found.budgets) == (True, {"r"}, {"r"})


def reviewed(**attributes):
    return Action("review", cart_of().__class__("web", NOON, UTC, "EUR", ()), attributes)


def test_actions_earn_what_their_rules_give():
    book = book_of(
        plain={"on": "action", "kind": "bonus", "points": 5, "actions": {"kinds": ["review"]}},
        long={
            "on": "action",
            "kind": "bonus",
            "points": 20,
            "actions": {
                "kinds": ["review"],
                "attributes": {"has_image": [True]},
                "at_least": {"length": 50},
            },
            "caps": {"per_month": 30},
        },
        other={"on": "action", "kind": "bonus", "points": 9, "actions": {"kinds": ["quiz"]}},
        orders={},
    )
    used = Used({("long", "2026-11"): 20})

    def told(**attributes):
        found = award_action(reviewed(**attributes), ADA, book, used)
        return found.points, {each.rule.id: each.verdict for each in found.rules}

    assert told(has_image=True, length=60) == (15, {"long": "earned", "plain": "earned"})
    assert told(length=60) == (5, {"long": "action_attribute", "plain": "earned"})
    assert told(has_image=True) == (5, {"long": "action_least", "plain": "earned"})


@pytest.mark.parametrize(("streak", "points"), [(1, 0), (7, 50), (8, 0), (14, 50), (0, 0)])
def test_a_streak_of_check_ins_earns_each_full_week(streak, points):
    body = {"on": "action", "kind": "bonus", "points": 50}
    book = book_of(week=body | {"actions": {"kinds": ["check_in"], "every": 7}})
    did = Action("check_in", Cart("web", NOON, UTC, "EUR", ()), {"streak": streak})

    assert award_action(did, ADA, book, Used()).points == points


AMOUNTS = st.integers(-500, 100_000)
CARTS = st.lists(st.tuples(AMOUNTS, st.integers(1, 5)), min_size=1, max_size=8).map(
    lambda lines: [item(str(n), total, pieces) for n, (total, pieces) in enumerate(lines)]
)
BODIES = st.fixed_dictionaries(
    {
        "points": st.integers(0, 50),
        "step_minor": st.integers(1, 1_000),
        "steps": st.sampled_from(("full", "parts")),
        "rounding": st.sampled_from(("floor", "nearest", "ceil")),
    }
)


@given(CARTS, BODIES, st.integers(101, 999), st.integers(1, 500))
@FAST
def test_lines_sum_to_the_order_and_none_is_below_zero(lines, body, percent, limit):
    book = book_of(
        r=body,
        m={"kind": "multiplier", "percent": percent, "rounding": body["rounding"]},
        b={"kind": "bonus", "points": 7, "caps": {"budget": limit}},
    )
    found = award(cart_of(*lines), ADA, book, Used())

    assert min(found.lines.values()) >= 0
    assert found.points == sum(each.points for each in found.rules)
    base = sum(one.points for one in found.rules if one.rule.id == "r")
    [more] = [one.points for one in found.rules if one.rule.id == "m"]
    assert abs(more * 100 - base * (percent - 100)) < 100


@given(CARTS, BODIES, st.data())
@FAST
def test_more_spend_never_earns_less(lines, body, data):
    place = data.draw(st.integers(0, len(lines) - 1))
    dearer = list(lines)
    more = lines[place].total_minor + data.draw(st.integers(0, 50_000))
    dearer[place] = lines[place]._replace(total_minor=more)
    book = book_of(r=body, m={"kind": "multiplier", "percent": 150})

    one, two = (award(cart_of(*some), ADA, book, Used()).points for some in (lines, dearer))

    assert two >= one


@given(CARTS, BODIES, st.data())
@FAST
def test_an_order_split_in_two_earns_more_by_the_rounding_at_most(lines, body, data):
    lines = [each for each in lines if each.total_minor >= 0]
    cut = data.draw(st.integers(0, len(lines)))
    book = book_of(r=body)

    whole, one, two = (
        award(Cart("web", NOON, UTC, "EUR", tuple(some)), ADA, book, Used()).points
        for some in (lines, lines[:cut], lines[cut:])
    )

    rounds_up = body["steps"] == "parts" and body["rounding"] != "floor"
    assert one + two <= whole + rounds_up


@given(CARTS, BODIES, st.randoms(use_true_random=False))
@FAST
def test_the_same_cart_earns_the_same_in_any_order_of_lines_rules_and_zones(lines, body, random):
    bodies = {"r": body, "s": {"kind": "bonus", "points": 3}, "t": {"points": 2}}
    book = book_of(**bodies)
    mixed, rules_mixed = list(lines), list(book.rules)
    random.shuffle(mixed)
    random.shuffle(rules_mixed)
    elsewhere = NOON.astimezone(ZoneInfo("America/New_York"))

    one = award(cart_of(*lines), ADA, book, Used())
    two = award(cart_of(*mixed, at=elsewhere), ADA, Rulebook(tuple(rules_mixed)), Used())

    assert one == two


def test_no_amount_and_no_point_is_a_float():
    models = [one for one in vars(rules).values() if isinstance(one, type)]
    models += [cart.Item, cart.Cart, awarding.LineAward, awarding.RuleAward, awarding.Awards, Used]
    for model in models:
        if dataclasses.is_dataclass(model) or issubclass(model, BaseModel | tuple):
            for hint in get_type_hints(model, include_extras=True).values():
                assert not mentions_float(hint), model


def mentions_float(hint):
    return hint is float or any(mentions_float(part) for part in get_args(hint))
