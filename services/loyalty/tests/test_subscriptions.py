"""Paid terms: how they follow one another, lapse by time, and what a refund gives back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.members import subscriptions
from services.loyalty.members.subscriptions import (
    AlreadyRefunded,
    MembershipPlan,
    Purchase,
    TermOver,
    paid_tier,
)
from services.loyalty.terms.definitions import Version
from shared.errors import Unprocessable

ZONE = "Asia/Shanghai"
SHANGHAI = ZoneInfo(ZONE)
DAY = timedelta(days=1)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def plan(**more):
    told = {"period": "monthly", "price_minor": 3_100, "currency": "CNY", "tier": "plus"} | more
    start = datetime(2000, 1, 1, tzinfo=UTC)
    return Version("plus-monthly", 1, start, MembershipPlan(**told))


MONTHLY = plan()
YEARLY = plan(period="yearly", price_minor=36_500)
WITH_GRACE = plan(grace_days=7)


def buy(terms, moment, kind=MONTHLY, name="", **more):
    document = name or f"d{len(terms)}"
    return [*terms, subscriptions.buy(terms, kind, Purchase(document, moment, ZONE, **more))]


def days(term):
    return str(term.first_day), str(term.end_day)


def test_a_term_is_whole_days_and_the_day_of_the_purchase_is_its_first():
    [term] = buy([], at("2026-01-15T22:30"))

    assert days(term) == ("2026-01-15", "2026-02-15")
    assert (term.starts_at, term.ends_at) == (at("2026-01-15T22:30"), at("2026-02-15T00:00"))
    assert term.state(at("2026-02-14T23:59")) == "active"
    assert term.state(at("2026-02-15T00:00")) == "lapsed"


def test_terms_that_follow_count_months_from_the_first_day():
    terms = buy(
        buy(buy([], at("2026-01-31T10:00")), at("2026-02-01T10:00")), at("2026-02-02T10:00")
    )

    assert [days(term) for term in terms] == [
        ("2026-01-31", "2026-02-28"),
        ("2026-02-28", "2026-03-31"),
        ("2026-03-31", "2026-04-30"),
    ]
    assert terms[1].state(at("2026-02-02T10:00")) == "upcoming"


def test_a_year_from_29_february_ends_on_the_28th():
    [term] = buy([], at("2028-02-29T10:00"), YEARLY)

    assert days(term) == ("2028-02-29", "2029-02-28")


def test_a_renewal_within_the_grace_leaves_no_gap_and_one_after_it_begins_anew():
    first = buy([], at("2026-01-15T10:00"), WITH_GRACE)

    late = buy(first, at("2026-02-20T10:00"), WITH_GRACE)[1]
    too_late = buy(first, at("2026-02-22T00:00"), WITH_GRACE)[1]

    assert first[0].state(at("2026-02-21T23:59")) == "grace"
    assert late.starts_at == at("2026-02-15T00:00")
    assert days(too_late) == ("2026-02-22", "2026-03-22")


def test_a_tier_is_paid_for_until_the_last_term_that_follows():
    terms = buy(buy([], at("2026-01-15T10:00"), WITH_GRACE), at("2026-01-20T10:00"), WITH_GRACE)

    paid = paid_tier(terms, at("2026-01-21T10:00"))

    assert (paid.tier, paid.until, paid.in_grace) == ("plus", at("2026-03-22T00:00"), False)
    assert paid_tier(terms, at("2026-03-20T10:00")).in_grace
    assert paid_tier(terms, at("2026-03-22T00:00")) is None
    assert paid_tier(terms, at("2026-01-15T09:59")) is None


def test_another_tier_that_follows_does_not_lengthen_the_first():
    gold = plan(tier="gold")
    terms = buy(buy([], at("2026-01-15T10:00")), at("2026-01-20T10:00"), gold)

    assert paid_tier(terms, at("2026-01-21T10:00")).until == at("2026-02-15T00:00")
    assert paid_tier(terms, at("2026-02-15T00:00")).tier == "gold"


def test_of_two_merged_the_one_that_holds_longest_counts():
    terms = buy([], at("2026-01-15T10:00")) + buy([], at("2026-01-10T10:00"), plan(tier="gold"))

    assert paid_tier(terms, at("2026-01-20T10:00")).tier == "plus"


def test_a_refund_gives_back_the_days_not_begun_and_ends_the_term():
    [term] = buy([], at("2026-01-15T10:00"), WITH_GRACE)  # 31 days for 31.00

    moment = at("2026-01-24T23:00")
    after = subscriptions.give_back(term, "r1", moment)

    assert (after.refund.days_unused, after.refund.days, after.refund.amount_minor) == (
        (21, 31, 2_100)
    )
    assert after.state(moment) == "refunded"
    assert after.state(moment - DAY) == "active"
    assert paid_tier([after], moment) is None


def test_a_refund_is_rounded_down_once():
    [term] = buy([], at("2026-01-15T10:00"), paid_minor=1_000)

    assert subscriptions.give_back(term, "r1", at("2026-01-24T10:00")).refund.amount_minor == 677


def test_a_term_that_has_not_begun_is_given_back_whole():
    terms = buy(buy([], at("2026-01-15T10:00")), at("2026-01-16T10:00"))

    after = subscriptions.give_back(terms[1], "r1", at("2026-01-17T10:00"))

    assert after.refund.amount_minor == 3_100
    assert paid_tier([terms[0], after], at("2026-01-18T10:00")).until == terms[0].ends_at


def test_what_cannot_be_refunded_is_named():
    [term] = buy([], at("2026-01-15T10:00"))
    refunded = subscriptions.give_back(term, "r1", at("2026-01-20T10:00"))

    assert subscriptions.give_back(refunded, "r1", at("2026-01-25T10:00")) == refunded
    with pytest.raises(AlreadyRefunded, match="r1"):
        subscriptions.give_back(refunded, "r2", at("2026-01-25T10:00"))
    with pytest.raises(TermOver):
        subscriptions.give_back(term, "r1", term.ends_at)
    with pytest.raises(Unprocessable, match="before the purchase"):
        subscriptions.give_back(term, "r1", at("2026-01-15T09:00"))


def test_a_refunded_term_is_not_followed():
    [term] = buy([], at("2026-01-15T10:00"))
    refunded = subscriptions.give_back(term, "r1", at("2026-01-20T10:00"))

    for told in ("2026-01-19T10:00", "2026-01-21T10:00"):
        assert days(buy([refunded], at(told))[1])[0] == told[:10]


def test_nobody_buys_more_than_ten_years_ahead():
    terms = []
    for _ in range(10):
        terms = buy(terms, at("2026-01-15T10:00"), YEARLY)
    assert days(terms[-1]) == ("2035-01-15", "2036-01-15")

    with pytest.raises(Unprocessable, match="months ahead"):
        buy(terms, at("2026-01-15T10:00"))


MOMENTS = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001
    datetime(2060, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
KINDS = st.sampled_from((MONTHLY, YEARLY, WITH_GRACE, plan(tier="gold")))
ZONES = st.sampled_from((ZONE, "Europe/Berlin", "America/New_York", "Africa/Cairo", "UTC"))


@st.composite
def bought(draw):
    """A customer's purchases, each some days after the one before."""
    moment, zone, terms = draw(MOMENTS), draw(ZONES), []
    for number in range(draw(st.integers(1, 6))):
        moment += timedelta(hours=draw(st.integers(0, 24 * 60)))
        purchase = Purchase(f"d{number}", moment, zone, draw(st.integers(0, 10**9)))
        terms.append(subscriptions.buy(terms, draw(KINDS), purchase))
    return terms


