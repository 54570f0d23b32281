"""Reads order lines from a CSV file: UCI Online Retail's, or the user's own.

    for row in retail.read(path, mapping): ...

The file may be `.csv`, `.csv.gz` or `.csv.xz`, with any of the usual delimiters. Columns
are found by the names in `mapping.columns`, else by those of the UCI files. The date format
is found by looking at the first rows, unless the mapping says it. Whatever cannot be read
ends the reading with an error that names line and column.
"""

import csv
import gzip
import itertools
import lzma
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from zoneinfo import ZoneInfo

from stack.errors import StackError
from stack.mapping import DATE_FORMATS, NAMES, OPTIONAL, Mapping

DETECT_ROWS = 20_000  # rows looked at for the date format
DELIMITERS = ",;\t|"
QUANTITY_MAX = 1_000_000
PRICE_MAX = Decimal(10**9)
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
BROKEN = (OSError, EOFError, lzma.LZMAError, csv.Error)


class Row(NamedTuple):
    """One line of the file; `customer` is empty for a guest, `quantity` below 0 takes back."""

    line: int
    invoice: str
    sku: str
    name: str
    quantity: int
    time: datetime
    price: Decimal
    customer: str
    country: str


class Layout(NamedTuple):
    """How this file is to be read. `places` are the columns of Row's fields, -1: there is none."""

    path: Path
    mapping: Mapping
    header: tuple[str, ...]
    delimiter: str
    places: dict[str, int]
    date_format: str  # empty: ISO 8601

    @property
    def unused(self) -> list[str]:
        """Columns that nothing is read from."""
        return [name for place, name in enumerate(self.header) if place not in self.places.values()]

    def fault(self, line: int, field: str, what: str) -> StackError:
        return StackError(
            f"{self.path.name}: line {line}, {self.header[self.places[field]]}: {what}"
        )


def inspect(path: Path, mapping: Mapping) -> Layout:
    """Look at the header and the first rows."""
    with _open(path, mapping) as file:
        try:
            head = file.readline().rstrip("\r\n")
            delimiter = mapping.delimiter or max(DELIMITERS, key=head.count)
            header = tuple(name.strip() for name in next(csv.reader([head], delimiter=delimiter)))
        except (StopIteration, UnicodeDecodeError, *BROKEN) as error:
            raise _unreadable(path, 0, error) from None
    if not any(header):
        raise StackError(f"{path.name}: line 1 is empty; it has to name the columns")
    places = _find_columns(path, header, mapping)
    layout = Layout(path, mapping, header, delimiter, places, mapping.date_format)
    if mapping.date_format:
        return layout
    place = places["time"]
    first = itertools.islice(_rows(layout), DETECT_ROWS)
    times = [(line, fields[place].strip()) for line, fields in first]
    return layout._replace(date_format=_find_format(layout, times))


def read(layout: Layout, limit: int | None = None) -> Iterator[Row]:
    """The rows in the order of the file, up to `limit` of them."""
    places = [layout.places[field] for field in NAMES]
    parse_time, parse_price = _time_parser(layout), _price_parser(layout)
    for line, fields in itertools.islice(_rows(layout), limit):
        invoice, sku, name, quantity, time, price, customer, country = (
            fields[place].strip() if place >= 0 else "" for place in places
        )
        if not invoice or not sku:
            field = "sku" if invoice else "invoice"
            raise layout.fault(line, field, "is empty; every line needs one")
        yield Row(
            line,
            invoice,
            sku,
            name,
            _quantity(layout, line, quantity),
            parse_time(line, time),
            parse_price(line, price),
            # Spreadsheets make numbers of ids: 17850 becomes 17850.0.
            customer.removesuffix(".0") if customer[:-2].isdigit() else customer,
            country,
        )


def _open(path: Path, mapping: Mapping) -> TextIO:
    opener = OPENERS.get(path.suffix, open)
    try:
        file: TextIO = opener(path, "rt", encoding=mapping.encoding, newline="")
    except OSError as error:
        raise StackError(f"{path}: {error.strerror or error}") from None
    return file


def _rows(layout: Layout) -> Iterator[tuple[int, Sequence[str]]]:
    """Each record after the header, with the line on which it ends."""
    width = len(layout.header)
    with _open(layout.path, layout.mapping) as file:
        reader = csv.reader(file, delimiter=layout.delimiter)
        try:
            next(reader)
            for fields in reader:
                if len(fields) == width:
                    yield reader.line_num, fields
                elif fields:
                    text = f"{len(fields)} fields, but the header has {width}"
                    raise StackError(f"{layout.path.name}: line {reader.line_num}: {text}")
        except (UnicodeDecodeError, *BROKEN) as error:
            raise _unreadable(layout.path, reader.line_num, error) from None


