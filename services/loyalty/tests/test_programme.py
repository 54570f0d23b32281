"""Definitions in versions, and how long points live by the programme's dates."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.books.programme import Expiry, Programme, Redemption, programme_at
from services.loyalty.terms.definitions import Book, Version
from shared.clock import Clock

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("expiry", "active_from", "expires_at"),
    [
        (Expiry(), "2026-01-31T08:00", None),
        (Expiry(after_days=30, round_to="moment"), "2026-01-31T08:00", "2026-03-02T08:00"),
        (Expiry(after_days=30), "2026-01-31T08:00", "2026-03-03T00:00"),
        (Expiry(after_months=1), "2026-01-31T08:00", "2026-03-01T00:00"),
        (Expiry(after_months=12), "2028-02-29T08:00", "2029-03-01T00:00"),
        (Expiry(after_months=12, round_to="month"), "2026-01-15T08:00", "2027-02-01T00:00"),
        (Expiry(after_months=3, round_to="quarter"), "2026-01-15T08:00", "2026-07-01T00:00"),
        (Expiry(after_months=12, round_to="year"), "2026-12-31T23:59", "2028-01-01T00:00"),
    ],
)
def test_points_expire_at_the_end_of_the_period_in_the_stores_zone(expiry, active_from, expires_at):
    found = expiry.expires_at(at(active_from), SHANGHAI)

    assert found == (at(expires_at) if expires_at else None)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(0, 120))  # noqa: DTZ001
def test_a_later_start_never_ends_earlier(moment, months):
    start = moment.replace(tzinfo=UTC)
    expiry = Expiry(after_days=1, after_months=months, round_to="quarter")

    one, two = (expiry.expires_at(t, SHANGHAI) for t in (start, start + timedelta(hours=5)))

    assert start < one <= two


def test_at_any_time_the_highest_version_that_has_started_counts():
    book = Book(
        ("Programme", Version("default", number, start, Programme(name=str(number))))
        for number, start in ((2, NOON + timedelta(hours=1)), (1, NOON), (3, NOON))
    )

    assert programme_at(book, NOON - timedelta(seconds=1)) == Programme()
    assert programme_at(book, NOON).name == "3"
    assert [each.version for each in book.versions(Programme, "default")] == [1, 2, 3]


PROGRAMME = "/v1/programmes/default"


@pytest.fixture
async def http(door):
    async with door.client(clock=Clock(frozen_at=NOON)) as client:
        yield client


def put(http, body, key, etag=None):
    headers = {"Idempotency-Key": key} | ({"If-Match": etag} if etag else {})
    return http.put(PROGRAMME, json=body, headers=headers)


async def test_a_programme_is_laid_down_in_versions_and_none_is_rewritten(http):
    first = await put(http, {"redemption": {"points_per_unit": 50}}, "1")
    unseen = await put(http, {}, "2")
    past = await put(http, {"starts_at": "2026-10-01T00:00:00Z"}, "3", etag=first.headers["etag"])
    second = await put(http, {"name": "new"}, "4", etag=first.headers["etag"])
    late = await put(http, {"name": "other"}, "5", etag=first.headers["etag"])

    assert (first.status_code, unseen.status_code, past.status_code) == (200, 428, 422)
    assert (second.json()["version"], late.status_code) == (2, 412)
    now = (await http.get(PROGRAMME)).json()
    assert (now["version"], now["definition"]["name"]) == (2, "new")
    old = (await http.get(PROGRAMME, params={"version": 1})).json()
    assert old["definition"]["redemption"] == Redemption(points_per_unit=50).model_dump(mode="json")
    listed = (await http.get("/v1/programmes")).json()["items"]
    assert [item["version"] for item in listed] == [2]
    assert (await http.get("/v1/programmes/other")).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"redemption": {"share_max_percent": 101}}, "share_max_percent"),
        ({"expiry": {"after_moons": 3}}, "after_moons"),
        ({"ends_at": "2030-01-01T00:00:00Z"}, "does not end"),
        ({"starts_at": "2026-11-01T00:00:00"}, "starts_at"),
    ],
)
async def test_a_wrong_programme_is_refused_by_the_field_that_is_wrong(http, body, field):
    answer = await put(http, body, "wrong")

    assert answer.status_code == 422
    assert field in answer.text


async def test_only_who_may_administer_lays_down(door):
    async with door.client("loyalty:read", "loyalty:write") as http:
        assert (await put(http, {}, "1")).status_code == 403
        assert (await http.get("/v1/programmes")).json() == {"items": []}
