"""What a referral is judged by, and what becomes of it: without a database."""

from dataclasses import replace
from datetime import UTC, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.inviting import referral_facts
from services.loyalty.inviting.referral_awards import Used, settle
from services.loyalty.inviting.referral_facts import normal_email, normal_phone
from services.loyalty.inviting.referrals import (
    Facts,
    OrderFact,
    Referral,
    ReferralCaps,
    ReferralProgramme,
    Signal,
    judge,
)
from services.loyalty.tests.conftest import STORES
from services.loyalty.tests.shop import NOON, histories
from services.loyalty.work.referral_loading import Loaded
from shared.aliases import Person

FACT = OrderFact("o1", "bob", 1, NOON, NOON, "web", paid=True, net_minor=2000, arrived=True)
BOB = Referral(UUID(int=1), "bob", "ada", "web", None, NOON - timedelta(1))
TERMS = ReferralProgramme(order_min_minor=1000, referrer_points=5, friend_points=2)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, ("qualified", "")),
        ({"net_minor": 999}, ("registered", "order_too_small")),
        ({"net_minor": 0}, ("registered", "no_order")),
        ({"paid": False}, ("registered", "no_order")),
        ({"arrived": False}, ("registered", "not_delivered")),
        ({"placed_at": NOON + timedelta(90)}, ("refused", "too_late")),
        ({"placed_at": NOON - timedelta(2)}, ("refused", "customer_before")),
    ],
)
def test_what_the_friend_must_do(change, verdict):
    found = judge(BOB, TERMS, Facts({"bob"}, {"ada"}, orders=[replace(FACT, **change)]))

    assert (found.state, found.reason) == verdict


def test_only_what_was_seen_before_the_order_counts():
    seen = [Signal(one, "email", b"x", NOON + timedelta(n)) for n, one in enumerate(("bob", "ada"))]
    facts = Facts({"bob"}, {"ada"}, orders=[FACT], signals=seen)
    sooner = replace(facts, signals=[seen[0], replace(seen[1], seen_at=NOON)])

    assert judge(BOB, TERMS, facts).state == "qualified"
    assert judge(BOB, TERMS, sooner).reason == "same_email"


@given(histories(), st.randoms(use_true_random=False), st.integers(0, 8))
def test_any_sequence_of_revisions_ends_in_the_same_facts(events, random, cut):
    shuffled = random.sample(events, len(events))

    def digest(value):
        return value.encode()

    whole = referral_facts.told(events, STORES, digest).orders
    assert referral_facts.told([*shuffled, *shuffled[:cut]], STORES, digest).orders == whole


days = st.integers(-40, 40).map(timedelta)


@given(
    st.booleans(),
    st.integers(0, 3000),
    days,
    st.sampled_from(("", "held", "released", "declined")),
    st.lists(days, max_size=3),
    st.integers(0, 30),
)
def test_what_is_settled_stays_settled_while_the_facts_stay(
    arrived, net_minor, placed, hold, others, spent
):
    caps = ReferralCaps(per_month=2, ever=3, budget=30)
    terms = TERMS.model_copy(update={"caps": caps, "review_per_day": 1})
    fact = replace(FACT, arrived=arrived, net_minor=net_minor, placed_at=NOON + placed)
    before = replace(BOB, hold=hold)
    used = Used({UUID(int=9 + n): NOON + day for n, day in enumerate(others)}, spent)
    verdict = judge(before, terms, Facts({"bob"}, {"ada"}, orders=[fact]))

    once = settle(before, verdict, terms, used, zone=UTC, admitted=True)
    spent_now = Used(used.friends, spent + once.referrer_points + once.friend_points)
    twice = settle(once, verdict, terms, spent_now, zone=UTC, admitted=True)

    assert once == twice
    assert once.awarded == (once.state == "awarded")
    assert spent_now.spent <= max(spent, 30)


def test_nothing_is_decided_over_an_account_that_is_not_locked():
    """An order that came between listing the accounts and locking them."""
    people = {one: Person(one, (one,)) for one in ("ada", "bob")}
    loaded = Loaded(people, [FACT], (), {}, {}, {}, (), {})

    assert loaded.may_book(BOB, {"ada", "bob"})
    assert not loaded.may_book(BOB, {"ada"})
    assert replace(loaded, orders=[]).may_book(BOB, set()), "it books nothing yet"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (normal_email("Ada+shop@Example.org"), normal_email(" ada@example.org")),
        (normal_phone("+49 30 1234"), normal_phone("0049-30/1234")),
    ],
)
def test_the_same_in_other_writing_is_the_same(one, other):
    assert one == other
    assert one


def test_a_programme_gives_something():
    with pytest.raises(ValueError, match="give points to one side"):
        ReferralProgramme()