@given(bought())
def test_terms_never_overlap_and_each_has_the_days_that_were_paid_for(terms):
    for earlier, later in pairwise(terms):
        assert later.starts_at >= earlier.ends_at
    for term in terms:
        length = (term.end_day - term.first_day).days
        assert (28 <= length <= 31) if term.months == 1 else length in {365, 366}
        assert term.starts_at < term.ends_at <= term.holds_until
        assert term.starts_at.astimezone(ZoneInfo(term.zone)).date() == term.first_day


@given(bought(), st.data())
def test_a_refund_never_exceeds_what_was_paid_and_never_grows_with_time(terms, data):
    term = data.draw(st.sampled_from(terms))
    span_s = int((term.ends_at - term.bought_at).total_seconds()) - 1
    early_s = data.draw(st.integers(0, span_s))
    late_s = data.draw(st.integers(early_s, span_s))

    early, late = (
        subscriptions.give_back(term, "r", term.bought_at + timedelta(seconds=s)).refund
        for s in (early_s, late_s)
    )

    assert 0 <= late.amount_minor <= early.amount_minor <= term.paid_minor
    for refund in (early, late):
        exact = term.paid_minor * refund.days_unused
        assert exact - term.months * 31 < refund.amount_minor * refund.days <= exact


@given(bought(), st.data())
def test_a_tier_holds_exactly_while_a_term_does(terms, data):
    moment = data.draw(MOMENTS)
    paid = paid_tier(terms, moment)

    assert bool(paid) == any(term.holds(moment) for term in terms)
    if paid:
        assert moment < paid.until
        assert paid_tier(terms, paid.until - timedelta(seconds=1)).tier == paid.tier


@given(bought(), st.data())
def test_a_later_version_of_the_plan_changes_no_term(terms, data):
    moment = data.draw(MOMENTS)
    assert paid_tier(terms, moment) == paid_tier([replace(term) for term in terms], moment)