def _unreadable(path: Path, line: int, error: Exception) -> StackError:
    if isinstance(error, StopIteration):
        return StackError(f"{path.name}: is empty; line 1 has to name the columns")
    if isinstance(error, UnicodeDecodeError):
        advice = "give another with --encoding, such as latin-1"
        return StackError(f"{path.name}: after line {line}: not {error.encoding}; {advice}")
    return StackError(f"{path.name}: after line {line}: cannot be read: {error}")


def _find_columns(path: Path, header: Sequence[str], mapping: Mapping) -> dict[str, int]:
    """Where each field stands; StackError names what is missing and what there is."""
    folded = {name.casefold(): place for place, name in reversed(list(enumerate(header)))}
    places, missing = {}, []
    for field, usual in NAMES.items():
        told = mapping.columns.get(field)
        wanted = (told,) if told else usual
        found = [folded[name.casefold()] for name in wanted if name.casefold() in folded]
        places[field] = found[0] if found else -1
        if not found and (told or field not in OPTIONAL):
            missing.append(f"{field} (looked for {' or '.join(wanted)})")
    if missing:
        raise StackError(
            f"{path.name}: line 1: no column for {', '.join(missing)}; the file has"
            f" {', '.join(header)}. Say which it is: --column {missing[0].split()[0]}=NAME"
        )
    return places


def _find_format(layout: Layout, times: Sequence[tuple[int, str]]) -> str:
    """The one format that reads all of `times`; of several the one that keeps their order."""
    texts = [text for _, text in times]
    fits = {form: [_fits(text, form) for text in texts] for form in DATE_FORMATS}
    fitting = [form for form in DATE_FORMATS if all(fits[form])]
    if not fitting:
        best = max(DATE_FORMATS, key=lambda form: sum(fits[form]))
        line, text = times[fits[best].index(False)]
        raise layout.fault(line, "time", f"{text!r} is not {_named(best)}; give --date-format")
    if len(fitting) > 1:
        steady = [form for form in fitting if _is_sorted([_parse(text, form) for text in texts])]
        fitting = steady or fitting
    if len(fitting) > 1 and texts:
        options = " or ".join(map(_named, fitting))
        raise layout.fault(times[0][0], "time", f"may be {options}; say it with --date-format")
    return fitting[0]


def _named(form: str) -> str:
    return form or "a date such as 2010-12-01 08:26:00"


def _parse(text: str, form: str) -> datetime:
    return datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 -- the zone is the mapping's


def _fits(text: str, form: str) -> bool:
    try:
        _parse(text, form)
    except ValueError:
        return False
    return True


def _is_sorted(times: Sequence[datetime]) -> bool:
    return all(earlier <= later for earlier, later in itertools.pairwise(times))


def _time_parser(layout: Layout) -> Callable[[int, str], datetime]:
    zone = ZoneInfo(layout.mapping.zone)

    @lru_cache(maxsize=4_096)
    def parse(text: str) -> datetime:
        time = _parse(text, layout.date_format)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)

    def checked(line: int, text: str) -> datetime:
        try:
            return parse(text)
        except ValueError:
            wanted = _named(layout.date_format)
            raise layout.fault(line, "time", f"{text!r} is not {wanted}") from None

    return checked


def _price_parser(layout: Layout) -> Callable[[int, str], Decimal]:
    @lru_cache(maxsize=65_536)
    def parse(text: str) -> Decimal:
        plain = re.sub(r"[\s£$€¥]", "", text)
        if layout.mapping.decimal == ",":
            plain = plain.replace(".", "").replace(",", ".")
        price = Decimal(plain)
        if not abs(price) <= PRICE_MAX:  # NaN fails every comparison
            raise InvalidOperation
        return price

    def checked(line: int, text: str) -> Decimal:
        try:
            return parse(text)
        except InvalidOperation:
            advice = " (comma for point? --decimal ,)" if "," in text else ""
            raise layout.fault(line, "price", f"{text!r} is not a price{advice}") from None

    return checked


def _quantity(layout: Layout, line: int, text: str) -> int:
    try:
        quantity = int(text.removesuffix(".0"))
    except ValueError:
        raise layout.fault(line, "quantity", f"{text!r} is not a whole number") from None
    if abs(quantity) > QUANTITY_MAX:
        raise layout.fault(line, "quantity", f"{text} is beyond {QUANTITY_MAX:,}")
    return quantity
