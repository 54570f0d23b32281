"""A closed month as vouchers for the general ledger: balanced entries, and their CSV. Pure.

A voucher is one movement of one store, on two accounts of the finance policy's mapping. An
amount below zero is booked the other way round, so no figure has a sign. Amounts are whole
minor units, written with the currency's own digits: nothing is rounded here.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from services.loyalty.books.accounting import name_of, next_month
from services.loyalty.books.points import DIGITS
from services.loyalty.reporting.statement import SIGNS, Column, Line
from services.loyalty.reporting.valuation import Accounts

HEADER = ("date", "account", "debit", "credit", "text")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for a formula, in its wide forms, too (OWASP, "CSV Injection")."""

TEXTS: dict[Column, str] = {
    "earned": "Points earned",
    "restored": "Points given back",
    "redeemed": "Points redeemed",
    "expired": "Points expired",
    "reversed": "Points taken back on returns",
    "adjusted": "Points adjusted and brought along",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a voucher; one of the amounts is zero."""

    date: date
    account: str
    debit_minor: int
    credit_minor: int
    text: str


def entries(
    month: date,
    lines: Iterable[Line],
    allowance_before_minor: dict[str, int],
    accounts: Accounts,
) -> list[Entry]:
    """The month's vouchers by store; `allowance_before_minor` is the last breakage, by store."""
    by_store: defaultdict[str, list[Line]] = defaultdict(list)
    for store in allowance_before_minor:
        by_store[store] = []
    for line in lines:
        by_store[line.key.store].append(line)
    found: list[Entry] = []
    for store, own in sorted(by_store.items()):
        for debit, credit, minor, text in _vouchers(
            own, allowance_before_minor.get(store, 0), accounts
        ):
            if minor:
                found += _voucher(month, (debit, credit), minor, _text(text, store, month))
    return found


def allowances(lines: Iterable[Line]) -> dict[str, int]:
    """The breakage that was counted on, by store, in minor units."""
    found: defaultdict[str, int] = defaultdict(int)
    for line in lines:
        found[line.key.store] += line.breakage_minor
    return dict(found)


def to_csv(found: Sequence[Entry], currency: str) -> str:
    """RFC 4180, with a first line that names the columns."""
    digits = DIGITS.get(currency, 2)
    out = io.StringIO()
    write = csv.writer(out)
    write.writerow(HEADER)
    for each in found:
        amounts = (each.debit_minor, each.credit_minor)
        debit, credit = (decimal(minor, digits) if minor else "" for minor in amounts)
        write.writerow((each.date.isoformat(), cell(each.account), debit, credit, cell(each.text)))
    return out.getvalue()


def decimal(minor: int, digits: int) -> str:
    """123456 with 2 digits: 1234.56."""
    whole, part = divmod(abs(minor), 10**digits)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole}.{part:0{digits}}" if digits else f"{sign}{whole}"


def cell(text: str) -> str:
    """The text as no spreadsheet can take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _vouchers(
    lines: Sequence[Line], allowance_before_minor: int, accounts: Accounts
) -> Iterable[tuple[str, str, int, str]]:
    """Debit, credit, amount and text, for a store."""
    counter = {
        "earned": accounts.earned,
        "restored": accounts.redeemed,
        "redeemed": accounts.redeemed,
        "expired": accounts.expired,
        "reversed": accounts.earned,
        "adjusted": accounts.adjusted,
    }
    for column, text in TEXTS.items():
        minor = sum(line.minor.moves[column] for line in lines)
        sides = (counter[column], accounts.liability)
        debit, credit = sides if SIGNS[column] > 0 else reversed(sides)
        yield debit, credit, minor, text
    left = sum(line.minor.revalued + line.minor.moves["moved"] for line in lines)
    yield accounts.revalued, accounts.liability, left, "Points revalued and rounded"
    change = sum(line.breakage_minor for line in lines) - allowance_before_minor
    yield accounts.breakage_allowance, accounts.breakage, change, "Breakage expected"


def _voucher(month: date, sides: tuple[str, str], minor: int, text: str) -> list[Entry]:
    debit, credit = sides if minor > 0 else (sides[1], sides[0])
    last_day = next_month(month) - timedelta(1)
    return [
        Entry(last_day, debit, abs(minor), 0, text),
        Entry(last_day, credit, 0, abs(minor), text),
    ]


def _text(text: str, store: str, month: date) -> str:
    return f"{text}, {store or 'no store'}, {name_of(month)}"
