"""The closing statement, its money and its vouchers, as pure functions."""

import csv
import io
from datetime import UTC, date, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.books.accounting import (
    Calendar,
    month_of,
    months_between,
    next_month,
    parse_month,
)
from services.loyalty.books.ledger import AccountKind
from services.loyalty.reporting import vouchers
from services.loyalty.reporting.statement import GROUPS, SIGNS, Flow, Key, Line, fold, total, value
from services.loyalty.reporting.valuation import Accounts, round_half_up

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
MEMBER = sorted(GROUPS)

STORES = st.sampled_from(("", "web", "till"))
COHORTS = st.sampled_from((None, date(2026, 8, 1), date(2026, 9, 1), OCTOBER))
KINDS = st.sampled_from(sorted(AccountKind))
FLOWS = st.lists(
    st.builds(Flow, STORES, COHORTS, KINDS, KINDS, st.integers(1, 10**12)).filter(
        lambda flow: flow.debit != flow.credit
    ),
    max_size=12,
)
KEYS = st.one_of(
    st.builds(Key, STORES, st.sampled_from(("pending", "owed"))),
    st.builds(Key, STORES, st.just("lots"), COHORTS),
)
OPENINGS = st.dictionaries(KEYS, st.integers(-(10**9), 10**12), max_size=6)
VALUES = st.builds(Fraction, st.integers(0, 10**6), st.integers(1, 10**6))


def zone(name="Asia/Shanghai"):
    return ZoneInfo(name)


def test_the_accounting_date_is_the_business_day_in_the_base_zone():
    late_evening = datetime(2026, 10, 31, 17, tzinfo=UTC)

    assert Calendar(zone()).account(late_evening) == (NOVEMBER, None)
    assert Calendar(zone("UTC")).account(late_evening) == (date(2026, 10, 31), None)


def test_what_comes_after_the_close_counts_for_the_open_month_and_refers_back():
    calendar = Calendar(zone(), open_from=NOVEMBER)

    assert calendar.account(datetime(2026, 8, 5, tzinfo=UTC)) == (NOVEMBER, date(2026, 8, 1))
    assert calendar.account(datetime(2026, 12, 5, tzinfo=UTC)) == (date(2026, 12, 5), None)


@given(day=st.dates(date(1900, 1, 1), date(2199, 12, 31)))
def test_months_follow_on_each_other(day):
    month = month_of(day)

    assert month <= day < next_month(month)
    assert months_between(month, next_month(month)) == 1
    assert parse_month(f"{month:%Y-%m}") == month


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-1", "0000-01", "9999-12", "2026-10-01", "october", ""]
)
def test_what_is_no_month_is_told_how_to_write_it(text):
    with pytest.raises(ValueError, match="2026-10"):
        parse_month(text)


def test_a_statement_tells_where_points_came_from_and_went():
    cohort = OCTOBER
    kinds = AccountKind
    lines = fold(
        {Key("web", "lots", date(2026, 9, 1)): 100},
        [
            Flow("web", None, kinds.ISSUED, kinds.PENDING, 50),
            Flow("web", cohort, kinds.PENDING, kinds.ACTIVE, 30),
            Flow("web", None, kinds.PENDING, kinds.CLAWED_BACK, 5),
            Flow("web", date(2026, 9, 1), kinds.ACTIVE, kinds.RESERVED, 40),
            Flow("web", date(2026, 9, 1), kinds.RESERVED, kinds.REDEEMED, 40),
            Flow("web", date(2026, 9, 1), kinds.REDEEMED, kinds.ACTIVE, 10),
            Flow("web", date(2026, 9, 1), kinds.ACTIVE, kinds.EXPIRED, 7),
            Flow("", cohort, kinds.ADJUSTED, kinds.ACTIVE, 3),
        ],
    )

    told = {
        key: (sums.opening, {name: points for name, points in sums.moves.items() if points})
        for key, sums in lines.items()
    }
    assert told == {
        Key("", "lots", cohort): (0, {"adjusted": 3}),
        Key("web", "lots", date(2026, 9, 1)): (100, {"restored": 10, "redeemed": 40, "expired": 7}),
        Key("web", "lots", cohort): (0, {"moved": 30}),
        Key("web", "pending"): (0, {"earned": 50, "reversed": 5, "moved": -30}),
    }
    assert [sums.closing for sums in lines.values()] == [3, 63, 30, 15]


