"""What becomes of a coupon, once; what members may take; when it ends."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.loyalty.benefits import coupons
from services.loyalty.benefits.coupons import (
    Coupon,
    CouponExpired,
    CouponReserved,
    CouponUsed,
    CouponVoid,
    Free,
    GiveBack,
    Reserve,
    Use,
    Void,
)
from services.loyalty.benefits.rewards import Limit, Reward, Standing, misses, period_start
from services.loyalty.books.programme import Expiry
from services.loyalty.terms.cart import Shopper
from shared.errors import Conflict

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW = Coupon(UUID(int=1), "ada", "five-off", 1, NOON, expires_at=NOON + timedelta(days=1))
HELD = coupons.act(NEW, Reserve("o1", HOUR), NOON)
USED = coupons.act(NEW, Use("o1"), NOON)
GONE = coupons.act(NEW, Void(), NOON)
END = NOON + timedelta(days=1)


def outcome(coupon, deed, now=NOON):
    """The state and order after a deed, or the name of what forbids it."""
    try:
        after = coupons.act(coupon, deed, now)
    except Conflict as refusal:
        return type(refusal)
    return after.state, after.order_id


@pytest.mark.parametrize(
    ("coupon", "deed", "now", "expected"),
    [
        (NEW, Reserve("o1", HOUR), NOON, ("reserved", "o1")),
        (NEW, Use("o1"), NOON, ("used", "o1")),
        (NEW, Free("o1"), NOON, ("issued", None)),
        (NEW, Use("o1"), END, CouponExpired),
        (NEW, Reserve("o1", HOUR), END, CouponExpired),
        (NEW, Void(), END, ("void", None)),
        (HELD, Reserve("o1", HOUR), NOON, ("reserved", "o1")),
        (HELD, Use("o1"), NOON, ("used", "o1")),
        (HELD, Free("o1"), NOON, ("issued", None)),
        (HELD, GiveBack("o1"), NOON, ("issued", None)),
        (HELD, Reserve("o2", HOUR), NOON, CouponReserved),
        (HELD, Use("o2"), NOON, CouponReserved),
        (HELD, Free("o2"), NOON, CouponReserved),
        (HELD, Void(), NOON, CouponReserved),
        (HELD, Use("o2"), NOON + HOUR, ("used", "o2")),  # its time is over
        (HELD, Use("o1"), NOON + 2 * HOUR, ("used", "o1")),  # late, and still to be had
        (HELD, Use("o1"), END, CouponExpired),
        (HELD, Void(), NOON + HOUR, ("void", None)),
        (USED, Use("o1"), END, ("used", "o1")),
        (USED, Reserve("o1", HOUR), END, ("used", "o1")),
        (USED, Use("o2"), NOON, CouponUsed),
        (USED, Reserve("o2", HOUR), NOON, CouponUsed),
        (USED, Free("o1"), NOON, CouponUsed),
        (USED, GiveBack("o1"), NOON, ("issued", None)),
        (USED, GiveBack("o2"), NOON, ("used", "o1")),
        (USED, Void(), NOON, CouponUsed),
        (GONE, Use("o1"), NOON, CouponVoid),
        (GONE, Reserve("o1", HOUR), NOON, CouponVoid),
        (GONE, Free("o1"), NOON, CouponVoid),
        (GONE, GiveBack("o1"), NOON, ("void", None)),
        (GONE, Void(), NOON, ("void", None)),
    ],
)
def test_each_deed_does_its_work_or_is_refused_by_name(coupon, deed, now, expected):
    assert outcome(coupon, deed, now) == expected


def test_what_a_checkout_reserved_in_time_is_good_until_the_reservations_end():
    last = coupons.act(NEW, Reserve("o1", HOUR), END - timedelta(minutes=1))
    late = END + timedelta(minutes=30)

    assert (last.shown(late), last.shown(END + HOUR)) == ("reserved", "expired")
    assert outcome(last, Use("o1"), late) == ("used", "o1")
    assert outcome(last, Reserve("o1", HOUR), late) == ("reserved", "o1")
    assert coupons.act(last, Reserve("o1", HOUR), late) is last, "and gets no more time"


def test_the_erased_persons_coupon_is_good_for_nobody():
    erased = replace(NEW, customer_id=None)

    assert outcome(erased, Use("o1")) is CouponVoid
    assert outcome(replace(HELD, customer_id=None), Use("o1")) == ("used", "o1")


ORDERS = st.sampled_from(("o1", "o2", "o3"))
DEEDS = st.one_of(
    st.builds(Reserve, ORDERS, st.sampled_from((HOUR, 5 * HOUR))),
    *(st.builds(deed, ORDERS) for deed in (Use, Free, GiveBack)),
    st.just(Void()),
)


@given(st.lists(st.tuples(st.integers(0, 20), DEEDS), max_size=30))
def test_a_coupon_is_used_at_most_once_whatever_happens(history):
    now, coupon, users = NOON, NEW, []
    for hours, deed in history:
        now += timedelta(hours=hours)
        try:
            after = coupons.act(coupon, deed, now)
            again = coupons.act(after, deed, now)
        except Conflict:
            continue
        assert again is after or isinstance(deed, Reserve), "what is done is done once"
        assert after.step == coupon.step + (after is not coupon)
        if coupon.state == "used" and after.state != "used":
            assert deed == GiveBack(coupon.order_id), "only its own order gives it back"
            users.remove(coupon.order_id)
        if coupon.state != "used" and after.state == "used":
            assert coupon.is_held(now) or not coupon.is_over(now), "nobody uses what is over"
            users.append(after.order_id)
        assert coupon.state != "void" or after is coupon, "what is void stays void"
        coupon = after
        assert len(users) <= 1


def shown(**more):
    return Reward(**{"kind": "amount", "value_minor": 500} | more)


@pytest.mark.parametrize(
    ("reward", "issued", "ends"),
    [
        (shown(), "2026-11-01T12:00+00:00", None),
        (shown(valid=Expiry(after_days=7)), "2026-11-01T15:59+00:00", "2026-11-08T16:00+00:00"),
        (shown(valid=Expiry(after_days=7)), "2026-11-01T16:00+00:00", "2026-11-09T16:00+00:00"),
        (
            shown(valid_through=date(2026, 11, 11)),
            "2026-11-01T12:00+00:00",
            "2026-11-11T16:00+00:00",
        ),
        (
            shown(valid=Expiry(after_months=1), valid_through=date(2026, 11, 11)),
            "2026-11-01T12:00+00:00",
            "2026-11-11T16:00+00:00",
        ),
    ],
)
def test_a_coupon_ends_with_a_day_of_the_stores_zone(reward, issued, ends):
    found = reward.expires_at(datetime.fromisoformat(issued), SHANGHAI)

    assert found == (datetime.fromisoformat(ends) if ends else None)


def test_a_limits_period_begins_by_the_stores_calendar():
    eve = datetime(2026, 12, 31, 16, tzinfo=UTC)  # New Year in Shanghai

    assert period_start("ever", eve, SHANGHAI) is None
    assert {period_start(per, eve, SHANGHAI) for per in ("day", "month", "quarter", "year")} == {
        eve
    }
    assert period_start("quarter", NOON, SHANGHAI) == datetime(2026, 9, 30, 16, tzinfo=UTC)


def test_why_a_member_cannot_have_a_reward_is_told_all_at_once():
    gold = shown(points=100, tiers={"gold"}, segments={"vip"}, limit=Limit(), stock=5)
    nobody = Standing(Shopper("ada"), spendable=99, got=1, left=0)
    member = Standing(Shopper("ada", "gold", frozenset({"vip"})), spendable=100, left=1)

    assert list(misses(gold, nobody)) == ["tier", "segment", "limit", "out_of_stock", "points"]
    assert list(misses(gold, member)) == []
    assert list(misses(shown(occasion="welcome"), member)) == ["occasion"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"value_minor": 0}, "value_minor"),
        ({"kind": "percent"}, "percent"),
        ({"kind": "percent", "percent": 101}, "percent"),
        ({"kind": "gift"}, "product_id"),
        ({"kind": "donation"}, "points"),
        ({"occasion": "birthday", "points": 5}, "points"),
        ({"codes": "pool", "stock": 5}, "codes"),
        ({"valid_through": "9999-12-31"}, "valid_through"),
        ({"occasion": "welcome", "tiers": {"gold"}}, "tiers"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_reward_that_says_too_little_is_refused_by_the_field(fields, named):
    with pytest.raises(ValidationError, match=named):
        shown(**fields)
