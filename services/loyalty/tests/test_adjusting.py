"""Adjustments by hand, and earning that is held: the decisions, without a database."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.books import adjusting
from services.loyalty.books.adjusting import (
    Adjustment,
    AdjustmentPolicy,
    AlreadyDecided,
    OwnApproval,
)
from services.loyalty.books.lines import LineState
from services.loyalty.earning.limits import (
    Candidate,
    Day,
    EarningLimits,
    Watch,
    Weighed,
    exceeded,
    under,
)
from services.loyalty.terms.definitions import Book, Version
from shared.errors import Unprocessable
from shared.stores import Stores

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
POLICY = AdjustmentPolicy(alone_points_max=100, day_points_max=250)


@given(st.integers(-(10**6), 10**6), st.integers(0, 1000))
def test_an_adjustment_waits_exactly_above_a_limit(points, asked_today):
    decision = adjusting.decide(POLICY, 3, points, asked_today)

    assert ("alone_points_max" in decision.waits_for) == (abs(points) > 100)
    assert ("day_points_max" in decision.waits_for) == (asked_today + abs(points) > 250)
    assert decision.inputs["policy_version"] == 3
    assert decision.inputs["caller_points_today"] == asked_today + abs(points)


@given(st.lists(st.integers(-100, 100), max_size=20))
def test_splitting_an_adjustment_does_not_get_more_past_the_second_person(parts):
    alone = asked = 0
    for points in parts:
        if not adjusting.decide(POLICY, 1, points, asked).waits_for:
            alone += abs(points)
        asked += abs(points)

    assert alone <= 250


@pytest.mark.parametrize(
    ("points", "reason", "note", "named"),
    [
        (0, "goodwill", "", "points"),
        (10**9, "goodwill", "", "points"),
        (5, "because", "", "reason"),
        (5, "goodwill", "wrote from ada@shop.example", "note"),
        (5, "goodwill", "call 138 0013 8000", "note"),
    ],
)
def test_what_nobody_may_book_is_refused_by_name(points, reason, note, named):
    with pytest.raises(Unprocessable, match=named):
        adjusting.check(POLICY, points, reason, note)


def test_a_ticket_and_an_amount_are_no_personal_data():
    adjusting.check(POLICY, 5, "goodwill", "ticket 4711, parcel late by 3 days, 12.50 EUR")


def adjustment(**more):
    told = {
        "id": UUID(int=1),
        "customer_id": "ada",
        "points": 500,
        "reason": "goodwill",
        "note": "",
        "store": "web",
        "expires_at": None,
        "state": "waiting",
        "waits_for": ("alone_points_max",),
        "inputs": {},
        "requested_by": "k1",
        "requested_at": NOON,
    }
    return Adjustment(**(told | more))


def test_the_second_person_is_another_one_and_decides_once():
    adjusting.second(adjustment(), "k2")
    with pytest.raises(OwnApproval, match="another key"):
        adjusting.second(adjustment(), "k1")
    with pytest.raises(AlreadyDecided, match="booked"):
        adjusting.second(adjustment(state="booked"), "k2")


def book_of(**limits):
    return Book([("EarningLimits", Version("default", 1, NOON, EarningLimits(**limits)))])


@given(
    st.integers(1, 10**6),
    st.builds(Day, st.integers(0, 10**6), st.integers(0, 50)),
    st.integers(1, 10**6),
)
def test_no_limit_holds_nothing_and_each_names_itself(points, after, limit):
    assert exceeded(EarningLimits(), points, after) == ()

    every = EarningLimits(order_points_max=limit, day_points_max=limit, day_orders_max=limit)
    found = {each.limit: each.found for each in exceeded(every, points, after)}

    assert ("order_points_max" in found) == (points > limit)
    assert ("day_points_max" in found) == (after.points > limit)
    assert ("day_orders_max" in found) == (after.orders > limit)


def order(order_id, owner, points, booked=0):
    return Candidate(order_id, owner, points, booked)


def test_orders_of_one_batch_count_for_each_other_and_for_the_whole_person():
    people = {"ada": "p", "ada2": "p"}
    days, weighed = {("p", date(2026, 11, 1)): Day(40, 1)}, Weighed()
    watch = Watch(book_of(day_points_max=100, day_orders_max=3), Stores(), days, people)

    assert not watch.weigh(order("o1", "ada", 50), NOON, weighed)
    assert watch.weigh(order("o2", "ada2", 20), NOON, weighed)
    assert not watch.weigh(order("o3", "bob", 20), NOON, weighed)

    [hold] = weighed.holds
    assert (hold.order_id, hold.customer_id, hold.points) == ("o2", "ada2", 20)
    assert [(each.limit, each.allowed, each.found) for each in hold.excesses] == [
        ("day_points_max", 100, 110)
    ]
    assert hold.inputs["day_points_before"] == 90


def test_an_order_that_is_awarded_anew_counts_once_and_by_what_it_gains():
    days, weighed = {("ada", date(2026, 11, 1)): Day(60, 1)}, Weighed()
    watch = Watch(book_of(day_points_max=100, day_orders_max=1), Stores(), days)

    assert not watch.weigh(order("o1", "ada", 60, booked=60), NOON, weighed), "nothing was gained"
    assert not watch.weigh(order("o1", "ada", 90, booked=60), NOON, weighed)
    assert watch.weigh(order("o1", "ada", 110, booked=90), NOON, weighed)


def test_before_limits_were_laid_down_nothing_was_held():
    watch, weighed = Watch(book_of(order_points_max=1), Stores()), Weighed()

    assert not watch.weigh(order("o1", "ada", 50), NOON.replace(hour=11), weighed)
    assert watch.weigh(order("o2", "ada", 50), NOON, weighed)


def test_what_is_held_stays_pending_and_what_is_declined_is_gone():
    lines = {"1": LineState(1000, 10, 0, 10, 5), "2": LineState(500, 5, 5, 0)}

    assert under("held", lines) == {
        "1": LineState(1000, 10, 10, 0, 5),
        "2": LineState(500, 5, 5, 0),
    }
    assert under("declined", lines) == {
        "1": LineState(1000, 10, 0, 0, 5),
        "2": LineState(500, 5, 0, 0),
    }
    assert under("", lines) == under("released", lines) == lines
