"""What points cost, by what gave them: each posting once, and none that nobody was given."""

from datetime import date

from services.loyalty.tests.closer import TODAY, costs_tie, on, send
from services.loyalty.tests.shop import Order, line
from services.loyalty.tests.test_actions import review
from services.loyalty.tests.test_referrals import PROGRAMME, invited, registered, settle_all

RULES = {
    "rules/spend": {"points": 1},
    "rules/half-more": {"kind": "multiplier", "percent": 150},
    "rules/fixed": {"kind": "bonus", "points": 50},
}
ALL = {"delivered": "all", "shipped": "all"}


async def lay_down_all(door, terms):
    async with door.client("loyalty:admin") as http:
        for path, more in terms.items():
            body = {"starts_at": "2000-01-01T00:00:00Z", **more}
            done = await http.put(f"/v1/{path}", json=body, headers={"Idempotency-Key": path})
            assert done.status_code == 200, done.text


async def decide(door, order_id, what):
    async with door.client("loyalty:admin", clock=TODAY) as http:
        done = await send(http, f"/v1/held/{order_id}/{what}", {})
        assert done.status_code == 200, done.text


def by_rule(found):
    return {
        (row["source"], row["name"]): (row["points"], row["reversed"]) for row in found["rules"]
    }


async def test_each_rule_has_what_it_gave_also_of_an_order_that_was_changed(door):
    await lay_down_all(door, RULES)
    order = Order(lines=(line("1", 1000),))
    dearer = order.every(total_minor=2000, **ALL)
    cheaper = order.every(total_minor=1500, **ALL)

    await door.give(*on("2026-11-05", *order.life()))
    first = await costs_tie(door)
    await door.give(*on("2026-11-06", dearer.event("order.changed", 5)))
    more = await costs_tie(door)
    await door.give(*on("2026-11-07", cheaper.event("order.changed", 6)))
    less = await costs_tie(door)
    await door.give(*on("2026-11-08", cheaper.every(returned="all").event("order.returned", 7)))
    nothing = await costs_tie(door)

    spend, half_more, fixed = (("order", name) for name in ("spend", "half-more", "fixed"))
    assert by_rule(first) == {spend: (10, 0), half_more: (5, 0), fixed: (50, 0)}
    assert by_rule(more) == {spend: (20, 0), half_more: (10, 0), fixed: (50, 0)}
    assert by_rule(less) == {spend: (20, 5), half_more: (10, 3), fixed: (50, 0)}
    assert by_rule(nothing) == {spend: (20, 20), half_more: (10, 10), fixed: (50, 50)}


async def test_actions_and_both_sides_of_referrals_are_given_too(door):
    welcome = {"on": "action", "kind": "bonus", "points": 7, "actions": {"kinds": ["registration"]}}
    looks = {"on": "action", "kind": "bonus", "points": 20, "actions": {"kinds": ["review"]}}
    more = {"rules/welcome": welcome, "rules/review": looks}
    await lay_down_all(door, {**RULES, **more, "referral-programmes/default": PROGRAMME})
    order = Order("o-bob", "bob", (line("1", 2000),))
    await door.give(invited("ada", "bob"), registered("bob"), review(), *order.life())
    await settle_all(door)

    given = await costs_tie(door)
    await door.give(order.every(returned="all", **ALL).event("order.returned", 5))
    await settle_all(door)
    back = await costs_tie(door)

    orders = {
        ("order", name): points
        for name, points in (("spend", 20), ("half-more", 10), ("fixed", 50))
    }
    sides = {("referral", "friend"): 200, ("referral", "referrer"): 500}
    actions = {("action", "review"): (20, 0), ("action", "welcome"): (7, 0)}
    gone = orders | sides
    assert by_rule(given) == actions | {name: (points, 0) for name, points in gone.items()}
    assert by_rule(back) == actions | {name: (points, points) for name, points in gone.items()}


async def test_what_waits_for_review_or_was_declined_was_given_by_no_rule(door):
    await lay_down_all(door, {"earning-limits/default": {"order_points_max": 100}})
    big = [Order(f"o{n}", f"c{n}", (line("1", 20_000),)) for n in (1, 2)]
    await door.give(*on("2026-11-05", *big[0].life(), *big[1].life(), *Order("o3").life()))

    held = await costs_tie(door)
    await decide(door, "o1", "decline")
    await decide(door, "o2", "release")
    decided = await costs_tie(door)

    assert (held["earned"], held["withheld"]) == (410, {"points": 400, "reversed": 0})
    assert by_rule(held) == {("order", "base"): (10, 0)}
    assert (decided["earned"], decided["withheld"]) == (410, {"points": 200, "reversed": 200})
    assert by_rule(decided) == {("order", "base"): (210, 0)}


async def test_days_have_what_was_booked_for_them_and_not_what_was_decided_in_them(door):
    await lay_down_all(door, RULES)
    await door.give(*on("2026-10-31", *Order().life()[:2]))
    await door.give(*on("2026-11-01", *Order().life()[2:], *Order("o2", "bob").life()))

    october = await costs_tie(door, date(2026, 10, 1), date(2026, 11, 1))
    november = await costs_tie(door, date(2026, 11, 1), date(2026, 12, 1))

    assert october["earned"] == november["earned"] == 65


async def test_a_part_that_comes_back_is_shared_out_to_the_last_point(door):
    await lay_down_all(door, RULES)
    order = Order(lines=(line("1", 1500),))
    await door.give(*order.life())
    await door.give(order.every(refunded_minor=100, **ALL).event("order.refunded", 5))

    found = await costs_tie(door)

    assert [points for _, points in by_rule(found).values()] == [2, 1, 1], (
        "4 of 72, by 50, 7 and 15"
    )
