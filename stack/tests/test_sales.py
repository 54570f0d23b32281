"""From lines to orders, and from orders to events: what docs/replay.md says of each oddity."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.events import codec
from shared.events.envelope import Event
from shared.events.findings import Sequence, check_event
from shared.events.orders import OrderSnapshot
from stack import retail
from stack.errors import StackError
from stack.history import History
from stack.mapping import Mapping
from stack.sales import Sales, collect

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
ADA = "17850"


def line(invoice: str, code: str, quantity: int, price: str, customer: str = ADA) -> str:
    """On 1 December 2010; the invoice's last two digits are the minute after nine."""
    time = f"2010-12-01 09:{invoice[-2:]}:00"
    return f"{invoice},{code},{code} THING,{quantity},{time},{price},{customer},EIRE"


def sell(path: Path, *lines: str) -> tuple[Sales, list[Event]]:
    file = path / "shop.csv"
    file.write_text(HEADER + "\n".join(lines) + "\n")
    sales = collect(retail.read(retail.inspect(file, Mapping())), Mapping())
    return sales, list(History(sales, Mapping(), file))


def order(events: list[Event], type_: str, order_id: str) -> OrderSnapshot:
    (found,) = [e.data for e in events if e.type == type_ and e.data.order_id == order_id]
    assert isinstance(found, OrderSnapshot)
    return found


def counts(snapshot: OrderSnapshot, name: str) -> list[int]:
    return [getattr(each, name) for each in snapshot.lines]


def left_out(sales: Sales) -> dict[str, int]:
    return {reason: entry.lines for reason, entry in sales.left_out.items()}


def test_an_order_is_placed_paid_and_delivered(tmp_path: Path) -> None:
    sales, events = sell(
        tmp_path, line("536301", "85123a", 6, "2.55"), line("536301", "POST", 1, "18")
    )

    types = [event.type for event in events]
    assert types == [
        "product.published",
        "customer.registered",
        "order.placed",
        "order.paid",
        "order.delivered",
    ]
    delivered = order(events, "order.delivered", "536301")
    assert [(each.kind, each.product_id, each.total_minor) for each in delivered.lines] == [
        ("product", "85123A", 1530),
        ("shipping", None, 1800),
    ]
    assert (delivered.customer_id, delivered.total_minor, delivered.revision) == (ADA, 3330, 3)
    assert counts(delivered, "delivered") == [6, 1]
    assert delivered.placed_at == datetime(2010, 12, 1, 9, 1, tzinfo=UTC)
    assert [tender.amount_minor for tender in delivered.tenders] == [3330]
    assert all(event.backfill and event.source == "replay/shop" for event in events)
    assert events[1].data.country == "IE"
    assert sales.left_out == {}


def test_exact_duplicates_are_lines_of_their_own(tmp_path: Path) -> None:
    same = line("536301", "22197", 1, "0.85")

    _, events = sell(tmp_path, same, same)

    assert order(events, "order.placed", "536301").total_minor == 170
    assert [each.line_id for each in order(events, "order.placed", "536301").lines] == ["1", "2"]


def test_a_guest_has_an_order_and_no_account(tmp_path: Path) -> None:
    _, events = sell(tmp_path, line("536301", "22197", 1, "0.85", customer=""))

    assert {event.key for event in events if event.topic == "shop.orders.v1"} == {"guest:536301"}
    assert not [event for event in events if event.type == "customer.registered"]


def test_a_cancellation_takes_back_from_the_newest_items_at_its_price(tmp_path: Path) -> None:
    sales, events = sell(
        tmp_path,
        line("536301", "22197", 10, "0.85"),
        line("536302", "22197", 4, "0.85"),
        line("536302", "22198", 1, "9.99"),
        line("536303", "22197", 9, "0.72"),
        line("536304", "22197", 9, "0.85", customer="99999"),
        line("C536310", "22197", -6, "0.85"),
        line("536311", "22197", 50, "0.85"),
    )

    newest = order(events, "order.returned", "536302")
    older = order(events, "order.returned", "536301")
    assert (counts(newest, "returned"), counts(newest, "refunded_minor")) == ([4, 0], [340, 0])
    assert (counts(older, "returned"), counts(older, "refunded_minor")) == ([2], [170])
    assert (newest.revision, counts(newest, "delivered")) == (4, [4, 1])
    assert sales.taken_back_minor == 510
    assert [e.id for e in events if e.type == "order.returned"] == [
        "536301/returned/C536310",
        "536302/returned/C536310",
    ]


def test_what_was_taken_back_adds_up(tmp_path: Path) -> None:
    _, events = sell(
        tmp_path,
        line("536301", "22197", 10, "0.85"),
        line("C536310", "22197", -3, "0.85"),
        line("C536311", "22197", -7, "0.85"),
    )

    first, second = (e.data for e in events if e.type == "order.returned")
    assert [counts(each, "returned") for each in (first, second)] == [[3], [10]]
    assert [counts(each, "refunded_minor") for each in (first, second)] == [[255], [850]]
    assert [first.revision, second.revision] == [4, 5]


