"""Card numbers and member codes for tills. Pure: what must be random is drawn outside.

A *card number* is printed on a card and does not change: twelve random digits and a check
digit by Luhn's rule, thirteen in all.

A *member code* is what the app shows, for a minute: twenty digits, which a Code 128 (set C)
or a QR code holds.

    handle (10 digits, random, one for each card) | proof (9) | check digit by Luhn's rule (1)

The proof is HMAC-SHA256 under a mounted secret over the handle and the minute since the
epoch, its first eight bytes modulo 10^9. Who has seen a code has learnt a handle, which
opens nothing: without the secret neither the next minute's proof nor another handle's can be
computed, and a guess is right three times in 10^9. A code is good in its own minute and
one minute to either side, for the clocks of tills; within that time it may be read at
several tills, since reading a code tells who is there and spends nothing.

Source: ISO/IEC 7812-1 annex B (Luhn's rule); RFC 4226 and 6238, whose truncation is of
another form because a code holds who it is of, too.
"""

import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from shared.errors import Unprocessable

CARD_DIGITS = 12
HANDLE_DIGITS = 10
PROOF_DIGITS = 9
CODE_LENGTH = HANDLE_DIGITS + PROOF_DIGITS + 1
MINUTE_S = 60
SKEW_MINUTES = 1
"""By how much a till's clock, or the phone's, may be wrong."""

PURPOSE = b"regulars/loyalty/member-code/1"
BETWEEN = re.compile(r"[\s-]")


class Misread(Unprocessable):
    """This is neither a card number nor a member code: a digit is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A code as the app shows it, and for how long it is the current one."""

    code: str
    seconds_left: int


@dataclass(frozen=True, slots=True)
class CardNumber:
    """What a till read: a card."""

    number: str


@dataclass(frozen=True, slots=True)
class MemberCode:
    """What a till read: an app's code, whose proof is not looked at yet."""

    handle: str
    proof: str


def check_digit(digits: str) -> str:
    """Luhn's: finds every single wrong digit, and neighbours swapped but 0 and 9."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 - place % 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def card_number(drawn: int) -> str:
    """The number for a draw from 0 to 10^12 - 1."""
    digits = f"{drawn:0{CARD_DIGITS}d}"
    return digits + check_digit(digits)


def handle(drawn: int) -> str:
    """The handle for a draw from 0 to 10^10 - 1."""
    return f"{drawn:0{HANDLE_DIGITS}d}"


def show(secret: bytes, handle: str, at: datetime) -> Shown:
    """The code of a minute."""
    now_s = int(at.timestamp())
    digits = handle + _proof(secret, handle, now_s // MINUTE_S)
    return Shown(digits + check_digit(digits), MINUTE_S - now_s % MINUTE_S)


def read(typed: str) -> CardNumber | MemberCode:
    """What was read or typed, spaces and hyphens aside; Misread if it can be neither."""
    digits = BETWEEN.sub("", typed)
    lengths = {CARD_DIGITS + 1, CODE_LENGTH}
    if not (digits.isascii() and digits.isdecimal()) or len(digits) not in lengths:
        raise Misread(f"a card number has {CARD_DIGITS + 1} digits, a member code {CODE_LENGTH}")
    if check_digit(digits[:-1]) != digits[-1]:
        raise Misread("the check digit does not fit; read it again")
    if len(digits) == CODE_LENGTH:
        return MemberCode(digits[:HANDLE_DIGITS], digits[HANDLE_DIGITS:-1])
    return CardNumber(digits)


def is_good(secret: bytes, code: MemberCode, at: datetime) -> bool:
    """Whether the code is of this minute, give or take the skew."""
    minute = int(at.timestamp()) // MINUTE_S
    good = [
        hmac.compare_digest(_proof(secret, code.handle, minute + skew), code.proof)
        for skew in range(-SKEW_MINUTES, SKEW_MINUTES + 1)
    ]
    return any(good)


def _proof(secret: bytes, handle: str, minute: int) -> str:
    message = b"\x1f".join((PURPOSE, handle.encode(), str(minute).encode()))
    number = int.from_bytes(hmac.digest(secret, message, sha256)[:8])
    return f"{number % 10**PROOF_DIGITS:0{PROOF_DIGITS}d}"
