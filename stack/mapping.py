"""How the columns and codes of a retail CSV file are to be taken: a TOML file, or options.

delimiter = ";"                     # else the one that the header has most of
encoding = "utf-8"
date_format = "%d.%m.%Y %H:%M"      # else found out; as Python's strptime
decimal = ","                       # of prices
zone = "Europe/Berlin"              # of the dates
store = "shop"
currency = "EUR"
cancel_prefix = "C"                 # of invoices that take back

[columns]                           # field = "the file's name for it"
invoice = "OrderNo"
sku = "Article"
quantity = "Qty"
time = "Date"
price = "Price"                     # of one piece, tax included
customer = "CustomerNo"             # may be missing, as may name and country
name = "Title"
country = "Country"

[codes]                             # articles that are none; * stands for anything
shipping = ["POST"]
fee = ["MANUAL"]
gift_card = ["VOUCHER*"]
ignore = ["CORRECTION"]             # the shop's own bookkeeping: no order
"""

import tomllib
from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from stack.errors import StackError

NAMES: dict[str, tuple[str, ...]] = {  # in the order of retail.Row
    "invoice": ("InvoiceNo", "Invoice"),
    "sku": ("StockCode",),
    "name": ("Description",),
    "quantity": ("Quantity",),
    "time": ("InvoiceDate",),
    "price": ("UnitPrice", "Price"),
    "customer": ("CustomerID", "Customer ID"),
    "country": ("Country",),
}
"""The fields, and what UCI Online Retail and Online Retail II call them."""
OPTIONAL = frozenset({"name", "customer", "country"})

DATE_FORMATS = (
    "",  # ISO 8601
    *("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"),
    *("%d/%m/%y %H:%M", "%m/%d/%y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M"),
    *("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d"),
)
"""What is tried, in this order."""

Kind = Literal["product", "shipping", "fee", "gift_card"]


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is no IANA zone, such as Europe/London")
    return name


def _date_format(form: str) -> str:
    moment = datetime(2010, 12, 31, 23, 59)  # noqa: DTZ001 -- only the format is tried
    if form and datetime.strptime(moment.strftime(form), form).date() != moment.date():  # noqa: DTZ007
        raise ValueError("does not tell day, month and year, such as %d.%m.%Y %H:%M")
    return form


class Codes(BaseModel):
    """Which article codes are not goods; the defaults are those of the UCI files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shipping: tuple[str, ...] = ("POST", "DOT", "C2")
    fee: tuple[str, ...] = ("M", "D", "BANK CHARGES", "CRUK")
    gift_card: tuple[str, ...] = ("GIFT_*",)
    ignore: tuple[str, ...] = ("AMAZONFEE", "B", "S")

    def kind_of(self, code: str) -> Kind | None:
        """None: to be left out."""
        upper = code.upper()
        if _matches(upper, self.ignore):
            return None
        for kind in ("shipping", "fee", "gift_card"):
            if _matches(upper, getattr(self, kind)):
                return kind
        return "product"


class Mapping(BaseModel):
    """See the module. The defaults are for UCI Online Retail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, str] = Field(default_factory=dict)
    codes: Codes = Codes()
    delimiter: Annotated[str, Field(max_length=1)] = ""
    encoding: str = "utf-8-sig"
    date_format: Annotated[str, AfterValidator(_date_format)] = ""
    decimal: Literal[".", ","] = "."
    zone: Annotated[str, AfterValidator(_zone)] = "Europe/London"
    store: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "uk"
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "GBP"
    cancel_prefix: str = "C"

    @classmethod
    def load(cls, path: Path | None, columns: Sequence[str] = (), **options: str | None) -> Self:
        """The file's mapping, with `field=name` columns and options over it."""
        given: dict[str, Any] = {}
        if path:
            try:
                given = tomllib.loads(path.read_text())
            except (OSError, ValueError) as error:
                raise StackError(f"{path}: {error}") from None
        told = dict(given.get("columns", {}))
        for column in columns:
            field, equals, name = column.partition("=")
            if not equals:
                raise StackError(f"--column {column}: write field=name, such as invoice=OrderNo")
            told[field.strip()] = name.strip()
        _check_fields(told)
        given |= {name: value for name, value in options.items() if value is not None}
        try:
            return cls.model_validate(given | {"columns": told})
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise StackError(f"{path or 'options'}: {'; '.join(faults)}") from None


def _check_fields(columns: dict[str, str]) -> None:
    for field in columns:
        if field not in NAMES:
            close = get_close_matches(field, NAMES, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise StackError(f"column {field}: no such field{meant} There are: {', '.join(NAMES)}")


def _matches(code: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(code, pattern.upper()) for pattern in patterns)
