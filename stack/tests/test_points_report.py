"""What the replay says of points: no posting is missed, and breakage is not made up."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.points_report import COLUMN_OF, COLUMNS, MEMBERS, rise, sum_journals, word_on_breakage

KINDS = st.sampled_from(sorted({*MEMBERS, *COLUMN_OF}))
POSTING = st.fixed_dictionaries({"debit": KINDS, "credit": KINDS, "points": st.integers(1, 10_000)})
JOURNALS = st.lists(st.fixed_dictionaries({"postings": st.lists(POSTING, max_size=4)}))
QUIET = {**dict.fromkeys(COLUMNS, 0), "earned": 900}
LIVELY = {**QUIET, "redeemed": 300}


def journal(debit: str, credit: str, points: int = 7) -> dict[str, Any]:
    return {"postings": [{"debit": debit, "credit": credit, "points": points}]}


def owed(breakage_from: str | None, *breakage: int) -> dict[str, Any]:
    """As `GET /v1/ledger/liability` answers."""
    rows = [{"breakage_points": points} for points in breakage]
    return {"points": 1_000, "basis": {"breakage_from": breakage_from}, "rows": rows}


@pytest.mark.parametrize(
    ("debit", "credit", "column", "points"),
    [
        ("issued", "pending", "earned", 7),
        ("issued", "owed", "earned", 7),
        ("reserved", "redeemed", "redeemed", 7),
        ("active", "donated", "redeemed", 7),
        ("redeemed", "active", "restored", 7),
        ("expired", "active", "restored", 7),
        ("active", "expired", "expired", 7),
        ("owed", "clawed_back", "reversed", 7),
        ("clawed_back", "active", "reversed", -7),
        ("opening", "active", "adjusted", 7),
        ("active", "adjusted", "adjusted", -7),
    ],
)
def test_a_posting_stands_in_the_column_in_which_a_statement_has_it(
    debit: str, credit: str, column: str, points: int
) -> None:
    month = sum_journals([journal(debit, credit)])

    assert {name: found for name, found in month.items() if found} == {column: points}


def test_what_moves_between_a_members_own_accounts_stands_in_none() -> None:
    month = sum_journals([journal("pending", "active"), journal("settled", "clawed_back")])

    assert month == dict.fromkeys(COLUMNS, 0)


@given(JOURNALS)
def test_the_columns_come_to_what_members_hold_more(journals: list[dict[str, Any]]) -> None:
    held = sum(
        posting["points"] * ((posting["credit"] in MEMBERS) - (posting["debit"] in MEMBERS))
        for each in journals
        for posting in each["postings"]
    )

    assert rise(sum_journals(journals)) == held


def test_without_a_closed_month_there_is_no_breakage_and_it_says_why() -> None:
    said = word_on_breakage(owed(None, 0), [], [LIVELY])

    assert said == "Breakage: no estimate, because no month is closed from which to learn."


def test_where_nobody_redeemed_the_flat_curve_is_no_estimate() -> None:
    said = word_on_breakage(owed("2011-11", 600, 400), [{}] * 12, [QUIET, QUIET])

    assert "no estimate" in said
    assert "Nobody redeemed a point, so the curve of 12 closed months is flat at 0" in said
    assert "1,000 of 1,000 points" in said


def test_where_somebody_redeemed_breakage_is_told_with_what_it_rests_on() -> None:
    said = word_on_breakage(owed("2011-11", 100, 50), [{}], [QUIET, LIVELY])

    assert said == (
        "Breakage: 150 of 1,000 points will not be asked for,"
        " by the redemption curve of one closed month."
    )
