"""Another system's rows: what is taken, what is named, and what to do about it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.arrivals.import_columns import PRESETS, Mapping, fields_of, places
from services.loyalty.arrivals.import_fields import Fault, Terms
from services.loyalty.arrivals.import_rows import Control, read
from services.loyalty.store.scratch import Scratch
from shared.errors import Fatal
from shared.stores import Store, Stores

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
STORES = Stores("CNY", {"cn": Store(id="cn", zone="Asia/Shanghai"), "uk": Store(id="uk")})
BALANCE = {
    "customer_id": "ada",
    "points": "1200",
    "earned_at": "2026-01-31",
    "expires_at": "2026-12-31",
    "store": "cn",
}
AWARD = {
    "customer_id": "ada",
    "order_id": "o1",
    "line_id": "1",
    "points": "10",
    "total_minor": "1000",
    "quantity": "2",
    "ordered_at": "2026-10-31T08:00:00Z",
    "store": "uk",
}


@pytest.fixture
def scratch():
    found = Scratch()
    yield found
    found.close()


def taken(scratch, *records, kind="balances", mapping=None, translated=False):
    """Rows, faults and control totals of these records."""
    terms = Terms(kind, mapping or Mapping(), STORES, NOW, translated=translated)
    control, rows, faults = Control(), [], []
    for each in read(enumerate(records, start=2), terms, scratch, control):
        if isinstance(each, Fault):
            faults.append(each)
        else:
            control.count(each, scratch)
            rows.append(each)
    return rows, faults, control


def test_a_date_alone_begins_a_day_and_an_expiry_is_good_until_its_end(scratch):
    [row], faults, _ = taken(scratch, BALANCE)

    assert not faults
    assert row.earned_at == datetime(2026, 1, 30, 16, tzinfo=UTC), "midnight in Shanghai"
    assert row.expires_at == datetime(2026, 12, 31, 16, tzinfo=UTC), "when the 31st has ended there"


def test_a_mappings_zone_and_format_hold_for_dates_without_one(scratch):
    mapping = Mapping(zone="Europe/London", date_format="%d/%m/%Y %H:%M")
    told = BALANCE | {"earned_at": "05/06/2026 09:30", "expires_at": "31/12/2026 00:00"}

    [row], _, _ = taken(scratch, told, mapping=mapping)

    assert row.earned_at == datetime(2026, 6, 5, 8, 30, tzinfo=UTC), "British summer time"
    assert row.expires_at == datetime(2026, 12, 31, tzinfo=UTC), "a time is taken as it is"


@pytest.mark.parametrize(
    ("change", "field", "advice"),
    [
        ({"points": "12.5"}, "points", "whole number"),
        ({"points": "1,200"}, "points", "without separators"),
        ({"points": "-5"}, "points", "not from 0"),
        ({"points": "9" * 30}, "points", "not from 0"),
        ({"points": ""}, "points", "whole number"),
        ({"points": True}, "points", "no plain text"),
        ({"note": "a\x00b"}, "note", "NUL"),
        ({"note": "\ud800"}, "note", "NUL"),
        ({"customer_id": ""}, "customer_id", "empty"),
        ({"customer_id": "x" * 201}, "customer_id", "too long"),
        ({"customer_id": "13800138000"}, "customer_id", "--ids"),
        ({"customer_id": "ada@shop.example"}, "customer_id", "--ids"),
        ({"customer_id": "guest:1"}, "customer_id", "guest"),
        ({"store": "nowhere"}, "store", "stores file, which has cn, uk"),
        ({"earned_at": ""}, "earned_at", "give a date"),
        ({"earned_at": "31.1.2026"}, "earned_at", "2026-12-31"),
        ({"earned_at": "2027-01-01"}, "earned_at", "future"),
        ({"expires_at": "2026-10-31"}, "expires_at", "over"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(scratch, change, field, advice):
    rows, [fault], _ = taken(scratch, BALANCE | change)

    assert not rows
    assert (fault.row, fault.field) == (2, field)
    assert advice in fault.what
    if field == "customer_id" and change[field]:
        assert change[field] not in str(fault), "it may be his phone"


def test_every_wrong_field_of_every_row_is_told(scratch):
    bad = BALANCE | {"points": "x", "earned_at": "y"}

    rows, faults, control = taken(scratch, bad, BALANCE, bad | {"store": "z"})

    assert [(fault.row, fault.field) for fault in faults] == [
        (2, "points"),
        (2, "earned_at"),
        (4, "store"),
        (4, "points"),
        (4, "earned_at"),
    ]
    assert (len(rows), control.rows, control.points, control.customers) == (1, 1, 1200, 1)


def test_a_row_that_comes_twice_names_the_first(scratch):
    rows, [fault], _ = taken(scratch, BALANCE, BALANCE | {"note": "another"}, BALANCE)

    assert len(rows) == 2
    assert fault.row == 4
    assert "row 2" in fault.what


def test_rows_without_points_bring_nothing(scratch):
    rows, faults, control = taken(scratch, BALANCE | {"points": "0"}, BALANCE)

    assert not faults
    assert len(rows) == control.rows == control.empty == 1


def test_an_order_has_one_customer_store_and_time_and_each_line_once(scratch):
    other = AWARD | {"line_id": "2", "customer_id": "bob"}

    rows, faults, _ = taken(scratch, AWARD, AWARD, other, kind="awards")

    assert [row.line_id for row in rows] == ["1"]
    assert [(fault.row, fault.field) for fault in faults] == [(3, "row"), (4, "order_id")]


def test_only_the_points_of_pending_lines_enter_with_the_awards(scratch):
    pending = AWARD | {"line_id": "2", "status": "pending", "points_back": "4"}

    _, faults, control = taken(scratch, AWARD, pending, kind="awards")

    assert not faults
    assert (control.rows, control.points) == (2, 6)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"points_back": "11"}, "points_back"),
        ({"status": "paid"}, "status"),
        ({"quantity": "0"}, "quantity"),
        ({"order_id": ""}, "order_id"),
        ({"total_minor": "10.50"}, "total_minor"),
    ],
)
def test_a_wrong_award_is_named(scratch, change, field):
    rows, [fault], _ = taken(scratch, AWARD | change, kind="awards")

    assert not rows
    assert fault.field == field


def test_customers_are_translated_by_the_ids_file(scratch):
    scratch.name([("ada@shop.example", "c-1"), ("+8613800138000", "13800138000")])
    told = [BALANCE | {"customer_id": key} for key in ("ada@shop.example", "eve", "+8613800138000")]

    [row], faults, _ = taken(scratch, *told, translated=True)

    assert row.customer_id == "c-1"
    assert ["--ids file" in fault.what for fault in faults] == [True, True]


def test_what_is_the_same_in_every_row_is_a_constant(scratch):
    mapping = Mapping(constants={"store": "uk", "earned_at": "2026-10-01"})

    [row], faults, _ = taken(scratch, {"customer_id": "ada", "points": 5}, mapping=mapping)

    assert not faults
    assert (row.store, row.points, row.expires_at) == ("uk", 5, None)


@given(
    points=st.integers(0, 10**12),
    form=st.sampled_from(("{}", "{}.0", "{}.00", " {} ")),
    days=st.integers(0, 4000),
)
def test_what_a_sane_file_says_is_what_is_read(points, form, days):
    scratch, earned = Scratch(), NOW - timedelta(days)
    told = BALANCE | {"points": form.format(points), "earned_at": earned.isoformat()}

    rows, faults, control = taken(scratch, told)
    scratch.close()

    assert not faults
    assert control.points == points == sum(row.points for row in rows)
    assert all(row.earned_at == earned for row in rows)


def test_columns_are_found_by_any_case_and_what_is_missing_is_named():
    found = places(("Customer_ID", "POINTS", "earned_at", "more"), "balances", Mapping())
    assert found == {"customer_id": "Customer_ID", "points": "POINTS", "earned_at": "earned_at"}

    with pytest.raises(Fatal, match=r"customer_id .*earned_at .*the file has points"):
        places(("points",), "balances", Mapping())
    with pytest.raises(Fatal, match=r"note .looked for remark"):
        places(tuple(BALANCE), "balances", Mapping(columns={"note": "remark"}))


def test_a_mapping_that_is_wrong_says_where():
    with pytest.raises(Fatal, match="did you mean points"):
        Mapping.of({"columns": {"point": "x"}})
    with pytest.raises(Fatal, match="no IANA zone"):
        Mapping.of({"zone": "Mars"})
    with pytest.raises(Fatal, match="field=name"):
        Mapping.of({}, ["points"])
    with pytest.raises(Fatal, match="day, month and year"):
        Mapping.of({"date_format": "%d"})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_mapping(name):
    mapping = Mapping.of(PRESETS[name], ["note=remark"], ["store=uk"])

    assert set(mapping.columns) <= set(fields_of("balances"))
    assert (mapping.columns["note"], mapping.constants["store"]) == ("remark", "uk")
