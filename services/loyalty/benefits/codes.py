"""Coupon codes: unguessable, easy to read out, and a typing mistake is known as one. Pure.

    7K2M-9QXA-0C4T-ZB1R

A code of ours is 75 random bits in 15 characters of Crockford's base 32 (no I, L, O, U) and
a check character. Of a million live codes, a thousand guesses a second find one in a million
years.

The check character makes the weighted sum of all sixteen zero, in the field of 32 elements
(polynomial x^5 + x^2 + 1), with the powers of x as weights. These are all different, and none
is zero. So every single wrong character is found, and every swap of two characters, be they
neighbours or not. That is a shortened Reed-Solomon code with one check symbol; ISO 7064 MOD
37,36, which needs I, L, O and U besides, finds all single errors, but not all swaps: of two
neighbours it takes 72 in 45,360 for right.

Sources: D. Crockford, Base 32 (crockford.com/base32.html) for the alphabet and for what is
read as what; I. S. Reed and G. Solomon, Polynomial Codes over Certain Finite Fields (1960).
"""

import re
from hashlib import sha256

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
VALUE = {character: value for value, character in enumerate(ALPHABET)}

RANDOM_BYTES = 10
"""What `encode` takes: 80 bits, of which 75 go into the code."""
DATA_CHARACTERS = 15
CHARACTERS = DATA_CHARACTERS + 1
GROUP = 4
"""Characters between two dashes, for the eye."""

TYPED_MAX = 64
"""Characters of a code as typed or uploaded: an order event's `coupon` holds no more."""

_POLYNOMIAL = 0b100101
# Crockford: what is written like a digit is read as one. The dash in all its typographic forms.
_READ_AS = str.maketrans("OIL", "011")
_IGNORED = re.compile(r"[\s\-_.\u2010-\u2015\u2212\uff0d]+")


def encode(random: bytes) -> str:
    """A new code from RANDOM_BYTES random bytes, as it is shown."""
    assert len(random) == RANDOM_BYTES, "a code is made of so many bytes"
    number = int.from_bytes(random) >> 5
    data = "".join(ALPHABET[number >> 5 * place & 31] for place in range(DATA_CHARACTERS))
    return _grouped(data + check_character(data))


def normal(typed: str) -> str:
    """What was typed, as codes are compared: no case, no spaces or dashes, O as 0, I and L as 1.

    Full-width letters and digits, which Chinese keyboards give, are the plain ones.
    """
    plain = "".join(chr(ord(c) - 0xFEE0) if "！" <= c <= "～" else c for c in typed)
    return _IGNORED.sub("", plain).upper().translate(_READ_AS)


def digest(typed: str) -> bytes:
    """SHA-256 of the code as it is compared: by this it is looked up."""
    return sha256(normal(typed).encode()).digest()


def is_own(typed: str) -> bool:
    """Whether it has the form of a code of ours, right or mistyped."""
    code = normal(typed)
    return len(code) == CHARACTERS and all(character in VALUE for character in code)


def is_well_formed(typed: str) -> bool:
    """Whether it could be a code of ours: the check character agrees."""
    return is_own(typed) and _weighted_sum(normal(typed)) == 0


def is_acceptable(uploaded: str) -> bool:
    """Whether a shop's own code can be kept: something that can be typed, and not too long."""
    return len(uploaded) <= TYPED_MAX and uploaded.isprintable() and bool(normal(uploaded))


def check_character(data: str) -> str:
    """What makes the weighted sum zero. The last character's weight is 1."""
    return ALPHABET[_weighted_sum(data + "0")]


def _weighted_sum(code: str) -> int:
    """By Horner's rule: each step multiplies by x, then adds; adding is exclusive or."""
    total = 0
    for character in code:
        total <<= 1
        if total & 0b100000:
            total ^= _POLYNOMIAL
        total ^= VALUE[character]
    return total


def _grouped(code: str) -> str:
    return "-".join(code[start : start + GROUP] for start in range(0, len(code), GROUP))
