"""The services' answers against the file's figures, through their HTTP APIs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stack.caught_up import Standing
from stack.door import Door
from stack.errors import StackError
from stack.expected import Expected
from stack.sales import Sales
from stack.show import money


@dataclass(frozen=True, slots=True)
class Check:
    """One figure, as it should be and as it is."""

    name: str
    expected: str
    found: str

    @property
    def good(self) -> bool:
        return self.expected == self.found


def compare(
    expected: Expected, sales: Sales, currency: str, door: Door, standings: Sequence[Standing]
) -> list[Check]:
    """Every figure that the replay promises."""
    totals = _answer(door, "profile", "/v1/reports/totals")
    books = _answer(door, "loyalty", "/v1/ledger/reconciliation")
    people, guests = totals["customers"], totals["guests"]
    kept = people["spend_minor"]
    return [
        _count("customers with a positive order", expected.customers, people["customers"]),
        _count("their invoices", expected.orders, people["placed_orders"]),
        _money("their orders", expected.minor, people["placed_minor"], currency),
        _money("less what was taken back", expected.minor - sales.taken_back_minor, kept, currency),
        _count("guests' invoices", expected.guest_orders, guests["placed_orders"]),
        _money("guests' orders", expected.guest_minor, guests["placed_minor"], currency),
        _count("books: sum of all accounts", 0, books["sum"]),
        Check("books: balances agree with postings", "True", str(books["balanced"])),
        _count("books: points still pending", 0, books["kept"]["pending"]),
        _count("mails sent", 0, len(door.sent("mail"))),
        _count("SMS sent", 0, len(door.sent("sms"))),
        _count("records not handled", 0, sum(each.behind + each.outbox for each in standings)),
        _count("dead letters", 0, sum(each.letters for each in standings)),
    ]


def _answer(door: Door, service: str, path: str) -> Any:
    found = door.get(service, path)
    if found is None:
        raise StackError(f"{service} does not serve {path}")
    return found


def _count(name: str, expected: int, found: int) -> Check:
    return Check(name, f"{expected:,}", f"{found:,}")


def _money(name: str, expected: int, found: int, currency: str) -> Check:
    return Check(name, money(expected, currency), money(found, currency))
