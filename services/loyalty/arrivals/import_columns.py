"""How another system's file is to be taken: which column is which field. Pure.

    zone = "Asia/Shanghai"              # of dates without one; else the row's store's
    date_format = "%Y/%m/%d"            # else ISO 8601; as Python's strptime
    delimiter = ";"                     # else the one that the header has most of
    encoding = "gb18030"                # else UTF-8

    [columns]                           # field = "the file's name for it"
    customer_id = "会员编号"
    points = "可用积分"

    [constants]                         # what is the same in every row
    store = "web"
    earned_at = "2026-12-31"

    [ids]                               # where the file knows customers by another name
    key = "Email"                       # a column of the --ids file, as in `customer_id` above
    customer_id = "ID"

A file that already has our names needs none of this. A preset is a mapping that we know
from the other system's own documentation.
"""

from collections.abc import Mapping as Names
from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, ValidationError

from services.loyalty.terms.conditions import Part
from shared.errors import Fatal

Kind = Literal["balances", "awards", "tiers", "coupons", "memberships", "compare"]
"""`compare`: what the other system says that its customers hold."""

REQUIRED: dict[Kind, tuple[str, ...]] = {
    "balances": ("customer_id", "points", "earned_at"),
    "awards": (
        "customer_id",
        "order_id",
        "line_id",
        "points",
        "total_minor",
        "quantity",
        "ordered_at",
    ),
    "tiers": ("customer_id",),
    "coupons": ("customer_id", "reward_id", "code"),
    "memberships": (
        *("customer_id", "plan_id", "document_id", "starts_at", "paid_until", "paid_minor"),
    ),
    "compare": ("customer_id", "points"),
}
OPTIONAL: dict[Kind, tuple[str, ...]] = {
    "balances": ("expires_at", "store", "note", "order_id"),
    "awards": ("points_back", "status", "store"),
    "tiers": (
        *("tier", "valid_until", "counted_on", "spend_minor", "orders", "counted_points", "store"),
    ),
    "coupons": ("issued_at", "expires_at", "value_minor", "percent", "store"),
    "memberships": ("bought_at", "store"),
    "compare": (),
}


FIELDS = tuple(dict.fromkeys(sum((*REQUIRED.values(), *OPTIONAL.values()), ())))
"""Of any kind: one mapping serves all the files of a system."""


def fields_of(kind: Kind) -> tuple[str, ...]:
    return REQUIRED[kind] + OPTIONAL[kind]


def _zone(name: str) -> str:
    if name and name not in available_timezones():
        raise ValueError("is no IANA zone, such as Asia/Shanghai")
    return name


def _date_format(form: str) -> str:
    moment = datetime(2010, 12, 31, 23, 59)  # noqa: DTZ001 -- only the format is tried
    if form and datetime.strptime(moment.strftime(form), form).date() != moment.date():  # noqa: DTZ007
        raise ValueError("does not tell day, month and year, such as %Y/%m/%d %H:%M")
    return form


class Ids(Part):
    """The columns of a second file, which says who is who."""

    key: str
    """What the first file calls a customer."""
    customer_id: str
    """What the shop's events call him."""


class Mapping(Part):
    """See the module."""

    columns: dict[str, str] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    ids: Ids = Ids(key="key", customer_id="customer_id")
    zone: Annotated[str, AfterValidator(_zone)] = ""
    date_format: Annotated[str, AfterValidator(_date_format)] = ""
    delimiter: Annotated[str, Field(max_length=1)] = ""
    encoding: str = "utf-8-sig"

    @property
    def tz(self) -> ZoneInfo | None:
        return ZoneInfo(self.zone) if self.zone else None

    @classmethod
    def of(
        cls, given: Names[str, Any], columns: Sequence[str] = (), constants: Sequence[str] = ()
    ) -> Self:
        """A file's content, with `field=name` options over it; Fatal says what is wrong."""
        told = {
            "columns": {**given.get("columns", {}), **_pairs("--column", columns)},
            "constants": {**given.get("constants", {}), **_pairs("--constant", constants)},
        }
        try:
            mapping = cls.model_validate({**given, **told})
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise Fatal(f"mapping: {'; '.join(faults)}") from None
        for field in (*mapping.columns, *mapping.constants):
            _check(field)
        return mapping


def _pairs(option: str, told: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in told]
    for field, equals, _ in pairs:
        if not equals:
            raise Fatal(f"{option} {field}: write field=name, such as points=Balance")
    return {field.strip(): name.strip() for field, _, name in pairs}


def places(header: Sequence[str], kind: Kind, mapping: Mapping) -> dict[str, str]:
    """The file's name of each field that it has; Fatal names what is missing and what there is."""
    known = {name.casefold(): name for name in reversed(header)}
    found = {
        field: known[wanted.casefold()]
        for field in fields_of(kind)
        if (wanted := mapping.columns.get(field, field)).casefold() in known
    }
    missing = [
        f"{field} (looked for {mapping.columns.get(field, field)})"
        for field in fields_of(kind)
        if field not in found
        and (
            field in mapping.columns or (field in REQUIRED[kind] and field not in mapping.constants)
        )
    ]
    if missing:
        field = missing[0].split()[0]
        raise Fatal(
            f"no column for {', '.join(missing)}; the file has {', '.join(header)}. Say which it"
            f" is (--column {field}=NAME), or give the same to every row (--constant {field}=VALUE)"
        )
    return found


def _check(field: str) -> None:
    if field not in FIELDS:
        close = get_close_matches(field, FIELDS, n=1)
        meant = f"; did you mean {close[0]}?" if close else "."
        raise Fatal(f"column {field}: no such field{meant} There are: {', '.join(FIELDS)}")


PRESETS: dict[str, dict[str, Any]] = {
    # The list of GET /v1/customers, a line for each: dev.smile.io, the customer object.
    "smile": {
        "columns": {"customer_id": "email", "points": "points_balance"},
        "ids": {"key": "Email", "customer_id": "ID"},
    },
    # The file that Smile takes itself: help.smile.io, "Import points with a CSV file".
    "smile-csv": {
        "columns": {"customer_id": "email", "points": "points"},
        "ids": {"key": "Email", "customer_id": "ID"},
    },
    # The fields of the customer export, as its announcement of May 2020 names them.
    "youzan": {
        "columns": {"customer_id": "客户手机号", "points": "客户积分"},
        "ids": {"key": "mobile", "customer_id": "customer_id"},
        "zone": "Asia/Shanghai",
    },
}
"""Balances only, by e-mail or phone: they need an --ids file, and dates as constants."""
