"""Card numbers and member codes: what a till may take for whose, and what it may not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.loyalty.members import cards
from services.loyalty.members.cards import CardNumber, MemberCode, Misread

SECRET = b"the tests' own secret of member codes, 32 bytes"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)

DRAWS = st.integers(0, 10**cards.CARD_DIGITS - 1)
HANDLES = st.integers(0, 10**cards.HANDLE_DIGITS - 1).map(cards.handle)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def is_good(shown, at, secret=SECRET):
    found = cards.read(shown.code)
    assert isinstance(found, MemberCode)
    return cards.is_good(secret, found, at)


def test_the_check_digit_is_luhns():
    assert cards.check_digit("7992739871") == "3"
    assert cards.card_number(0) == "0000000000000"


@given(DRAWS)
def test_a_card_number_is_read_as_it_is_printed(drawn):
    number = cards.card_number(drawn)

    printed = f"{number[:4]} {number[4:8]}-{number[8:]}"

    assert cards.read(printed) == CardNumber(number)


@given(DRAWS, st.integers(0, cards.CARD_DIGITS), st.integers(1, 9))
def test_one_wrong_digit_is_always_seen(drawn, place, off):
    number = cards.card_number(drawn)
    wrong = str((int(number[place]) + off) % 10)

    with pytest.raises(Misread):
        cards.read(number[:place] + wrong + number[place + 1 :])


@given(DRAWS, st.integers(0, cards.CARD_DIGITS - 1))
def test_two_neighbours_swapped_are_seen_but_for_0_and_9(drawn, place):
    number = cards.card_number(drawn)
    one, two = number[place : place + 2]
    assume(one != two and {one, two} != {"0", "9"})

    with pytest.raises(Misread):
        cards.read(number[:place] + two + one + number[place + 2 :])


@given(st.text(max_size=30))
def test_whatever_is_typed_is_read_or_named(typed):
    try:
        found = cards.read(typed)
    except Misread:
        return
    assert isinstance(found, CardNumber | MemberCode)


@given(HANDLES, MOMENTS)
def test_a_code_is_twenty_digits_and_tells_its_handle(handle, at):
    shown = cards.show(SECRET, handle, at)
    found = cards.read(shown.code)

    assert len(shown.code) == 20
    assert shown.code.isdecimal()
    assert isinstance(found, MemberCode)
    assert found.handle == handle
    assert 1 <= shown.seconds_left <= 60


@given(HANDLES, MOMENTS, st.integers(-60, 60))
def test_a_code_is_good_on_a_clock_that_is_a_minute_off(handle, at, off_s):
    assert is_good(cards.show(SECRET, handle, at), at + timedelta(seconds=off_s))


@given(HANDLES, MOMENTS, st.integers(120, 10**6), st.sampled_from((-1, 1)))
def test_a_code_is_not_good_two_minutes_off(handle, at, off_s, way):
    assert not is_good(cards.show(SECRET, handle, at), at + timedelta(seconds=off_s * way))


@given(HANDLES, MOMENTS)
def test_the_same_code_is_shown_until_its_seconds_are_over(handle, at):
    shown = cards.show(SECRET, handle, at)
    last = at.replace(microsecond=0) + timedelta(seconds=shown.seconds_left - 1)
    next_ = cards.show(SECRET, handle, last + timedelta(seconds=1))

    assert cards.show(SECRET, handle, last).code == shown.code
    assert next_.code != shown.code
    assert next_.seconds_left == 60


@given(HANDLES, HANDLES, MOMENTS)
def test_one_members_proof_opens_no_others_handle(one, other, at):
    assume(one != other)
    proof = cards.show(SECRET, one, at).code[cards.HANDLE_DIGITS : -1]

    assert not cards.is_good(SECRET, MemberCode(other, proof), at)


@given(HANDLES, MOMENTS, st.binary(min_size=32, max_size=64))
def test_another_secret_makes_no_good_code(handle, at, other):
    assume(other != SECRET)

    assert not is_good(cards.show(other, handle, at), at)


def test_proofs_are_spread_over_all_digits():
    proofs = {
        cards.show(SECRET, cards.handle(n), NOON).code[cards.HANDLE_DIGITS : -1]
        for n in range(2_000)
    }

    assert len(proofs) == 2_000
    for place in range(cards.PROOF_DIGITS):
        counts = [sum(proof[place] == str(digit) for proof in proofs) for digit in range(10)]
        assert 120 < min(counts) <= max(counts) < 280
