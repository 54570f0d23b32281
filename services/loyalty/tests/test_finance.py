"""Redemption curves, breakage and forecasts, as pure functions."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.books.accounting import next_month
from services.loyalty.reporting.finance import (
    Curve,
    Development,
    Expiring,
    breakage,
    cost,
    curve,
    developments,
    experience,
    forecast,
)
from services.loyalty.reporting.statement import SIGNS, Key, Sums
from services.loyalty.reporting.valuation import Breakage, PointValue

HALF = Fraction(1, 2)
FEN = Fraction(1)


def months(count, first=date(2026, 1, 1)):
    found = [first]
    while len(found) < count:
        found.append(next_month(found[-1]))
    return found


def line(cohort, store="web", **moves):
    return Key(store, "lots", cohort), Sums(0, dict.fromkeys(SIGNS, 0) | moves)


def lived(counts, points=1000, first=date(2026, 1, 1)):
    """A closed history: each month begins a cohort that redeems `counts` by age, in points."""
    all_months = months(len(counts), first)
    return [
        (
            month,
            [
                line(
                    cohort,
                    moved=points if cohort == month else 0,
                    redeemed=counts[all_months.index(month) - all_months.index(cohort)],
                )
                for cohort in all_months
                if cohort <= month
            ],
        )
        for month in all_months
    ]


def test_the_curve_is_the_share_redeemed_by_age():
    found = curve(developments(lived([100, 200, 50, 0])))

    assert found.shares == (Fraction(1, 10), Fraction(3, 10), Fraction(7, 20), Fraction(7, 20))
    assert found.ultimate == Fraction(7, 20)


def test_the_curve_is_chain_ladder_by_hand():
    """Two cohorts of unlike size: s(0) = 110/1100; f(0) = 40/10 from the older alone."""
    watched = [
        Development(date(2026, 1, 1), 100, (10, 40)),
        Development(date(2026, 2, 1), 1000, (100,)),
    ]

    assert curve(watched).shares == (Fraction(1, 10), Fraction(4, 10))


def test_of_what_is_outstanding_the_rest_of_the_curve_is_expected():
    known = Curve((Fraction(2, 10), HALF), HALF)
    september, october = date(2026, 9, 1), date(2026, 10, 1)

    assert known.expected(0) == Fraction(3, 8)
    assert breakage(Key("web", "lots", october), 800, october, known) == 500
    assert breakage(Key("web", "pending"), 800, october, known) == 400
    assert breakage(Key("web", "lots", september), 500, october, known) == 500
    assert breakage(Key("web", "owed"), -500, october, known) == 0


def test_a_tail_says_what_will_still_be_redeemed():
    watched = [Development(date(2026, 1, 1), 100, (20,))]

    assert curve(watched, HALF).ultimate == Fraction(60, 100)
    assert curve(watched, HALF).expected(7) == HALF


def test_without_experience_no_breakage_is_counted_on():
    history = lived([100, 100, 100])
    ladder = Breakage(method="chain_ladder", months_min=4)

    assert experience(history, ladder) is None
    assert experience(history, Breakage()) is None
    assert experience([], Breakage(method="chain_ladder", months_min=1)) is None
    assert experience(history, ladder.model_copy(update={"months_min": 3})) is not None
    assert breakage(Key("web", "lots", date(2026, 1, 1)), 10, date(2026, 9, 1), None) == 0


def test_a_cohort_that_was_not_watched_from_its_birth_teaches_nothing():
    history = lived([100, 100])
    history[0][1].append(line(date(2025, 12, 1), redeemed=999))

    assert [each.cohort for each in developments(history)] == months(2)


def test_points_given_back_were_not_redeemed_and_reversed_ones_never_earned():
    cohort = date(2026, 1, 1)
    history = [
        (cohort, [line(cohort, moved=100, redeemed=40)]),
        (date(2026, 2, 1), [line(cohort, restored=10, reversed=20)]),
    ]

    assert developments(history) == [Development(cohort, 80, (40, 30))]


def test_a_campaign_costs_what_of_its_points_is_expected_to_be_redeemed():
    known = Curve((Fraction(1, 4),), HALF)
    value = PointValue(minor=100, per_points=50).of_one

    assert cost(1001, known, value) == 1001
    assert cost(1001, None, FEN) == 1001
    assert cost(3, known, FEN) == 2, "1.5, and a half goes up"


def test_the_forecast_is_what_expires_if_nobody_hurries():
    known = Curve((Fraction(1, 10), Fraction(2, 10), HALF), HALF)
    january, march = date(2026, 1, 1), date(2026, 3, 1)
    expiring = [Expiring(march, january, 90), Expiring(january, date(2025, 1, 1), 7)]

    found = forecast(expiring, date(2026, 1, 20), known)

    assert [(f.month, f.points_max, f.points_expected) for f in found] == [
        (january, 7, 7),
        (march, 90, 50),
    ]
    assert [f.points_expected for f in forecast(expiring, january, None)] == [7, 90]


TRIANGLES = st.lists(
    st.tuples(st.integers(1, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=6)),
    min_size=1,
    max_size=6,
).map(
    lambda rows: [
        Development(
            month,
            points + sum(steps),
            tuple(sum(steps[: age + 1]) for age in range(len(steps))),
        )
        for month, (points, steps) in zip(months(len(rows)), rows, strict=True)
    ]
)


@given(watched=TRIANGLES, tail=st.integers(0, 100), outstanding=st.integers(0, 10**12))
def test_breakage_is_never_more_than_there_is_and_never_below_zero(watched, tail, outstanding):
    known = curve(watched, Fraction(tail, 100))

    assert all(0 <= share <= 1 for share in (*known.shares, known.ultimate))
    for age in range(-1, 9):
        assert 0 <= known.expected(age) <= 1
        assert known.expected(age, age) in {0, 1}
        key = Key("", "lots", date(2026, 1, 1)) if age >= 0 else Key("", "pending")
        month = months(10)[max(0, age)]
        assert 0 <= breakage(key, outstanding, month, known) <= outstanding


@given(shares=st.lists(st.integers(0, 100), min_size=1, max_size=6), scale=st.integers(1, 10**6))
def test_cohorts_that_all_live_alike_are_foretold_exactly(shares, scale):
    """Whatever the size: what is expected at any age is what then happens."""
    points = 1000
    history = lived(shares, points)
    bigger = lived([share * scale for share in shares], points * scale)
    known = curve(developments(history))

    assert known == curve(developments(bigger))
    gone = 0
    for age, share in enumerate(shares):
        gone += share
        left = points - gone
        assert known.expected(age) * left == sum(shares[age + 1 :])


@pytest.mark.parametrize("redeemed", [(0,), (0, 0), (0, 5)])
def test_a_month_in_which_nobody_redeemed_does_not_stop_the_curve(redeemed):
    known = curve([Development(date(2026, 1, 1), 10, redeemed)])

    assert known.shares[-1] == Fraction(redeemed[-1], 10)
