"""Joining and leaving by time: what a person is, and which of his orders earn."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.members import membership
from services.loyalty.members.membership import Joining, MembershipTerms, NoMember, OtherTerms
from shared.errors import Unprocessable

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BY_JOINING = MembershipTerms(mode="joining", terms_version="v1", credit_days=30, notice_days=14)
AUTOMATIC = MembershipTerms(notice_days=14)


def join(stays, at, terms=BY_JOINING, now=None, version="v1", customer="ada"):
    wish = Joining(version, "web", at)
    stay = membership.join(stays, terms, wish, customer_id=customer, now=now or at)
    return with_(stays, stay)


def leave(stays, now, terms=BY_JOINING):
    for stay in membership.leave(stays, terms, customer_id="ada", now=now):
        stays = with_(stays, stay)
    return stays


def with_(stays, stay):
    key = (stay.customer_id, stay.number)
    return [each for each in stays if (each.customer_id, each.number) != key] + [stay]


def state(stays, at, terms=BY_JOINING):
    return membership.standing(stays, terms, at).state


def test_who_has_not_joined_is_no_member_and_earns_nothing():
    assert state([], NOON) == "none"
    assert not membership.admits([], BY_JOINING, NOON)
    with pytest.raises(NoMember):
        leave([], NOON)


def test_orders_paid_within_the_credited_days_before_joining_earn():
    stays = join([], NOON)

    assert state(stays, NOON) == "member"
    assert membership.admits(stays, BY_JOINING, NOON - 30 * DAY)
    assert not membership.admits(stays, BY_JOINING, NOON - 30 * DAY - timedelta(seconds=1))


def test_terms_that_credit_more_days_later_do_not_reach_back():
    stays = join([], NOON)
    generous = BY_JOINING.model_copy(update={"credit_days": 300})

    assert not membership.admits(stays, generous, NOON - 31 * DAY)


def test_leaving_takes_effect_after_the_notice_by_time():
    stays = leave(join([], NOON), NOON + DAY)
    end = NOON + 15 * DAY

    assert state(stays, end - timedelta(seconds=1)) == "leaving"
    assert state(stays, end) == "left"
    assert membership.admits(stays, BY_JOINING, end - timedelta(seconds=1))
    assert not membership.admits(stays, BY_JOINING, end)


def test_who_asks_again_leaves_no_later():
    once = leave(join([], NOON), NOON + DAY)

    assert leave(once, NOON + 5 * DAY) == once


def test_joining_again_before_the_end_takes_the_leaving_back():
    stays = join(leave(join([], NOON), NOON + DAY), NOON + 2 * DAY)

    assert state(stays, NOON + 400 * DAY) == "member"
    assert len(stays) == 1
    assert stays[0].joined_at == NOON


def test_joining_again_after_the_end_begins_another_stay():
    gone = leave(join([], NOON), NOON + DAY)
    back = join(gone, NOON + 20 * DAY)

    assert [stay.number for stay in back] == [1, 2]
    assert state(back, NOON + 16 * DAY) == "left"
    assert state(back, NOON + 20 * DAY) == "member"


def test_nobody_joins_again_before_he_left():
    gone = leave(join([], NOON), NOON + DAY)

    with pytest.raises(Unprocessable, match="before he left"):
        join(gone, NOON + 2 * DAY, now=NOON + 20 * DAY)


def test_a_member_who_joins_again_changes_nothing_but_his_terms():
    stays = join([], NOON)
    newer = BY_JOINING.model_copy(update={"terms_version": "v2"})

    assert join(stays, NOON + DAY) == stays
    [stay] = join(stays, NOON + DAY, terms=newer, version="v2")
    assert (stay.terms_version, stay.accepted_at, stay.joined_at) == ("v2", NOON + DAY, NOON)


def test_only_the_terms_in_force_can_be_accepted_and_not_in_the_future():
    with pytest.raises(OtherTerms, match="v1"):
        join([], NOON, version="v0")
    with pytest.raises(Unprocessable, match="future"):
        join([], NOON + DAY, now=NOON)


def test_an_automatic_member_earns_until_he_leaves():
    assert state([], NOON, AUTOMATIC) == "member"
    gone = leave([], NOON, AUTOMATIC)
    end = NOON + 14 * DAY

    assert membership.admits(gone, AUTOMATIC, NOON - 900 * DAY)
    assert state(gone, end, AUTOMATIC) == "left"
    assert not membership.admits(gone, AUTOMATIC, end)
    assert membership.admits(join(gone, end + DAY, AUTOMATIC, version=""), AUTOMATIC, end + DAY)


def test_a_stay_under_any_id_of_the_person_is_enough():
    left = leave(join([], NOON), NOON + DAY)
    both = join(left, NOON + 30 * DAY, customer="ada2")

    assert state(both, NOON + 30 * DAY) == "member"
    assert [stay.number for stay in both] == [1, 1]


STEPS = st.lists(
    st.tuples(st.sampled_from(("join", "leave", "wait")), st.integers(0, 20)), max_size=12
)


@given(STEPS, st.sampled_from((BY_JOINING, AUTOMATIC)))
def test_whatever_is_asked_stays_do_not_overlap_and_orders_earn_while_they_run(steps, terms):
    stays, now = [], NOON
    for step, days in steps:
        now += days * DAY
        if step == "join":
            stays = join(stays, now, terms)
            assert state(stays, now, terms) == "member"
        elif step == "leave" and state(stays, now, terms) in {"member", "leaving"}:
            stays = leave(stays, now, terms)
            assert state(stays, now, terms) == "leaving"
        member = membership.standing(stays, terms, now).is_member
        assert membership.admits(stays, terms, now) == member
    ordered = sorted(stays, key=lambda stay: stay.joined_at)
    for earlier, later in pairwise(ordered):
        assert earlier.leaves_at
        assert earlier.leaves_at <= later.joined_at
