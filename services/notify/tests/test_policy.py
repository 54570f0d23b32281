"""What goes out and what does not, decided by pure functions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify import policy
from services.notify.people import Consent, Contact, Person
from services.notify.policy import (
    ADDRESS_WAIT,
    ORDER,
    Candidate,
    Circumstances,
    Hold,
    Rule,
    Send,
    Suppress,
    decide,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
FRESH = Candidate(ORDER, "email", NOW - timedelta(minutes=1), direct_contact=True)
KNOWN = Circumstances(Person(), "ada@a.example", cancelled=False, waited=timedelta())
OPT_IN = Rule("marketing", opt_in=True, fresh_for=timedelta(hours=24))


def said(state, *, purpose="transactional", channel="email", hour=1, version=1):
    at = NOW - timedelta(days=1) + timedelta(hours=hour)
    return Consent("ada", purpose, channel, state, version, at)


def with_consents(*consents):
    return replace(KNOWN, person=Person(consents=consents))


def test_an_order_notice_needs_no_consent():
    assert decide(FRESH, KNOWN, NOW) == Send("ada@a.example")
    assert decide(FRESH, with_consents(said("pending")), NOW) == Send("ada@a.example")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"backfill": True}, "backfill"),
        ({"muted": True}, "muted"),
        ({"test": True}, "test_order"),
        ({"superseded": True}, "superseded"),
        ({"direct_contact": False}, "no_direct_contact"),
        ({"time": NOW - timedelta(hours=48, seconds=1)}, "stale"),
    ],
)
def test_what_bars_a_notice_bars_it_at_both_decisions(change, reason):
    candidate = replace(FRESH, **change)

    assert policy.bar(candidate, NOW) == Suppress(reason)
    assert decide(candidate, KNOWN, NOW) == Suppress(reason)


def test_at_exactly_48_hours_an_order_notice_is_fresh():
    assert policy.bar(replace(FRESH, time=NOW - timedelta(hours=48)), NOW) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (replace(KNOWN, cancelled=True), "order_cancelled"),
        (replace(KNOWN, person=Person(restricted=True)), "restricted"),
        (with_consents(said("withdrawn")), "withdrawn"),
        (with_consents(said("withdrawn", channel="any")), "withdrawn"),
        (with_consents(said("withdrawn", purpose="any")), "withdrawn"),
        (replace(KNOWN, address=None, waited=ADDRESS_WAIT), "no_address"),
    ],
)
def test_what_may_change_is_looked_at_when_it_is_handed_over(found, reason):
    assert decide(FRESH, found, NOW) == Suppress(reason)


def test_another_purpose_or_channel_withdrawn_stops_no_order_notice():
    marketing = said("withdrawn", purpose="marketing")
    sms = said("withdrawn", channel="sms")

    assert decide(FRESH, with_consents(marketing, sms), NOW) == Send("ada@a.example")


def test_what_was_said_last_counts():
    first, last = said("withdrawn", hour=1), said("granted", channel="any", hour=2)

    assert decide(FRESH, with_consents(last, first), NOW) == Send("ada@a.example")
    assert decide(FRESH, with_consents(replace(last, at=first.at), first), NOW) == Suppress(
        "withdrawn"
    )


@pytest.mark.parametrize("state", [None, "pending", "withdrawn"])
def test_a_kind_that_needs_opting_in_goes_only_to_who_did(state):
    candidate = replace(FRESH, rule=OPT_IN)
    found = with_consents(said(state, purpose="marketing")) if state else KNOWN

    reason = "withdrawn" if state == "withdrawn" else "no_consent"
    assert decide(candidate, found, NOW) == Suppress(reason)
    granted = with_consents(said("granted", purpose="marketing"))
    assert decide(candidate, granted, NOW) == Send("ada@a.example")


def test_without_an_address_it_waits_for_a_while():
    decision = decide(FRESH, replace(KNOWN, address=None), NOW)

    assert isinstance(decision, Hold)
    assert NOW < decision.until < NOW + ADDRESS_WAIT


def test_attempts_end_within_a_day_and_wait_longer_each_time():
    delays = [policy.retry_after(n) for n in range(1, policy.ATTEMPTS_MAX)]

    assert policy.ATTEMPTS_MAX == 8
    assert delays == sorted(delays)
    assert sum(delays, timedelta()) <= timedelta(days=1)
    assert policy.retry_after(policy.ATTEMPTS_MAX) is None


CONTACTS = st.lists(
    st.builds(
        Contact,
        customer_id=st.sampled_from(["ada", "anon:1"]),
        field=st.just("email"),
        value=st.one_of(st.none(), st.sampled_from(["a@a.example", "b@b.example"])),
        told_at=st.integers(0, 3).map(lambda n: NOW + timedelta(hours=n)),
        source=st.sampled_from(["a", "b", "é"]),
        event_id=st.uuids().map(str),
    ),
    min_size=1,
)


@settings(derandomize=True, deadline=None)
@given(CONTACTS, st.randoms(use_true_random=False))
def test_a_persons_address_does_not_depend_on_the_order_of_rows(contacts, random):
    shuffled = list(contacts)
    random.shuffle(shuffled)

    assert Person(tuple(contacts)).newest("email") == Person(tuple(shuffled)).newest("email")
