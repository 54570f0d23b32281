"""Reading order lines: the user's own names, formats and mistakes."""

import gzip
import lzma
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from stack import retail
from stack.errors import StackError
from stack.mapping import Mapping
from stack.retail import Row

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
LINE = "536365,85123A,WHITE HANGING HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def rows(path: Path, mapping: Mapping | None = None, limit: int | None = None) -> list[Row]:
    return list(retail.read(retail.inspect(path, mapping or Mapping()), limit))


def test_a_line_of_uci_online_retail(tmp_path: Path) -> None:
    (row,) = rows(write(tmp_path / "a.csv", HEADER, LINE))

    assert row == Row(
        line=2,
        invoice="536365",
        sku="85123A",
        name="WHITE HANGING HEART",
        quantity=6,
        time=datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        price=Decimal("2.55"),
        customer="17850",
        country="United Kingdom",
    )


def test_summer_is_told_in_the_zone_of_the_shop(tmp_path: Path) -> None:
    line = LINE.replace("2010-12-01 08:26", "2011-07-01 08:26")

    (row,) = rows(write(tmp_path / "a.csv", HEADER, line))

    assert row.time == datetime(2011, 7, 1, 7, 26, tzinfo=UTC)


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.xz"])
def test_packed_files_are_read_as_they_are(tmp_path: Path, suffix: str) -> None:
    opener = gzip.open if suffix == ".csv.gz" else lzma.open
    path = tmp_path / f"a{suffix}"
    with opener(path, "wt") as file:
        file.write(f"{HEADER}\n{LINE}\n")

    assert len(rows(path)) == 1


def test_ones_own_columns_by_a_mapping_file(tmp_path: Path) -> None:
    toml = write(
        tmp_path / "mapping.toml",
        'decimal = ","\nzone = "Europe/Berlin"\ncurrency = "EUR"\nstore = "laden"',
        '[columns]\ninvoice = "Beleg"\nsku = "Artikel"\nquantity = "Menge"',
        'time = "Datum"\nprice = "Preis"\ncustomer = "Kunde"',
    )
    path = write(
        tmp_path / "eigene.csv",
        "Beleg;Datum;Artikel;Menge;Preis;Kunde;Lager",
        "R-1;13.05.2024 09:15;T-100;2;1.249,50;K-7;Nord",
    )
    mapping = Mapping.load(toml)
    layout = retail.inspect(path, mapping)

    (row,) = retail.read(layout)

    assert layout.unused == ["Lager"]
    assert (row.price, row.customer, row.name, row.country) == (Decimal("1249.50"), "K-7", "", "")
    assert row.time == datetime(2024, 5, 13, 7, 15, tzinfo=UTC)


