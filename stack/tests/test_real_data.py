"""UCI Online Retail as events, without the stack: the known figures come out of them.

Needs the file, which is not ours to copy: beside the checkout in `../shared/data`, or in
the folder that REGULARS_DATA names.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shared.events.codec import EVENT_BYTES_MAX, encode
from shared.events.envelope import Event
from stack import retail
from stack.expected import recompute
from stack.history import History
from stack.mapping import Mapping
from stack.sales import collect

BESIDE = Path(__file__).parents[3] / "shared" / "data"
FILE = Path(os.environ.get("REGULARS_DATA", BESIDE)) / "online_retail.csv.xz"

pytestmark = pytest.mark.skipif(
    not FILE.exists(), reason="no online_retail.csv.xz in ../shared/data or REGULARS_DATA"
)


@dataclass
class Figures:
    """What the events come to."""

    events: int = 0
    bytes_max: int = 0
    customers: set[str] = field(default_factory=set)
    orders: int = 0
    minor: int = 0
    guest_orders: int = 0
    guest_minor: int = 0

    def add(self, events: Iterable[Event]) -> "Figures":
        for event in events:
            self.events += 1
            self.bytes_max = max(self.bytes_max, len(encode(event)[0]))
            if event.type != "order.placed" or not event.data.total_minor:
                continue
            if event.key.startswith("guest:"):
                self.guest_orders += 1
                self.guest_minor += event.data.total_minor
            else:
                self.customers.add(event.key)
                self.orders += 1
                self.minor += event.data.total_minor
        return self


def figures(limit: int | None) -> tuple[Figures, retail.Layout]:
    mapping = Mapping()
    layout = retail.inspect(FILE, mapping)
    sales = collect(retail.read(layout, limit), mapping)
    return Figures().add(History(sales, mapping, FILE)), layout


def test_the_events_of_the_first_weeks_come_to_what_the_lines_say() -> None:
    found, layout = figures(6_000)

    expected = recompute(layout, 6_000)
    assert (len(found.customers), found.orders, found.minor) == (
        expected.customers,
        expected.orders,
        expected.minor,
    )
    assert (found.guest_orders, found.guest_minor) == (expected.guest_orders, expected.guest_minor)
    assert found.orders > 150


@pytest.mark.long
def test_the_events_of_the_whole_year_come_to_the_known_figures() -> None:
    found, layout = figures(None)

    assert (len(found.customers), found.orders, found.minor) == (4_338, 18_532, 891_140_790)
    assert found.events == 71_674
    assert found.bytes_max < EVENT_BYTES_MAX
    expected = recompute(layout)
    assert (expected.lines, expected.minor) == (541_909, 891_140_790)
    assert (found.guest_orders, found.guest_minor) == (expected.guest_orders, expected.guest_minor)
