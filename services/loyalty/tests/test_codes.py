"""Codes that nobody guesses, and whose typing mistakes are known as mistakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.benefits import codes

CODES = st.binary(min_size=10, max_size=10).map(codes.encode)
PLACES = st.integers(0, codes.CHARACTERS - 1)


@given(CODES)
def test_a_code_is_well_formed_and_has_four_groups_of_four(code):
    assert codes.is_well_formed(code)
    assert [len(group) for group in code.split("-")] == [4, 4, 4, 4]
    assert set(codes.normal(code)) <= set(codes.ALPHABET)


@given(CODES, PLACES, st.sampled_from(codes.ALPHABET))
def test_every_single_wrong_character_is_found(code, place, other):
    right = codes.normal(code)
    wrong = right[:place] + other + right[place + 1 :]

    assert codes.is_well_formed(wrong) == (wrong == right)


@given(CODES, PLACES, PLACES)
def test_every_swap_of_two_characters_is_found(code, one, two):
    characters = list(codes.normal(code))
    characters[one], characters[two] = characters[two], characters[one]
    swapped = "".join(characters)

    assert codes.is_well_formed(swapped) == (swapped == codes.normal(code))


def test_the_weights_differ_so_no_swap_goes_unseen_by_chance():
    weights = [
        codes.check_character("0" * place + "1" + "0" * (codes.DATA_CHARACTERS - 1 - place))
        for place in range(codes.DATA_CHARACTERS)
    ]

    assert len({*weights, "0", "1"}) == codes.DATA_CHARACTERS + 2


@given(CODES, st.randoms(use_true_random=False))
def test_what_people_type_is_the_code(code, random):
    def as_typed(character):
        looks = {"0": "0Oo", "1": "1IiLl"}.get(character, character + character.lower())
        return random.choice(looks) + random.choice(("", "", " ", "-", "–", "\u3000"))

    typed = "".join(map(as_typed, codes.normal(code)))
    full_width = "".join(chr(ord(c) + 0xFEE0) for c in codes.normal(code))

    assert codes.normal(typed) == codes.normal(full_width) == codes.normal(code)
    assert codes.digest(typed) == codes.digest(code)
    assert codes.is_well_formed(typed)


@pytest.mark.parametrize(
    "typed", ["", "-", "0000", "U" * 16, "0" * 17, "天猫天猫天猫天猫天猫天猫天猫天猫"]
)
def test_what_has_not_the_form_of_a_code_is_none_of_ours(typed):
    assert not codes.is_own(typed)
    assert not codes.is_well_formed(typed)


@given(st.lists(st.binary(min_size=10, max_size=10), min_size=2, max_size=2))
def test_other_random_bits_are_another_code(two):
    bits = {int.from_bytes(each) >> 5 for each in two}

    assert len({codes.encode(each) for each in two}) == len(bits)


@pytest.mark.parametrize(
    ("uploaded", "can_be_kept"),
    [("SUMMER-10", True), ("双十一", True), (" - ", False), ("A\nB", False), ("A" * 65, False)],
)
def test_a_shops_own_code_is_kept_if_it_can_be_typed(uploaded, can_be_kept):
    assert codes.is_acceptable(uploaded) == can_be_kept