def test_a_whole_order_taken_back_on_its_day_was_cancelled(tmp_path: Path) -> None:
    _, events = sell(
        tmp_path,
        line("536301", "22197", 10, "0.85"),
        line("536301", "POST", 1, "4"),
        line("C536310", "22197", -10, "0.85"),
        line("C536310", "POST", -1, "4"),
    )

    cancelled = order(events, "order.cancelled", "536301")
    assert (counts(cancelled, "cancelled"), counts(cancelled, "delivered")) == ([10, 1], [0, 0])
    assert cancelled.revision == 4
    assert "order.delivered" not in {event.type for event in events}


def test_shipping_taken_back_is_money_without_goods(tmp_path: Path) -> None:
    _, events = sell(
        tmp_path,
        line("536301", "22197", 10, "0.85"),
        line("536301", "POST", 1, "4"),
        line("C536310", "POST", -1, "4"),
    )

    refunded = order(events, "order.refunded", "536301")
    assert (counts(refunded, "returned"), counts(refunded, "refunded_minor")) == ([0, 0], [0, 400])


def test_what_is_no_sale_is_left_out_and_counted(tmp_path: Path) -> None:
    sales, events = sell(
        tmp_path,
        line("536301", "22197", -5, "0.00", customer=""),  # thrown away
        line("536302", "22197", 5, "0.00", customer=""),  # found
        line("A536303", "B", 1, "-11062.06", customer=""),
        line("C536304", "AMAZONFEE", -1, "13474.79", customer=""),
        line("C536305", "22197", -1, "0.85", customer=""),
        line("C536306", "D", -1, "27.50"),
        line("C536307", "22197", 1, "0.85"),
        line("536308", "22197", 1, "-0.85"),
    )

    assert left_out(sales) == {
        "stock correction": 2,
        "bookkeeping": 2,
        "cancellation without a customer": 1,
        "cancellation that matches no earlier item": 1,
        "cancellation with a positive quantity": 1,
        "negative price": 1,
    }
    assert sales.left_out["cancellation that matches no earlier item"].amount == -27.5
    assert [event.type for event in events] == ["customer.registered"]


def test_what_costs_nothing_is_a_gift(tmp_path: Path) -> None:
    _, events = sell(tmp_path, line("536301", "22197", 1, "0.00"), line("536301", "84826", 1, "2"))

    placed = order(events, "order.placed", "536301")
    assert [each.kind for each in placed.lines] == ["gift", "product"]
    assert placed.total_minor == 200


def test_a_price_below_a_penny_is_exact_in_the_line(tmp_path: Path) -> None:
    _, events = sell(
        tmp_path, line("536301", "PADS", 1, "0.001"), line("536301", "X", 1000, "0.125")
    )

    lines = order(events, "order.placed", "536301").lines
    assert [(x.unit_price_minor, x.discount_minor, x.total_minor) for x in lines] == [
        (1, 1, 0),
        (13, 500, 12500),
    ]


def test_a_product_has_the_newest_name_that_it_was_sold_by(tmp_path: Path) -> None:
    def named(invoice: str, name: str, price: str) -> str:
        return line(invoice, "22197", 1, price).replace("22197 THING", name)

    _, events = sell(
        tmp_path,
        named("536301", "POPCORN HOLDER", "0.85"),
        named("536302", "SMALL POPCORN HOLDER", "0.85"),
        named("536303", "damaged so given away", "0.00"),
    )

    (published,) = [event for event in events if event.type == "product.published"]
    assert published.data.name == "SMALL POPCORN HOLDER"
    assert published.time == datetime(2010, 12, 1, 9, 2, tzinfo=UTC)
    assert published.data.published_at == datetime(2010, 12, 1, 9, 1, tzinfo=UTC)


def test_an_invoice_of_two_customers_is_an_error(tmp_path: Path) -> None:
    lines = (line("536301", "22197", 1, "1"), line("536301", "22197", 1, "1", customer="2"))

    with pytest.raises(
        StackError, match="line 3: invoice 536301 has another customer than on line 2"
    ):
        sell(tmp_path, *lines)


def test_the_longest_order_of_the_data_is_within_the_bounds(tmp_path: Path) -> None:
    lines = [
        line("536301", f"{10000 + n}", 1, "1.00").replace("THING", "T" * 30) for n in range(1_114)
    ]

    _, events = sell(tmp_path, *lines)

    sizes = [len(codec.encode(event)[0]) for event in events]
    assert max(sizes) < codec.EVENT_BYTES_MAX / 3


def test_the_events_are_in_order_without_fault_and_always_the_same(tmp_path: Path) -> None:
    lines = [
        line(
            f"5363{n % 50:02}",
            f"{22000 + n * 7 % 11}",
            1 + n % 4,
            f"{1 + n % 3}.25",
            f"{n % 50 % 7}",
        )
        for n in range(300)
    ]
    lines += [line(f"C5364{n:02}", f"{22000 + n % 11}", -2, "1.25", f"{n % 7}") for n in range(30)]
    sequence = Sequence()

    sales, events = sell(tmp_path, *lines)

    assert sales.taken_back_minor > 0
    found: list[Any] = []
    for event in events:
        found += [*check_event(event, now=event.time), *sequence.check(event)]
    assert found == []
    times = [event.time for event in events if event.topic == "shop.orders.v1"]
    assert times == sorted(times)
    assert [codec.encode(event) for event in events] == [
        codec.encode(e) for e in sell(tmp_path, *lines)[1]
    ]
    assert len(events) == len(History(sales, Mapping(), tmp_path / "shop.csv"))
