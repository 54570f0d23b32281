"""When a rule or an offer holds, at the edges of days, hours, birthdays and selections."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from services.loyalty.terms.cart import Cart, Item, Shopper
from services.loyalty.terms.conditions import (
    Birthday,
    Conditions,
    Hours,
    Selection,
    falls_on,
    misses,
    near,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
MUG = Item("1", 1, 1_000, category=("Home", "Kitchen"), brand="Acme", sku="mug-red")
# 00:30 on Wednesday the 18th in Shanghai; the 17th in London.
CART = Cart("web", datetime(2026, 11, 17, 16, 30, tzinfo=UTC), SHANGHAI, "CNY", (MUG,), "app")
ADA = Shopper("ada", "gold", frozenset({"vip"}), {"city": "Xi'an", "pets": ("cat",)}, "--11-20", 2)


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        ({}, []),
        ({"stores": ["web", "us"], "channels": ["app"], "currencies": ["CNY"]}, []),
        ({"stores": ["us"], "tiers": ["silver"]}, ["store", "tier"]),
        ({"segments": ["vip", "new"], "not_segments": ["staff"]}, []),
        ({"not_segments": ["vip"]}, ["excluded_segment"]),
        ({"attributes": {"city": ["Xi'an"], "pets": ["dog", "cat"]}}, []),
        ({"attributes": {"city": ["Paris"]}}, ["attribute"]),
        ({"weekdays": ["wed"], "days_of_month": [18]}, []),  # by the store's own midnight
        ({"weekdays": ["tue"]}, ["weekday"]),
        ({"hours": {"since": "22:00", "until": "06:00"}}, []),
        ({"hours": {"since": "09:00", "until": "18:00"}}, ["hours"]),
        ({"birthday": {"days_before": 2}}, []),
        ({"birthday": {"days_before": 1}}, ["birthday"]),
        ({"birthday": {"whole_month": True}}, []),
        ({"order_number": 3}, []),
        ({"order_number": 1}, ["order_number"]),
        ({"every_nth_order": 3}, []),
        ({"every_nth_order": 2}, ["order_number"]),
    ],
)
def test_what_does_not_hold_is_named(asked, missing):
    assert list(misses(Conditions.model_validate(asked), CART, ADA)) == missing


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        ({}, ""),
        ({"categories": ["Home"]}, ""),
        ({"categories": ["Garden"]}, "category"),
        ({"brands": ["Acme"], "not_skus": ["mug-red"]}, "excluded_sku"),
        ({"attributes": {"colour": ["red"]}}, "attribute"),
    ],
)
def test_a_line_is_selected_or_it_is_said_why_not(asked, missing):
    assert Selection.model_validate(asked).misses(MUG) == missing


def test_hours_end_just_before_their_end():
    assert Hours(since=time(9), until=time(18)).holds(time(17, 59, 59))
    assert not Hours(since=time(9), until=time(18)).holds(time(18))


@pytest.mark.parametrize(
    ("year", "day"), [(2027, date(2027, 3, 1)), (2028, date(2028, 2, 29)), (2026, date(2026, 3, 1))]
)
def test_a_birthday_of_29_february_comes_every_year(year, day):
    assert falls_on("2000-02-29", year) == day


def test_a_window_reaches_over_new_year():
    assert near(Birthday(days_after=7), "--12-30", date(2027, 1, 3))
    assert near(Birthday(days_before=7), "--01-02", date(2026, 12, 28))
    assert not near(Birthday(days_before=365), "", date(2026, 12, 28))


def test_a_misspelt_condition_is_refused_by_name():
    with pytest.raises(ValidationError, match="storess"):
        Conditions.model_validate({"storess": ["web"]})
