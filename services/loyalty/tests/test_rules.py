"""Earning rules end to end: laid down, followed, decided, counted, quoted, explained, tried."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.loyalty.tests.shop import NOON, Order, erasure, line, merged, profile_event
from shared.clock import Clock
from shared.events import codec
from shared.events.catalog import ProductPublished, ProductWithdrawn
from shared.events.customers import CustomerRegistered, CustomerUpdated
from shared.events.profiles import ProfileChanged, SegmentEntered, SegmentLeft
from shared.keys import dev_token

KEYS = itertools.count()
LONG_AGO = "2020-01-01T00:00:00Z"
NOW = Clock(frozen_at=NOON + timedelta(days=1))


@pytest.fixture
async def http(door):
    async with door.client(clock=NOW) as client:
        yield client


async def lay_down(http, id_, etag=None, status=200, **body):
    headers = {"Idempotency-Key": str(next(KEYS))} | ({"If-Match": etag} if etag else {})
    body = body if etag else {"starts_at": LONG_AGO} | body
    answer = await http.put(f"/v1/rules/{id_}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.headers.get("etag")


async def post(http, path, status=200, **body):
    answer = await http.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def quote(http, customer_id=None, status=200, lines=None, **more):
    lines = lines or [{"unit_price_minor": 1_000, "product_id": "mug"}]
    more |= {"customer_id": customer_id} if customer_id else {}
    return post(http, "/v1/quotes", status, store="web", lines=lines, **more)


async def earned(http, order_id="o1"):
    told = (await http.get(f"/v1/orders/{order_id}")).json()
    return {
        rule["rule_id"]: rule["points"]
        for each in told["lines"]
        for rule in each["rules"]
        if rule["points"]
    }


def paid(order_id="o1", customer="ada", total=1_000, **more):
    order = Order(order_id, customer, (line("1", total, product_id="mug"),), more=more)
    return order.event("order.paid", 1)


def published(product_id="mug", minute=0, **more):
    data = ProductPublished(product_id=product_id, name="A thing", **more)
    time = NOON - timedelta(hours=1) + timedelta(minutes=minute)
    return codec.make(
        "product.published", data, id=f"{product_id}-{minute}", source="shop", time=time
    )


def segment(name="vip", customer="ada", *, left=False, minute=0):
    kind, type_ = (SegmentLeft, "segment.left") if left else (SegmentEntered, "segment.entered")
    data = kind(customer_id=customer, canonical_id=customer, segment_id=name)
    event = profile_event(type_, data, f"{name}-{customer}-{minute}")
    return replace(event, time=NOON - timedelta(hours=1) + timedelta(minutes=minute))


def changed(version, minute=0, customer="ada", **attributes):
    data = ProfileChanged(
        customer_id=customer, canonical_id=customer, version=version, attributes=attributes
    )
    event = profile_event("profile.changed", data, f"changed-{customer}-{version}")
    return replace(event, time=NOON - timedelta(hours=1) + timedelta(minutes=minute))


def registered(customer="ada", birthday="1990-11-01", minute=0, kind=CustomerRegistered):
    type_ = "customer.registered" if kind is CustomerRegistered else "customer.updated"
    data = kind(customer_id=customer, birthday=birthday)
    time = NOON - timedelta(hours=1) + timedelta(minutes=minute)
    return codec.make(type_, data, id=f"r-{customer}-{minute}", source="shop", time=time)


async def test_an_order_earns_by_what_the_catalogue_and_profile_say(door, http):
    await lay_down(http, "plain")
    await lay_down(http, "mugs", kind="bonus", points=7, lines={"categories": ["Kitchen"]})
    await lay_down(http, "red", kind="bonus", points=2, lines={"attributes": {"colour": ["red"]}})
    await lay_down(http, "vips", kind="multiplier", percent=200, when={"segments": ["vip"]})
    await lay_down(http, "cats", kind="bonus", points=3, when={"attributes": {"pet": ["cat"]}})
    await lay_down(http, "day", kind="bonus", points=5, when={"birthday": {}})
    red = {"sku": "mug-red", "attributes": {"colour": "red"}}
    await door.give(
        published(category=("Home", "Kitchen"), variants=(red,)),
        segment(),
        changed(1, pet="cat"),
        registered(),
        paid(),
        paid("o2", "bob"),
    )

    assert await earned(http) == {"plain": 10, "mugs": 7, "vips": 10, "cats": 3, "day": 5}
    assert await earned(http, "o2") == {"plain": 10, "mugs": 7}
    told = {e.data.order_id: e.data for e in await door.published() if e.type == "points.earned"}
    assert [rule.rule_id for rule in told["o1"].rules] == ["plain", "vips", "mugs", "day", "cats"]
    assert (told["o2"].rule_id, told["o2"].rules[1].rule_id) == ("plain", "mugs")
    reds = await quote(
        http, lines=[{"unit_price_minor": 100, "product_id": "mug", "sku": "mug-red"}]
    )
    assert {r["rule_id"] for r in reds["rules"] if r["points"]} == {"plain", "mugs", "red"}


RUNS = itertools.count()
DB = settings(
    derandomize=True,
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(st.data())
@DB
async def test_what_is_followed_is_the_newest_in_any_order_and_cutting(door, data):
    run = next(RUNS)
    ada, mug = f"ada-{run}", f"mug-{run}"
    gone = codec.make(
        "product.withdrawn", ProductWithdrawn(product_id=mug), id=f"w{run}", source="s", time=NOON
    )
    told = [
        published(mug, 1, category=("Old",)),
        published(mug, 2, category=("New",), brand="Acme"),
        gone,
        segment("vip", ada, minute=1),
        segment("vip", ada, minute=3, left=True),
        segment("new", ada, minute=2),
        changed(1, 1, ada, pet="cat", city="Paris"),
        changed(2, 2, ada, pet=None),
        registered(ada, "1990-01-01", 1),
        registered(ada, "1990-02-02", 2, CustomerUpdated),
    ]
    told = data.draw(st.permutations([*told, *data.draw(st.lists(st.sampled_from(told)))]))
    cut = data.draw(st.integers(0, len(told)))

    for part in filter(None, (told[:cut], told[cut:])):
        await door.give(*part)

    facts = await door.query(
        "SELECT name, value FROM shopper_fact WHERE customer_id = :ada ORDER BY name", ada=ada
    )
    assert {name: value for name, value in facts if value is not None} == {
        "attribute/city": "Paris",
        "birthday": "1990-02-02",
        "joined": (NOON - timedelta(minutes=59)).isoformat(),
        "segment/new": True,
    }
    [product] = await door.query(
        "SELECT category, brand FROM product WHERE product_id = :mug", mug=mug
    )
    assert tuple(product) == (["New"], "Acme")


async def test_a_quote_is_what_the_order_then_earns_and_writes_nothing(door, http):
    await lay_down(http, "plain", points=3, steps="parts", rounding="nearest")
    await lay_down(http, "first", kind="bonus", points=50, when={"order_number": 1})
    await lay_down(http, "vips", kind="multiplier", percent=150, when={"segments": ["vip"]})
    await lay_down(http, "capped", points=2, caps={"per_month": 31, "budget": 1_000})
    await door.give(segment(), paid("o1", total=900))
    lines = [{"unit_price_minor": 777, "quantity": 3}, {"unit_price_minor": 50, "kind": "shipping"}]
    counts = "SELECT sum(n_live_tup) FROM pg_stat_user_tables WHERE relname <> 'audit'"
    before = await door.query(counts)

    told = await quote(http, "ada", lines=lines, at=NOON.isoformat())
    bought = Order("o2", "ada", (line("1", 2_331, 3), line("2", 50, kind="shipping")))
    assert await door.query(counts) == before
    await door.give(replace(bought.event("order.paid", 1), time=NOON))

    explained = (await http.get("/v1/orders/o2/explanation")).json()
    assert explained["points"] == told["points"] > 0
    assert explained["lines"] == told["lines"]
    assert explained["rules"] == told["rules"]
    assert explained["other_lines"] == [{"line_id": "2", "kind": "shipping"}]
    cut = {rule["rule_id"]: (rule["verdict"], rule["cut_by"]) for rule in told["rules"]}
    assert cut["capped"] == ("earned", "cap_month")
    assert cut["first"] == ("order_number", "")


async def test_a_quote_at_a_future_time_knows_the_campaign_to_come(door, http):
    await lay_down(http, "plain")
    await lay_down(http, "double", kind="multiplier", percent=200, starts_at="2027-01-01T00:00:00Z")

    now, later = await quote(http), await quote(http, at="2027-01-02T00:00:00Z")

    assert (now["points"], later["points"]) == (10, 20)


async def test_a_storefront_quotes_for_its_own_customer_and_for_now(door, tmp_path, http):
    await lay_down(http, "vips", kind="bonus", points=5, when={"segments": ["vip"]})
    await door.give(segment())
    http.headers["Authorization"] = f"Bearer {dev_token('ada', tmp_path)}"

    assert (await quote(http))["points"] == 5
    assert (await quote(http, "ada"))["points"] == 5
    await quote(http, "bob", status=404)
    await quote(http, "ada", status=403, at="2027-01-02T00:00:00Z")
    assert (await http.get("/v1/orders/o1/explanation")).status_code == 403


async def test_what_an_order_earns_again_is_told_with_all_rules_that_gave_it(door, http):
    await lay_down(http, "plain")
    await lay_down(http, "bonus", kind="bonus", points=50)
    order = Order("o1", "ada", (line("1", 1_000, product_id="mug"),))

    await door.give(paid("o1"))
    await door.give(order.every(cancelled=1).event("order.cancelled", 2))
    await door.give(order.event("order.shipped", 3))

    told = [e.data for e in await door.published() if e.type == "points.earned"]
    named = [[(rule.rule_id, rule.rule_version) for rule in one.rules] for one in told]
    assert named == [[("bonus", 1), ("plain", 1)]] * 2
    assert [(one.rule_id, one.points) for one in told] == [("bonus", 60)] * 2


async def test_an_order_is_judged_by_the_rules_of_the_day_it_was_placed(door, http):
    etag = await lay_down(http, "r", points=1)
    placed = {"placed_at": NOON}
    await door.give(paid(**placed))
    await lay_down(http, "r", etag, points=9)  # from tomorrow noon on
    late = NOON + timedelta(days=9)

    await door.give(replace(paid("o2", total=2_000, **placed), time=late))
    dearer = Order("o1", "ada", (line("1", 3_000, product_id="mug"),), more=placed)
    await door.give(replace(dearer.event("order.changed", 2), time=late))
    await door.give(paid("o3", placed_at=late))

    assert [await earned(http, id_) for id_ in ("o1", "o2", "o3")] == [
        {"r": 30},
        {"r": 20},
        {"r": 90},
    ]


async def test_a_return_takes_back_what_was_earned_whatever_the_rules_say_by_then(door, http):
    etag = await lay_down(http, "r", points=3)
    await lay_down(http, "b", kind="bonus", points=10)
    order = Order("o1", "ada", (line("1", 1_000, 2), line("2", 500)))
    await door.give(*order.life())
    await lay_down(http, "r", etag, enabled=False)

    async def held():
        account = (await http.get("/v1/accounts/ada")).json()
        return account["active"]

    assert await held() == 55
    order = order.every(delivered="all").change("1", returned=1)
    await door.give(order.event("order.returned", 5))
    assert await held() == 37  # of the first line 36: 30 and 6 of the bonus
    await door.give(order.every(returned="all").event("order.returned", 6))
    assert await held() == 0


async def test_a_cap_holds_for_the_member_and_a_return_frees_it(door, http):
    await lay_down(http, "r", caps={"per_month": 15, "budget": 40})
    await door.give(paid("o1"), paid("o2"))
    await door.give(paid("o3"))
    assert [await earned(http, id_) for id_ in ("o1", "o2", "o3")] == [{"r": 10}, {"r": 5}, {}]

    gone = Order("o1", "ada", (line("1", 1_000, product_id="mug", returned=1),))
    await door.give(gone.event("order.returned", 2), paid("o4"))

    assert await earned(http, "o4") == {"r": 10}
    spent = await door.query("SELECT spent FROM rule_budget")
    counted = await door.query("SELECT amount FROM tally WHERE subject = 'rule/r'")
    assert (spent, counted) == ([(15,)], [(15,)])


async def test_a_cap_holds_for_all_ids_of_a_person(door, http):
    await lay_down(http, "r", caps={"ever": 15})
    both = ("ada", "anon:1")
    await door.give(*[merged(one, "ada", both) for one in both])

    await door.give(paid("o1", "ada"), paid("o2", "anon:1"))
    await door.give(paid("o3", "ada"))

    assert [await earned(http, id_) for id_ in ("o1", "o2", "o3")] == [{"r": 10}, {"r": 5}, {}]


async def test_the_first_order_is_the_first_that_is_kept(door, http):
    await lay_down(http, "first", kind="bonus", points=50, when={"order_number": 1})
    await door.give(paid("o1"), paid("o2"))
    assert [await earned(http, id_) for id_ in ("o1", "o2")] == [{"first": 50}, {}]

    dearer = Order("o1", "ada", (line("1", 2_000, product_id="mug"),))
    await door.give(dearer.event("order.changed", 2))
    assert await earned(http) == {"first": 50}, "it still is his first"

    every = [Order(id_, "ada", (line("1", 1_000, cancelled=1),)) for id_ in ("o1", "o2")]
    await door.give(*[one.event("order.cancelled", 3) for one in every], paid("o3"))
    assert await earned(http, "o3") == {"first": 50}


async def test_budgets_and_caps_hold_under_concurrency(door, http):
    await lay_down(http, "budget", caps={"budget": 95})
    await lay_down(http, "member", kind="bonus", points=7, caps={"ever": 20})
    both = ("ada", "anon:1")
    await door.give(*[merged(one, "ada", both) for one in both])
    owners = [*(f"c{n}" for n in range(14)), *(both * 3)]
    orders = [paid(f"o{n}", owner) for n, owner in enumerate(owners)]
    batches = [door.log.append(event, partition=n % 4) for n, event in enumerate(orders)]
    by_partition = [[m for m in batches if m.partition == n] for n in range(4)]

    await asyncio.gather(*[door.handle(some) for some in by_partition])

    budget = await door.query(
        "SELECT sum(points) FROM award_snapshot WHERE rule_id = 'budget' GROUP BY rule_id"
    )
    member = await door.query("""
        SELECT sum(a.points) FROM award_snapshot AS a JOIN order_state USING (order_id)
        WHERE a.rule_id = 'member' AND customer_id IN ('ada', 'anon:1')
    """)
    assert (budget, member) == ([(95,)], [(20,)])
    assert await door.query("SELECT spent FROM rule_budget") == [(95,)]
    assert not await door.query("SELECT * FROM dead_letter")


async def test_a_redelivered_batch_counts_once(door, http):
    await lay_down(http, "r", caps={"per_month": 100, "budget": 500})
    await door.give(paid("o1"), paid("o2"))

    await door.again(*door.log.messages)
    await door.give(replace(paid("o1"), id="again"))

    assert await door.query("SELECT spent FROM rule_budget") == [(20,)]


async def test_a_rule_is_tried_on_past_orders_before_it_is_switched_on(door, http):
    await lay_down(http, "r")
    await door.give(*[paid(f"o{n}", f"c{n % 3}", 500 * n) for n in range(1, 7)])
    span = {"since": (NOON - timedelta(days=1)).isoformat(), "until": NOW.now().isoformat()}
    path = "/v1/rules/{}/back-test"
    rows = "SELECT count(*) FROM order_decision UNION ALL SELECT count(*) FROM definition"
    before = await door.query(rows)

    dear = {"kind": "bonus", "points": 100, "when": {"spend_min_minor": 2_500}}
    more = await post(http, path.format("dear"), rule=dear, **span)
    less = await post(http, path.format("r"), rule={"step_minor": 200}, **span)
    part = await post(http, path.format("r"), orders_max=2, **span)
    await post(http, path.format("none"), 404, **span)
    await post(http, path.format("r"), 422, rule={}, version=1, **span)

    assert (more["orders"], more["complete"], more["points_awarded"]) == (6, True, 105)
    assert (more["points_before"], more["cost_points"], more["cost_minor"]) == (105, 200, 200)
    assert (more["orders_up"], more["members_up"], more["members_down"]) == (2, 2, 0)
    assert [each["points"] for each in more["top_winners"]] == [100, 100]
    assert (less["cost_points"], less["orders_down"], less["members_down"]) == (-54, 6, 3)
    assert (part["orders"], part["complete"], part["cost_points"]) == (2, False, 0)
    assert await door.query(rows) == before


async def test_a_reserved_id_is_refused_and_so_is_who_may_not(door, http):
    await lay_down(http, "base", status=422)
    await lay_down(http, "tier", status=422)
    async with door.client("loyalty:read") as reader:
        await lay_down(reader, "r", status=403)


async def test_what_is_known_of_a_customer_is_erased_with_him(door, http):
    await lay_down(http, "r", when={"segments": ["vip"]}, caps={"ever": 50})
    await door.give(segment(), registered(), paid(), paid("o2", "bob"))

    await door.give(erasure("ada"))

    for table in ("shopper_fact", "tally"):
        rows = await door.query(f"SELECT * FROM {table} WHERE customer_id = 'ada'")
        assert not rows, table
    shoppers = await door.query("SELECT order_id, shopper FROM order_decision ORDER BY 1")
    assert [(id_, bool(shopper)) for id_, shopper in shoppers] == [("o1", False), ("o2", False)]


async def test_actions_of_rules_can_be_laid_down(door, http):
    await lay_down(
        http, "review", on="action", kind="bonus", points=5, actions={"kinds": ["review"]}
    )
    assert (await quote(http))["points"] == 10, "orders still have their default"