@given(opening=OPENINGS, flows=FLOWS)
def test_a_statement_holds_what_the_postings_come_to(opening, flows):
    lines = fold(opening, flows)

    came = sum(flow.points for flow in flows if flow.credit in MEMBER)
    went = sum(flow.points for flow in flows if flow.debit in MEMBER)
    assert sum(s.closing for s in lines.values()) == sum(opening.values()) + came - went
    assert sum(s.opening for s in lines.values()) == sum(opening.values())
    assert not total(list(lines.values())).moves["moved"]


@given(first=FLOWS, second=FLOWS, of_one=VALUES)
def test_a_month_opens_with_what_the_last_one_closed_with_in_points_and_money(
    first, second, of_one
):
    before = fold({}, first)
    closed = {key: value(sums, None, of_one).closing for key, sums in before.items()}
    after = fold({key: sums.closing for key, sums in before.items()}, second)

    for key, sums in after.items():
        minor = value(sums, closed.get(key), of_one)
        assert minor.closing == round_half_up(sums.closing * of_one)
        assert not minor.revalued, "the point is worth what it was"
    whole = fold({}, [*first, *second])
    assert {k: s.closing for k, s in whole.items() if s.closing} == {
        k: s.closing for k, s in after.items() if s.closing
    }


@given(opening=OPENINGS, flows=FLOWS, of_one=VALUES, was_worth=VALUES)
def test_money_adds_up_to_the_last_minor_unit(opening, flows, of_one, was_worth):
    for key, points in fold(opening, flows).items():
        opened = round_half_up(opening.get(key, 0) * was_worth)
        minor = value(points, opened, of_one)

        assert minor.opening == opened
        assert minor.closing == round_half_up(points.closing * of_one)
        assert all(minor.moves[c] == 0 for c in SIGNS if not points.moves[c])
        assert all(abs(minor.moves[c] - points.moves[c] * of_one) < 1 for c in SIGNS)


@given(opening=OPENINGS, flows=FLOWS, of_one=VALUES, before=st.integers(0, 10**6))
def test_vouchers_balance_and_their_liability_is_the_statements(opening, flows, of_one, before):
    lines = [
        Line(key, points, value(points, None, of_one), 0, abs(points.closing) % 7)
        for key, points in fold(opening, flows).items()
    ]

    found = vouchers.entries(OCTOBER, lines, {"web": before}, Accounts())

    assert sum(e.debit_minor for e in found) == sum(e.credit_minor for e in found)
    assert all(min(e.debit_minor, e.credit_minor) == 0 for e in found)
    assert all(max(e.debit_minor, e.credit_minor) > 0 for e in found)
    held = {"liability": 0, "allowance": 0}
    for entry in found:
        for name, account in (
            ("liability", Accounts().liability),
            ("allowance", Accounts().breakage_allowance),
        ):
            if entry.account == account:
                held[name] += entry.credit_minor - entry.debit_minor
    rise = sum(line.minor.closing - line.minor.opening for line in lines)
    assert held["liability"] == rise
    assert held["allowance"] == before - sum(line.breakage_minor for line in lines)


def test_a_voucher_file_is_exact_and_no_spreadsheet_runs_it():
    entry = vouchers.Entry(date(2026, 10, 31), "2205", 123456, 0, '=HYPERLINK("x"), "web"')
    small = vouchers.Entry(date(2026, 10, 31), "4001", 0, 5, "Points earned")

    rows = list(csv.reader(io.StringIO(vouchers.to_csv([entry, small], "EUR"))))

    assert rows == [
        ["date", "account", "debit", "credit", "text"],
        ["2026-10-31", "2205", "1234.56", "", '\'=HYPERLINK("x"), "web"'],
        ["2026-10-31", "4001", "", "0.05", "Points earned"],
    ]
    assert vouchers.to_csv([entry], "JPY").splitlines()[1].split(",")[2] == "123456"
    assert vouchers.to_csv([small], "KWD").splitlines()[1].split(",")[3] == "0.005"


@given(text=st.text(max_size=20))
def test_no_cell_begins_a_formula(text):
    assert not vouchers.cell(text).startswith(vouchers.FORMULA_STARTS)
