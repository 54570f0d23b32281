"""Tiers through the public doors: events in, the card, the history and `tier.changed` out."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.loyalty.store import definitions, members, standings
from services.loyalty.tests.shop import (
    NOON,
    Order,
    erasure,
    histories,
    line,
    merged,
    unmerged,
)
from services.loyalty.tests.test_api import seen
from services.loyalty.work import tiering
from shared.clock import Clock

RUNS = itertools.count()
DB = settings(
    derandomize=True,
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RANKS = [
    {"code": "basic", "threshold": 0},
    {"code": "silver", "threshold": 10_000, "benefits": {"multiplier_percent": 120}},
    {"code": "gold", "threshold": 50_000, "benefits": {"multiplier_percent": 150}},
]
PLAN = {"tiers": RANKS, "starts_at": "2020-01-01T00:00:00Z"}


async def lay_down(door, **more):
    async with door.client() as http:
        answer = await http.put(
            "/v1/tier-plans/default", json=PLAN | more, headers={"Idempotency-Key": "plan"}
        )
        assert answer.status_code == 200, answer.text


def paid(order_id="o1", customer="ada", euros=100, days=0, **more):
    """An order that is paid; it is of `days` after the first of November 2026."""
    order = Order(order_id, customer, (line(total_minor=euros * 100, quantity=10),))
    event = order.event("order.paid", 1)
    return order, replace(event, time=event.time + timedelta(days=days), **more)


def back(order, pieces, days=0, revision=9):
    event = order.change("1", returned=pieces).event("order.returned", revision)
    return replace(event, time=event.time + timedelta(days=days))


def at(moment):
    return Clock(frozen_at=datetime.fromisoformat(moment).replace(tzinfo=UTC))


async def card(door, customer="ada", moment="2026-11-20T00:00:00", status=200):
    async with door.client(clock=at(moment)) as http:
        answer = await http.get(f"/v1/accounts/{customer}/tier")
        assert answer.status_code == status, answer.text
        return answer.json()


async def told(door):
    """What was announced of tiers: customer, direction, tier, reason."""
    events = [event for event in await door.published() if event.type == "tier.changed"]
    return [(e.data.customer_id, e.data.direction, e.data.tier, e.data.reason) for e in events]


async def run_job(door, moment):
    world = replace(door.world, clock=at(moment))
    await tiering.JOB.run(door.engine, world)


async def run_again(door, moment):
    await tiering._run(door.engine, replace(door.world, clock=at(moment)))


async def test_an_order_that_reaches_a_tier_raises_at_once_and_its_return_takes_it_back(door):
    await lay_down(door)
    order, event = paid(euros=100)

    await door.give(event)
    risen = await card(door)
    await door.give(back(order, 1, days=3))
    fallen = await card(door)

    assert (risen["tier"], risen["counted"], risen["valid_until"]) == (
        "silver",
        10_000,
        "2027-01-01T00:00:00Z",
    )
    assert risen["to_next"] == {"tier": "gold", "missing": 40_000, "by": None}
    assert risen["to_stay"] == {"tier": "silver", "missing": 0, "by": "2027-01-01T00:00:00Z"}
    assert (fallen["tier"], fallen["counted"], fallen["valid_until"]) == ("basic", 9_000, None)
    assert await told(door) == [
        ("ada", "up", "silver", "reached"),
        ("ada", "down", "basic", "return"),
    ]


async def test_what_was_bought_on_other_days_of_the_period_counts_on(door):
    await lay_down(door, window="rolling", window_days=30)

    await door.give_singly(
        *[paid(f"o{n}", euros=40, days=days)[1] for n, days in enumerate((0, 9, 18, 27))]
    )

    cards = [await card(door, moment=f"2026-{day}T12:00:00") for day in ("11-28", "12-01", "12-10")]
    assert [each["counted"] for each in cards] == [16_000, 12_000, 8_000]
    assert [each["counted_from"] for each in cards] == ["2026-11-01", "2026-11-02", "2026-11-11"]
    assert {each["tier"] for each in cards} == {"silver"}


async def test_the_history_says_why_and_leads_to_the_event(door, ask):
    await lay_down(door)
    await door.give(paid("o1", euros=50)[1], paid("o2", euros=60, days=1)[1])

    up, first = (await ask("/v1/accounts/ada/tier/history"))["items"]

    assert (first["tier"], first["before"], first["document"]) == ("basic", "", "o1")
    assert (up["tier"], up["reason"], up["qualifying"]) == ("silver", "reached", 11_000)
    assert (up["document"], up["cause_source"], up["cause_id"]) == ("o2", "shop", "o2-1")
    days = (await ask("/v1/accounts/ada/tier/days"))["items"]
    assert [(day["day"], day["spend_minor"], day["orders"], day["points"]) for day in days] == [
        ("2026-11-01", 5_000, 1, 50),
        ("2026-11-02", 6_000, 1, 60),
    ]


async def test_a_year_that_ends_is_told_once_whoever_comes_first(door, other_door):
    for each in (door, other_door):
        await lay_down(each, grace_days=10)
        await each.give(paid(euros=500)[1])
    later = [paid("o2", euros=1, days=500)[1]]

    await run_job(door, "2028-01-11T00:00:00")
    await door.give(*later)
    await other_door.give(*later)
    await run_job(other_door, "2028-01-11T00:00:00")

    expected = [
        ("ada", "up", "gold", "reached"),
        ("ada", "renewed", "gold", "period_end"),
        ("ada", "down", "basic", "grace_over"),
    ]
    one, two = [e for e in await door.published() if e.type == "tier.changed"], []
    two = [e for e in await other_door.published() if e.type == "tier.changed"]
    assert [(e.key, e.data.direction, e.data.tier, e.data.reason) for e in one] == expected
    assert [(e.id, e.time, e.data) for e in one] == [(e.id, e.time, e.data) for e in two]
    assert one[-1].time == datetime(2028, 1, 11, tzinfo=UTC)


async def test_the_job_and_an_event_at_once_end_a_year_once(door):
    await lay_down(door)
    names = [f"c{number}" for number in range(20)]
    await door.give(*[paid(f"o-{name}", name, 500)[1] for name in names])
    await told(door)
    later = [paid(f"p-{name}", name, 1, days=500)[1] for name in names]

    await asyncio.gather(
        run_job(door, "2028-06-01T00:00:00"),
        door.give(*later[:10]),
        run_again(door, "2028-06-01T00:00:00"),
    )
    await door.give(*later[10:])

    events = await told(door)
    for name in names:
        assert [each[1:3] for each in events if each[0] == name] == [
            ("renewed", "gold"),
            ("down", "basic"),
        ]


async def test_an_anniversary_counts_from_the_day_of_joining_if_there_is_one(door):
    await lay_down(door, window="anniversary")
    await door.give(paid(euros=500)[1])
    by_order = await card(door)
    async with door.engine.begin() as conn:
        accounts = await members.lock(conn, ["ada"])
        await standings.set_joined(conn, {accounts["ada"].account_id: date(2026, 2, 1)})

    by_joining = await card(door)

    assert by_order["valid_until"] == "2027-11-01T00:00:00Z"
    assert by_joining["valid_until"] == "2027-02-01T00:00:00Z"


async def test_the_card_does_not_wait_for_the_job(door):
    await lay_down(door)
    await door.give(paid(euros=500)[1])

    cards = [
        await card(door, moment=moment)
        for moment in ("2026-12-31T23:59:59.999000", "2027-12-31T23:59:59", "2028-01-01T00:00:00")
    ]

    assert [each["tier"] for each in cards] == ["gold", "gold", "basic"]
    assert [each["projected"] for each in cards] == ["gold", "basic", "basic"]


async def test_history_that_is_replayed_stays_history(door):
    await lay_down(door)
    await door.give(paid(euros=500, backfill=True)[1], paid("o2", days=500, backfill=True)[1])

    events = [event for event in await door.published() if event.type == "tier.changed"]

    assert len(events) == 4
    assert all(event.backfill for event in events)


async def test_two_ids_count_together_and_an_unmerge_leaves_each_its_own(door):
    await lay_down(door)
    await door.give(paid("o1", "ada", 300)[1], paid("o2", "bob", 300)[1])
    await told(door)
    both = ("ada", "bob")

    await door.give(*[merged(one, "ada", both) for one in both])
    joint = [await card(door, one) for one in both]
    merging = await told(door)
    await door.give(paid("o3", "bob", 10, days=1)[1])
    await door.give(*[unmerged(one, (one,), ("bob",)) for one in both])
    apart = [await card(door, one) for one in both]

    assert [each["tier"] for each in joint] == ["gold", "gold"]
    assert merging == [("ada", "up", "gold", "reached")]
    assert [(each["tier"], each["counted"]) for each in apart] == [
        ("silver", 30_000),
        ("silver", 31_000),
    ]
    assert await told(door) == [
        ("ada", "down", "silver", "unmerged"),
        ("bob", "down", "silver", "unmerged"),
    ]


async def test_the_tier_of_an_order_is_told_in_one_statement_for_all_ids_of_a_person(door):
    await lay_down(door)
    both = ("ada", "bob")
    await door.give(paid("o1", "ada", 300)[1], paid("o2", "bob", 300, days=2)[1])
    await door.give(*[merged(one, "ada", both) for one in both])
    async with door.engine.connect() as conn:
        plans = tiering.plans_in(await definitions.book(conn), door.world.stores)
        now, before, never = (NOON + timedelta(days=days) for days in (5, 1, -1))
        found = await tiering.tiers_at(conn, {"ada": now, "bob": before, "eve": now}, plans)
        past = await tiering.tiers_at(conn, {"ada": never}, plans)

    told_ = {id_: (tier.code, tier.benefits.multiplier_percent) for id_, tier in found.items()}
    assert told_ == {"ada": ("gold", 150), "bob": ("silver", 120), "eve": ("basic", 100)}
    assert past["ada"].code == "basic"


async def test_an_order_is_decided_by_the_tier_that_the_one_before_it_has_reached(door, ask):
    await lay_down(door)
    first, second = paid("o1", euros=500)[1], paid("o2", euros=10, days=1)[1]

    await door.give(first, second)

    told_ = [await ask(f"/v1/orders/{order_id}") for order_id in ("o1", "o2")]
    assert [order["pending"] for order in told_] == [500, 15]


async def test_a_quote_is_what_the_order_would_earn_in_the_customers_tier(door):
    await lay_down(door)
    await door.give(paid("o1", euros=500)[1])
    cart = {"store": "web", "lines": [{"unit_price_minor": 1_000}]}

    async with door.client(clock=at("2026-11-10T00:00:00")) as http:
        quoted = [
            (await http.post("/v1/quotes", json=cart | {"customer_id": who})).json()["points"]
            for who in ("ada", "eve")
        ]

    assert quoted == [15, 10]


async def test_a_storefront_sees_its_own_tier_and_nobody_elses(door, tmp_path):
    await lay_down(door)
    await door.give(paid("o1", "ada")[1], paid("o2", "bob")[1])
    path = "/v1/accounts/{}/tier"

    own, other = [await seen(door, tmp_path, "ada", path.format(one)) for one in ("ada", "bob")]
    days = await seen(door, tmp_path, "ada", "/v1/accounts/bob/tier/days")
    history = await seen(door, tmp_path, "ada", "/v1/accounts/ada/tier/history")
    tiers = await seen(door, tmp_path, "ada", "/v1/tiers")

    assert (own[0], own[1]["tier"]) == (200, "silver")
    assert (other[0], days[0], history[0]) == (404, 404, 403)
    assert [tier["code"] for tier in tiers[1]["tiers"]] == ["basic", "silver", "gold"]


async def test_the_next_one_at_the_browser_does_not_see_the_customers_tier(door, tmp_path):
    await lay_down(door)
    both = ("ada", "anon:1")
    await door.give(paid("o1", "ada", 300)[1], paid("o2", "anon:1", 10)[1])
    await door.give(*[merged(one, "ada", both) for one in both])

    _, customer = await seen(door, tmp_path, "ada", "/v1/accounts/ada/tier")
    _, browser = await seen(door, tmp_path, "anon:1", "/v1/accounts/anon:1/tier")

    assert (customer["counted"], browser["counted"]) == (31_000, 1_000)


async def test_without_a_plan_there_are_no_tiers_and_what_counts_is_kept_for_one(door):
    await door.give(paid(euros=500)[1])
    none = await card(door, status=404)
    await lay_down(door)

    assert "no tier" in none["detail"]
    assert (await card(door))["tier"] == "gold"
    assert await told(door) == []


async def test_the_erased_have_no_tier_and_nothing_that_counts(door):
    await lay_down(door)
    await door.give(paid(euros=500)[1])

    await door.give(erasure("ada"))

    await card(door, status=404)
    left = await door.query(
        "SELECT (SELECT count(*) FROM standing), (SELECT count(*) FROM qualifying)"
    )
    assert tuple(left[0]) == (0, 0)
    await run_job(door, "2030-01-01T00:00:00")


async def test_the_history_is_append_only(door):
    rights = await door.query("""
        SELECT has_table_privilege('tier_history', 'INSERT'),
            has_table_privilege('tier_history', 'UPDATE, DELETE, TRUNCATE')
    """)

    assert tuple(rights[0]) == (True, False)


async def test_test_orders_and_excluded_stores_count_for_nothing(door):
    await lay_down(door)
    order = Order("o1", "ada", (line(total_minor=50_000),))
    await door.give(order.event("order.paid", 1, test=True))
    await door.give(replace(order, order_id="o2").event("order.paid", 1, store="outlet"))

    await card(door, status=404)


async def tables(door):
    """What is kept of tiers, without what tells when it was written."""
    days = await door.query("""
        SELECT customer_id, day, spend_minor, orders, points
        FROM qualifying JOIN member USING (account_id) ORDER BY 1, 2
    """)
    now = await door.query("""
        SELECT customer_id, tier, since, valid_until, version, due_at
        FROM standing JOIN member USING (account_id) ORDER BY 1
    """)
    past = await door.query("""
        SELECT customer_id, version, tier, direction, reason, at, document
        FROM tier_history JOIN member USING (account_id) ORDER BY 1, 2
    """)
    return [[tuple(row) for row in rows] for rows in (days, now, past)]


@DB
@given(st.data())
async def test_any_cutting_of_the_stream_leaves_the_same_tiers(door, other_door, data):
    run = next(RUNS)
    for each in (door, other_door):
        await lay_down(each) if run == 0 else None
    events = [
        event
        for number in range(3)
        for event in data.draw(histories(f"r{run}-{number}", f"c{run}-{number % 2}"))
    ]
    events = [
        replace(event, time=event.time + timedelta(days=30 * number))
        for number, event in enumerate(data.draw(st.permutations(events)))
    ]
    cut = data.draw(st.integers(0, len(events)))

    await door.give(*events[:cut])
    await door.give(*events[cut:])
    await other_door.give_singly(*events)

    assert await tables(door) == await tables(other_door)
    kept = sum(row[4] for row in (await tables(door))[0])
    [[held]] = await door.query("SELECT sum(pending + active)::bigint FROM balance")
    assert kept == held or held is None
