"""One row of another system's file, field by field: what it says, and what is wrong. Pure.

Points are whole: `1200`, `1200.00`. A date without a time begins a day, except as an
expiry, where the day is still good: points that expire on 2027-12-31 can be spent until it
ends, in the mapping's zone or the store's. A fault never repeats what stood in a customer's
field, which may be his phone.
"""

import re
from collections.abc import Mapping as Names
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from services.loyalty.arrivals.import_columns import Kind, Mapping
from services.loyalty.books.points import is_guest
from shared.events.envelope import CustomerId
from shared.stores import Stores

ID_MAX = 200
DIGITS_MAX = 19
NEVER_TEXT = re.compile("[\x00\ud800-\udfff]")
"""What PostgreSQL takes for no text, and no honest file has."""
_CUSTOMER: TypeAdapter[str] = TypeAdapter(CustomerId)

Record = Names[str, Any]
"""One row by our field names: text, or what JSON has."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in one field of one row, and what to do."""

    row: int
    field: str
    what: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.field}: {self.what}"


class Memory(Protocol):
    """Remembers what was seen, however much that is."""

    def first(self, key: str, row: int, value: str = "") -> tuple[int, str]:
        """The row in which `key` came first, and what came with it; this one if it is new."""

    def known_as(self, key: str) -> str | None:
        """The customer id of who is called `key` elsewhere; None: nobody knows."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a file is read by. `translated`: its customers are named in the --ids file."""

    kind: Kind
    mapping: Mapping
    stores: Stores
    now: datetime
    translated: bool = False


@dataclass(slots=True)
class Fields:
    """Reads one row's fields, and gathers what is wrong with them."""

    row: int
    record: Record
    terms: Terms
    memory: Memory
    faults: list[Fault] = field(default_factory=list)

    def wrong(self, name: str, what: str) -> None:
        if all(fault.field != name for fault in self.faults):  # the first says it best
            self.faults.append(Fault(self.row, name, what))

    def text(self, name: str) -> str:
        value = self.record.get(name)
        if value is None or value == "":
            return self.terms.mapping.constants.get(name, "")
        if isinstance(value, bool | list | dict):
            self.wrong(name, "is no plain text or number")
            return ""
        text = str(value).strip()
        if NEVER_TEXT.search(text):
            self.wrong(name, "holds a character that is none, such as NUL; write it anew")
            return ""
        return text

    def id(self, name: str) -> str:
        value = self.text(name)
        if not value or len(value) > ID_MAX:
            self.wrong(
                name, f"is {'too long' if value else 'empty'}; give 1 to {ID_MAX} characters"
            )
        return value

    def customer(self) -> str:
        given = self.id("customer_id")
        if self.faults:
            return given
        found = self.memory.known_as(given) if self.terms.translated else given
        if found is None:
            self.wrong(
                "customer_id", "is not in the --ids file; add it there, or leave the row out"
            )
            return ""
        try:
            _CUSTOMER.validate_python(found)
        except ValidationError:
            self.wrong(
                "customer_id",
                "looks like a phone number or e-mail; give the id that the shop's events use,"
                " or an --ids file that says it",
            )
        if is_guest(found):
            self.wrong("customer_id", "is a guest's; a guest holds no points, leave the row out")
        return found

    def number(self, name: str, maximum: int, *, least: int = 0) -> int:
        value = self.text(name)
        if value.rstrip("0").endswith("."):  # 1200.00, as systems with decimals export it
            value = value.rstrip("0").removesuffix(".")
        if not value.removeprefix("-").isascii() or not value.removeprefix("-").isdigit():
            self.wrong(name, f"{value!r} is not a whole number without separators, such as 1200")
            return least
        number = int(value) if len(value) <= DIGITS_MAX else maximum + 1
        if not least <= number <= maximum:
            self.wrong(name, f"{value} is not from {least} to {maximum}")
        return number

    def number_or_zero(self, name: str, maximum: int) -> int:
        """An empty field is nothing."""
        return self.number(name, maximum) if self.text(name) else 0

    def past_day(self, name: str, store: str) -> date:
        """A day as the file has it, whatever the hour."""
        moment = self.past(name, store)
        return moment.astimezone(self.terms.mapping.tz or self.terms.stores.get(store).tz).date()

    def store(self) -> str:
        name = self.text("store") or next(iter(self.terms.stores.by_id))
        if name not in self.terms.stores.by_id:
            known = ", ".join(self.terms.stores.by_id)
            self.wrong("store", f"{name!r} is not in the stores file, which has {known}")
        return name

    def past(self, name: str, store: str) -> datetime:
        found = self.moment(name, store)
        if found > self.terms.now:
            self.wrong(name, f"{self.text(name)} is in the future")
            return self.terms.now
        return found

    def moment(self, name: str, store: str) -> datetime:
        """A time, or the beginning of a day, whenever."""
        text = self.text(name)
        if not text:
            self.wrong(name, "is empty; give a date, such as 2026-12-31, or one to every row")
        found = self._time(name, text, store) if text else None
        return found or self.terms.now

    def future(self, name: str, store: str) -> datetime | None:
        text = self.text(name)
        found = self._time(name, text, store, end=True) if text else None
        if found and found <= self.terms.now:
            self.wrong(name, f"{text} is over; what has expired stays where it was, leave it out")
        return found

    def _time(self, name: str, text: str, store: str, *, end: bool = False) -> datetime | None:
        zone: tzinfo = self.terms.mapping.tz or self.terms.stores.get(store).tz
        try:
            found = _parse(text, self.terms.mapping.date_format)
        except ValueError:
            wanted = self.terms.mapping.date_format or "2026-12-31 or 2026-12-31T08:00:00+08:00"
            self.wrong(name, f"{text!r} is not a date as {wanted}")
            return None
        if not isinstance(found, datetime):
            found = datetime.combine(found + timedelta(1) if end else found, time(0))
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def _parse(text: str, form: str) -> datetime | date:
    """A date alone is a `date`: what has no hour in it, or in its format."""
    if form:
        moment = datetime.strptime(text, form)  # noqa: DTZ007 -- the zone is the mapping's
        return moment if "%H" in form or "%I" in form else moment.date()
    return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