def test_options_win_over_the_file(tmp_path: Path) -> None:
    toml = write(tmp_path / "m.toml", 'zone = "UTC"\n[columns]\ninvoice = "A"\nsku = "B"')

    mapping = Mapping.load(toml, ["invoice=Order No"], zone="Asia/Shanghai", currency=None)

    assert mapping.columns == {"invoice": "Order No", "sku": "B"}
    assert (mapping.zone, mapping.currency) == ("Asia/Shanghai", "GBP")


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (("12/13/2010 8:26", "12/14/2010 9:00"), datetime(2010, 12, 13, 8, 26, tzinfo=UTC)),
        (("13/12/2010 8:26", "14/12/2010 9:00"), datetime(2010, 12, 13, 8, 26, tzinfo=UTC)),
        # Both would read these; only one keeps the order of the file.
        (("1/5/2011 8:26", "2/1/2011 9:00"), datetime(2011, 1, 5, 8, 26, tzinfo=UTC)),
        (("2010-12-13T08:26:00+01:00",), datetime(2010, 12, 13, 7, 26, tzinfo=UTC)),
        (("13.12.2010 08:26",), datetime(2010, 12, 13, 8, 26, tzinfo=UTC)),
    ],
)
def test_the_date_format_is_found(
    tmp_path: Path, dates: tuple[str, ...], expected: datetime
) -> None:
    lines = [LINE.replace("2010-12-01 08:26:00", date) for date in dates]

    found = rows(write(tmp_path / "a.csv", HEADER, *lines))

    assert found[0].time == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("6,2010", "six,2010"), r"a\.csv: line 3, Quantity: 'six' is not a whole number"),
        (("6,2010", "60000000,2010"), "line 3, Quantity: 60000000 is beyond 1,000,000"),
        (("2.55", "2;55"), "line 3, UnitPrice: '2;55' is not a price"),
        (("2.55", "NaN"), "line 3, UnitPrice: 'NaN' is not a price"),
        (
            ("2010-12-01 08:26:00", "soon"),
            "line 3, InvoiceDate: 'soon' is not a date .*--date-format",
        ),
        (("536365", ""), "line 3, InvoiceNo: is empty"),
        (("85123A", " "), "line 3, StockCode: is empty"),
        ((",United Kingdom", ""), "line 3: 7 fields, but the header has 8"),
    ],
)
def test_a_mistake_names_its_line_and_column(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = write(tmp_path / "a.csv", HEADER, LINE, LINE.replace(*change))

    with pytest.raises(StackError, match=message):
        rows(path)


def test_a_late_date_of_another_format_names_its_line(tmp_path: Path) -> None:
    mapping = Mapping(date_format="%d.%m.%Y")
    line = LINE.replace("2010-12-01 08:26:00", "13.12.2010")
    path = write(tmp_path / "a.csv", HEADER, line, line.replace("13.12.2010", "12/13/2010"))

    with pytest.raises(StackError, match=r"line 3, InvoiceDate: '12/13/2010' is not %d\.%m\.%Y"):
        rows(path, mapping)


def test_a_date_that_may_be_two_days_is_asked_about(tmp_path: Path) -> None:
    line = LINE.replace("2010-12-01 08:26:00", "5/6/2010 8:26")

    with pytest.raises(StackError, match=r"may be .*; say it with --date-format"):
        rows(write(tmp_path / "a.csv", HEADER, line))


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER.replace("InvoiceNo", "OrderNo"), LINE)

    with pytest.raises(StackError, match=r"no column for invoice .*OrderNo.*--column invoice=NAME"):
        rows(path)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (["invioce=A"], {}, r"column invioce: no such field; did you mean invoice\?"),
        (["invoice"], {}, "--column invoice: write field=name"),
        ([], {"zone": "Mars/Dome"}, "zone: .*no IANA zone"),
        ([], {"currency": "pound"}, "currency: "),
        ([], {"date_format": "%H:%M"}, "date_format: .*day, month and year"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(
    columns: list[str], options: dict[str, str], message: str
) -> None:
    with pytest.raises(StackError, match=message):
        Mapping.load(None, columns, **options)


def test_files_that_are_none(tmp_path: Path) -> None:
    broken = tmp_path / "a.csv.xz"
    broken.write_bytes(b"not packed")
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEADER}\n{LINE}\n".replace("WHITE", "CAFÉ").encode("latin-1"))

    with pytest.raises(StackError, match="No such file"):
        rows(tmp_path / "none.csv")
    with pytest.raises(StackError, match="cannot be read"):
        rows(broken)
    with pytest.raises(StackError, match="is empty"):
        rows(write(tmp_path / "empty.csv", ""))
    with pytest.raises(StackError, match="not utf-8; give another with --encoding"):
        rows(latin)
    assert rows(latin, Mapping(encoding="latin-1"))[0].name == "CAFÉ HANGING HEART"


def test_a_limit_ends_the_reading(tmp_path: Path) -> None:
    assert len(rows(write(tmp_path / "a.csv", HEADER, LINE, LINE, LINE), limit=2)) == 2
