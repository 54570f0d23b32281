"""What an order line earns and keeps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.loyalty.books import points
from services.loyalty.earning import carts
from services.loyalty.earning.awarding import award
from services.loyalty.earning.caps import Used
from services.loyalty.earning.rules import rulebook_at
from services.loyalty.terms.cart import Shopper
from services.loyalty.terms.definitions import Book
from services.loyalty.tests.conftest import STORES
from services.loyalty.tests.shop import NOON, Order, line
from shared.errors import Reject
from shared.events.orders import Tender
from shared.stores import Stores

FAST = settings(derandomize=True, deadline=None, max_examples=300)


def awarded(*lines, base="EUR", **more):
    order = Order(lines=lines, more=more).event("order.paid", 1).data
    cart = carts.of_order(order, NOON, Stores(base), {})
    return award(cart, Shopper("ada"), rulebook_at(Book(), NOON, base), Used()).lines


def test_an_order_earns_one_point_for_each_full_unit_of_its_product_lines():
    lines = (line("1", 1099), line("2", 1001), line("3", 500, kind="shipping"))

    assert awarded(*lines) == {"1": 10, "2": 11}


def test_the_lines_of_an_order_round_once_together():
    assert sum(awarded(*(line(str(n), 50) for n in range(10))).values()) == 5


def test_a_line_below_zero_lowers_the_order_and_earns_nothing():
    assert awarded(line("1", 1000), line("2", -300)) == {"1": 7, "2": 0}


@pytest.mark.parametrize("broken", [line("1", 0), line("1", -500), line("1", 900, quantity=0)])
def test_lines_of_nothing_earn_nothing(broken):
    assert sum(awarded(broken).values()) == 0


def test_gifts_and_sold_gift_cards_earn_nothing():
    assert awarded(line("1", 5000, kind="gift_card"), line("2", 0, kind="gift")) == {}


def test_another_currency_earns_by_the_orders_own_base_total():
    lines = (line("1", 3000), line("2", 1000, kind="shipping"))

    assert awarded(*lines, currency="USD", base_total_minor=3600) == {"1": 27}


def test_a_currency_without_hundredths_earns_by_its_own_unit():
    assert awarded(line("1", 120), currency="JPY", base="JPY") == {"1": 120}


def test_more_points_than_can_be_told_are_refused_by_name():
    with pytest.raises(Reject, match="over 1000000000000 points"):
        awarded(*(line(str(n), 10**15) for n in range(2000)))


def test_an_order_of_ten_thousand_lines_is_awarded_to_the_point():
    shares = awarded(*(line(f"{n:05}", 99) for n in range(10_000)))

    assert sum(shares.values()) == 9_900


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**9), max_size=30))
@FAST
def test_parts_sum_to_the_whole_and_none_is_below_zero(total, weights):
    parts = points.apportion(total, {str(n): weight for n, weight in enumerate(weights)})

    assert sum(parts.values()) == (total if sum(weights) else 0)
    assert all(part >= 0 for part in parts.values())


def remains(earned, one):
    """Of the points of an order of one line, paid in money."""
    return points.kept(earned, one, Order(lines=(one,)).event("order.paid", 1).data)


@given(
    earned=st.integers(0, 10**6),
    quantity=st.integers(1, 50),
    steps=st.lists(st.integers(1, 10), max_size=50),
    price=st.integers(1, 10**6),
)
@FAST
def test_what_is_kept_only_falls_and_ends_at_nothing(earned, quantity, steps, price):
    returned, last = 0, earned
    for pieces in steps:
        returned = min(quantity, returned + pieces)
        refunded = price * returned // quantity
        kept = remains(
            earned, line("1", price, quantity, returned=returned, refunded_minor=refunded)
        )
        assert 0 <= kept <= last
        last = kept
    assert remains(earned, line("1", price, quantity, returned=quantity)) == 0
    assert remains(earned, line("1", price, quantity, refunded_minor=price)) == 0


@pytest.mark.parametrize(
    ("counts", "kept"),
    [
        ({"returned": 1}, 50),
        ({"cancelled": 1, "returned": 1}, 0),
        ({"refunded_minor": 1_000}, 90),
        ({"returned": 1, "refunded_minor": 1_000}, 50),
        ({"returned": 1, "refunded_minor": 6_000}, 40),
        ({"refunded_minor": 99_000}, 0),
    ],
)
def test_of_pieces_and_money_taken_back_the_larger_share_counts(counts, kept):
    assert remains(100, line("1", 10_000, 2, **counts)) == kept


@given(st.permutations([line("1", 1_050), line("2", 1_050), line("3", 1_099)]))
@FAST
def test_how_the_lines_stand_changes_nothing(lines):
    assert awarded(*lines) == {"1": 10, "2": 11, "3": 10}


def judge(type_, **more):
    customer = more.pop("customer", "ada")
    lines = more.pop("lines", (line(),))
    order = Order(customer=customer, lines=lines, more=more)
    return points.judge(type_, order.event(type_, 1).data, STORES)


@pytest.mark.parametrize(
    ("type_", "more", "verdict"),
    [
        ("order.paid", {}, "earns"),
        ("order.placed", {"tenders": (Tender(kind="money", amount_minor=1000),)}, "unpaid"),
        ("order.changed", {"tenders": ()}, "unpaid"),
        ("order.changed", {}, "earns"),
        ("order.cancelled", {"tenders": (), "lines": (line(shipped=1),)}, "earns"),
        ("order.shipped", {"tenders": ()}, "earns"),
        ("order.paid", {"test": True}, "test_order"),
        ("order.paid", {"store": "outlet"}, "store_excluded"),
        ("order.paid", {"customer": "guest:o1"}, "guest"),
        ("order.paid", {"currency": "USD"}, "no_base_total"),
        ("order.paid", {"currency": "USD", "base_total_minor": 900}, "earns"),
    ],
)
def test_who_earns_and_why_not(type_, more, verdict):
    assert judge(type_, **more) == verdict


@pytest.mark.parametrize(
    ("type_", "lines", "arrived"),
    [
        ("order.paid", (line("1"), line("2")), set()),
        ("order.delivered", (line("1", delivered=1), line("2")), {"1"}),
        ("order.delivered", (line("1", quantity=2, delivered=1),), set()),
        ("order.delivered", (line("1", quantity=2, delivered=1, cancelled=1),), {"1"}),
        ("order.completed", (line("1"), line("2")), {"1", "2"}),
        ("order.delivered", (line("1"), line("2")), {"1", "2"}),
        ("order.returned", (line("1", returned=1), line("2")), {"1", "2"}),
        ("order.returned", (line("1", delivered=1, returned=1), line("2")), {"1"}),
        ("order.changed", (line("1", delivered=1),), {"1"}),
        ("order.shipped", (line("1", shipped=1),), set()),
    ],
)
def test_a_line_is_active_when_it_has_arrived_whole(type_, lines, arrived):
    assert points.arrivals(type_, lines) == arrived
