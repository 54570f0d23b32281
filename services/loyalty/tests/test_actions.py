"""Points for what customers do beside ordering: each thing once, whatever is sent again."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.earning.actions import Done, Streak, streaks
from services.loyalty.jobs import celebrating
from services.loyalty.tests import test_tiering
from services.loyalty.tests.conftest import STORES
from services.loyalty.tests.shop import NOON, Order, erasure, merged
from services.loyalty.tests.test_worker import balanced
from shared.clock import Clock
from shared.events import codec
from shared.events.customers import CustomerRegistered
from shared.events.engagement import ActivityCompleted, UgcPublished
from shared.events.feedback import ReviewSubmitted, SurveyAnswered

RULES = {
    "welcome": {"kinds": ["registration"]},
    "review": {"kinds": ["review"], "at_least": {"length": 10}},
    "survey": {"kinds": ["survey"]},
    "check-in": {"kinds": ["check_in"]},
    "full-week": {"kinds": ["check_in"], "every": 7},
    "quiz": {"kinds": ["quiz"], "attributes": {"won": [True]}},
    "post": {"kinds": ["ugc"]},
    "birthday": {"kinds": ["birthday"]},
    "anniversary": {"kinds": ["anniversary"]},
}
POINTS = dict(zip(RULES, (100, 20, 5, 1, 50, 30, 10, 200, 80), strict=True))


@pytest.fixture
async def lay_down(door):
    """Lay down all rules, with more said of some."""

    async def put(**more):
        async with door.client() as http:
            for name, actions in RULES.items():
                body = {
                    "on": "action",
                    "kind": "bonus",
                    "points": POINTS[name],
                    "actions": actions,
                    "starts_at": "2000-01-01T00:00:00Z",
                    **more.get(name.replace("-", "_"), {}),
                }
                answer = await http.put(
                    f"/v1/rules/{name}", json=body, headers={"Idempotency-Key": name}
                )
                assert answer.status_code == 200, answer.text

    return put


def event(type_, fact, id_, at=NOON):
    return codec.make(type_, fact, id=id_, source="shop", time=at)


def registered(customer="ada", at=NOON, **more):
    return event(
        "customer.registered", CustomerRegistered(customer_id=customer, **more), f"r-{customer}", at
    )


def review(id_="v1", body="A very fine mug", customer="ada"):
    fact = ReviewSubmitted(
        customer_id=customer, review_id=id_, product_id="mug", rating=5, review_body=body
    )
    return event("review.submitted", fact, f"e-{id_}")


def activity(kind, id_, at=NOON, customer="ada", **more):
    fact = ActivityCompleted(customer_id=customer, kind=kind, activity_id=id_, **more)
    return event("activity.completed", fact, f"{kind}-{id_}-{at:%d%H}-{customer}", at)


async def active(ask, customer="ada"):
    return (await ask(f"/v1/accounts/{customer}"))["active"]


async def test_each_thing_earns_once_and_says_why(door, ask, lay_down):
    await lay_down()
    survey = SurveyAnswered(customer_id="ada", survey_id="s1", kind="nps", score=9)
    post = UgcPublished(customer_id="ada", content_id="c1", body="Look!")
    events = [
        registered(),
        review(),
        event("survey.answered", survey, "s1"),
        activity("quiz", "q1", won=True),
        event("ugc.published", post, "c1"),
    ]

    await door.give(*events)
    await door.give(*[replace(each, id=f"again-{each.id}") for each in events])
    await door.again(*door.log.messages)
    await door.give(review("v2", "short"), activity("quiz", "q2", won=False))

    assert await active(ask) == 100 + 20 + 5 + 30 + 10
    told = [e for e in await door.published() if e.type == "points.earned"]
    assert {e.data.reason: e.data.rules[0].rule_id for e in told}["quiz"] == "quiz"
    assert sorted((e.data.reason, e.data.points) for e in told) == [
        ("quiz", 30),
        ("registration", 100),
        ("review", 20),
        ("survey", 5),
        ("ugc", 10),
    ]
    done = (await ask("/v1/accounts/ada/actions"))["items"]
    verdicts = {each["thing"]: each["verdicts"][0]["verdict"] for each in done}
    assert (verdicts["v1"], verdicts["v2"], verdicts["q2"]) == (
        "earned",
        "action_least",
        "action_attribute",
    )
    await balanced(ask)


async def test_without_a_rule_nothing_is_kept_and_guests_earn_nothing(door, ask, lay_down):
    await door.give(registered())
    await lay_down()
    await door.give(activity("quiz", "q1", customer="guest:o1", won=True))

    assert await door.query("SELECT * FROM action") == []
    await ask("/v1/accounts/ada", status=404)


async def test_a_week_of_check_ins_in_a_row_earns_its_bonus(door, ask, lay_down):
    await lay_down()
    days = [NOON + timedelta(days=n) for n in range(9)]

    for at in days[:3]:
        await door.give(activity("check_in", "app", at), activity("check_in", "app", at))
        await door.give(activity("check_in", "app", at + timedelta(hours=2)))  # the same day
    await door.give(*[activity("check_in", "app", at) for at in days[3:7]])
    a_week = await active(ask)
    await door.give(activity("check_in", "app", days[8]))  # a day left out

    assert a_week == 7 + 50
    [streak] = await door.query("SELECT days, last_day FROM streak")
    assert streak == (1, days[8].date())


async def test_a_day_that_comes_late_is_no_week_again(door, ask, lay_down):
    await lay_down()
    days = [NOON + timedelta(days=n) for n in range(7)]
    await door.give(*[activity("check_in", "app", at) for at in days])
    a_week = await active(ask)

    for late in range(1, 4):
        await door.give(activity("check_in", "app", NOON - timedelta(days=late)))

    assert await active(ask) == a_week + 3, "a point for each day, and no bonus"
    [streak] = await door.query("SELECT days, last_day FROM streak")
    assert streak == (7, days[6].date())


async def test_caps_and_budgets_hold_for_actions_too(door, ask, lay_down):
    await lay_down(review={"caps": {"per_day": 50}}, quiz={"caps": {"budget": 70}})

    await door.give(*[review(f"v{n}") for n in range(5)])
    await asyncio.gather(
        *(door.give(activity("quiz", "q1", customer=f"c{n}", won=True)) for n in range(4)),
        return_exceptions=True,
    )
    await door.again(*door.log.messages)

    assert await active(ask) == 50
    given = await door.query("SELECT sum(points)::int AS points FROM action WHERE kind = 'quiz'")
    assert given[0].points == 70
    await balanced(ask)


async def congratulate(door, now):
    await celebrating.congratulate(door.engine, replace(door.world, clock=Clock(frozen_at=now)))


@pytest.mark.parametrize(
    ("born", "day"),
    [("1990-11-20", datetime(2026, 11, 20)), ("--02-29", datetime(2027, 3, 1))],  # noqa: DTZ001
)
async def test_a_birthday_is_once_a_year_whatever_the_clock_does(door, ask, lay_down, born, day):
    await lay_down()
    day = day.replace(tzinfo=UTC)
    await door.give(registered(birthday=born), *Order().life())
    before = await active(ask)

    seen = []
    for now in (-1, 0, 0, 3, -200, 0, 8, 366, 369):
        await congratulate(door, day + timedelta(days=now))
        seen.append(await active(ask) - before)
    [[account_id]] = await door.query("SELECT account_id::text FROM member")
    history = await ask("/v1/accounts/ada/history")

    assert account_id not in str(history), "his name and the books have no third in common"
    assert seen == [0, 200, 200, 200, 200, 200, 200, 400, 400]


async def test_a_person_of_several_ids_is_congratulated_once_a_year(door, ask, lay_down):
    await lay_down()
    ids = ("ada", "anon:1", "anon:2")
    await door.give(*[merged(one, "ada", ids) for one in ids])
    births = zip(ids, ("--11-20", "--11-20", "--11-22"), strict=True)
    await door.give(*[registered(one, birthday=day) for one, day in births])
    before = await active(ask)

    for days in (0, 2, 365):
        await congratulate(door, datetime(2026, 11, 20, tzinfo=UTC) + timedelta(days))

    assert await active(ask) - before == 400
    await balanced(ask)


async def test_a_rule_for_actions_may_ask_for_a_tier(door, ask, lay_down):
    await lay_down(review={"when": {"tiers": ["silver"]}})
    tiers = [{"code": c, "threshold": n} for c, n in (("basic", 0), ("silver", 10))]
    await test_tiering.lay_down(door, tiers=tiers, counter="points", points_of="orders")
    await door.give(*Order().life(), activity("check_in", "app", customer="bob"))
    before = await active(ask)

    await door.give(review(), review("v2", customer="bob"))

    assert (await active(ask) - before, await active(ask, "bob")) == (20, 1)


async def test_an_anniversary_comes_a_year_after_joining(door, ask, lay_down):
    await lay_down()
    await door.give(registered(at=datetime(2025, 11, 20, tzinfo=UTC)), registered("bob"))

    await congratulate(door, datetime(2026, 11, 21, tzinfo=UTC))

    assert (await active(ask), await active(ask, "bob")) == (180, 100)


async def test_two_jobs_at_once_congratulate_once(door, ask, lay_down):
    await lay_down()
    members = [registered(f"c{n}", birthday="--11-20") for n in range(30)]
    await door.give(*members)
    day = datetime(2026, 11, 20, tzinfo=UTC)

    await asyncio.gather(congratulate(door, day), congratulate(door, day), return_exceptions=True)
    await congratulate(door, day)

    assert {await active(ask, f"c{n}") for n in range(30)} == {300}
    await balanced(ask)


@pytest.mark.parametrize(
    ("points_of", "ranks"), [("orders_and_actions", "silver silver gold"), ("orders", "basic " * 3)]
)
async def test_points_of_actions_count_for_the_tier_where_the_plan_says_so(
    door, lay_down, points_of, ranks
):
    await lay_down()
    tiers = [{"code": c, "threshold": n} for c, n in (("basic", 0), ("silver", 120), ("gold", 320))]
    await test_tiering.lay_down(door, tiers=tiers, counter="points", points_of=points_of)
    both = ("ada", "anon:1")
    await door.give(*[merged(one, "ada", both) for one in both])
    tier = []

    await door.give(registered(birthday="--11-20"), review(customer="anon:1"))
    tier.append((await test_tiering.card(door, "anon:1"))["tier"])
    await door.give(*[replace(e, id=f"again-{e.id}") for e in (review(customer="anon:1"),)])
    tier.append((await test_tiering.card(door))["tier"])
    await congratulate(door, datetime(2026, 11, 20, tzinfo=UTC))
    tier.append((await test_tiering.card(door))["tier"])

    told = [e.data.tier for e in await door.published() if e.type == "tier.changed"]
    assert tier == ranks.split()
    assert told == (["basic", "silver", "gold"] if points_of != "orders" else [])


async def test_a_person_sees_what_all_his_ids_have_done_and_the_erased_leave_nothing(
    door, ask, lay_down
):
    await lay_down()
    both = ("ada", "anon:1")
    await door.give(registered(), activity("check_in", "app", customer="anon:1"))
    await door.give(*[merged(one, "ada", both) for one in both])
    seen = (await ask("/v1/accounts/anon:1/actions"))["items"]

    await door.give(erasure("ada"))

    assert {each["kind"] for each in seen} == {"registration", "check_in"}
    assert await door.query("SELECT 1 FROM action WHERE customer_id = 'ada'") == []
    await balanced(ask)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=20, unique=True), st.data())
def test_any_cutting_of_check_ins_makes_the_same_streak(days, data):
    dones = [
        Done(
            "ada", "check_in", f"app/{n}", "web", NOON + timedelta(days=n),
            event("review.submitted", review().data, "x"),
        )
        for n in sorted(days)
    ]  # fmt: skip
    cut = data.draw(st.integers(0, len(dones)))

    whole = streaks(dones, {}, STORES)
    first = streaks(dones[:cut], {}, STORES)
    known = {(s.customer_id, s.activity_id): s for s in first.values()}
    rest = streaks(dones[cut:], known, STORES)

    last = [found[dones[-1].key] for found in (whole, rest or first)]
    assert last[0] == last[1]
    assert isinstance(last[0], Streak)
    assert last[0].days <= len(set(days))
