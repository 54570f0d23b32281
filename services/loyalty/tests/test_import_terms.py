"""Paid memberships from elsewhere: they hold, are renewed, refunded pro rata, or taken back."""

from datetime import timedelta

import pytest

from services.loyalty.tests.caller import Api
from services.loyalty.tests.office import NOW, Office
from services.loyalty.tests.shop import NOON, erasure
from services.loyalty.tests.test_subscriptions_api import PATH, PLAN, refund, told
from services.loyalty.tests.test_tiering import PLAN as TIERS
from services.loyalty.work.import_desk import Desk
from shared.errors import Fatal

HEADER = (
    *("customer_id", "plan_id", "document_id", "starts_at", "paid_until", "paid_minor"),
    *("bought_at", "store"),
)
DAY = timedelta(days=1)
YEAR = ("ada", "year", "D1", "2026-07-01", "2027-06-30", 36_500, "2026-06-28")
ODD = ("bob", "year", "D2", "2026-10-15", "2026-12-20", 1_000)


@pytest.fixture
def office(door, tmp_path, capsys):
    return Office(door, tmp_path, capsys)


@pytest.fixture
async def api(door):
    api = Api(door)
    year = PLAN | {"period": "yearly", "price_minor": 40_000, "tier": "gold", "grace_days": 0}
    await api("PUT", "/v1/membership-plans/year", year, at=NOON - 400 * DAY)
    return api


def terms(office, *rows, name="terms.csv"):
    return office.file(*rows, header=HEADER, name=name)


async def buy(api, document, customer, status=201):
    body = {"plan_id": "year", "document_id": document}
    return await api("POST", PATH.format(customer), body, at=NOON + DAY, status=status)


async def tier(api, customer="ada", at=NOW):
    return (await api("GET", f"/v1/accounts/{customer}/tier", at=at))["tier"]


async def test_a_term_holds_here_is_renewed_and_refunded_from_what_was_paid(door, office, api):
    await api("PUT", "/v1/tier-plans/default", TIERS, at=NOON - 400 * DAY)
    path = terms(office, YEAR, ODD)
    said = await office.bring(path, "memberships", dry=True)
    assert "2 rows, 37,500 minor units, 2 customers; 0 wrong" in said
    for table in ("member", "paid_term", "standing", "import_batch", "outbox"):
        assert await door.query(f"SELECT 1 FROM {table}") == []

    await office.bring(path, "memberships")
    assert "nothing to do" in await office.bring(path, "memberships")

    now = await told(api, at=NOW)
    assert (now["tier"], now["until"]) == ("gold", "2027-07-01T00:00:00Z")
    assert (await tier(api), await tier(api, "bob")) == ("gold", "gold")
    assert await tier(api, "bob", NOON + 50 * DAY) == "basic", "past 2026-12-20"
    assert (await buy(api, "D3", "ada"))["starts_at"] == "2027-07-01T00:00:00Z"
    odd = await buy(api, "D4", "bob")
    assert (odd["starts_at"][:10], odd["ends_at"][:10]) == ("2026-12-21", "2027-12-21")
    assert (await buy(api, "D1", "ada", status=200))["paid_minor"] == 36_500, "bought once"
    given = (await refund(api, "D1", at=NOON + 10 * DAY))["refund"]
    assert (given["days"], given["days_unused"]) == (365, 231)
    assert given["amount_minor"] == 36_500 * 231 // 365


async def test_each_row_that_is_wrong_is_named_with_what_to_do(door, office, api):
    await office.bring(terms(office, YEAR, name="first.csv"), "memberships")
    await door.give(erasure("eve"))
    rows = [
        ("bob", "no-such", "E1", "2026-10-01", "2027-09-30", 100),
        ("bob", "year", "D1", "2026-10-01", "2027-09-30", 100),
        ("ada", "year", "E2", "2027-06-30", "2028-06-29", 100),
        ("bob", "year", "E3", "2025-10-01", "2026-09-30", 100),
        ("bob", "year", "E4", "2028-10-01", "2027-09-30", 100),
        ("bob", "year", "E5", "2026-10-01", "", 100),
        ("bob", "year", "E6", "2026-10-01", "2027-09-30", -1),
        ("bob", "year", "E7", "2026-10-01", "2027-09-30", 100),
        ("cid", "year", "E7", "2026-10-01", "2027-09-30", 100),
        ("eve", "year", "E8", "2026-10-01", "2027-09-30", 100),
    ]

    with pytest.raises(Fatal, match="9 rows are wrong, nothing was brought"):
        await office.bring(terms(office, *rows), "memberships")

    said = office.said()
    for fault in (
        "row 2, plan_id: no plan of this id has started",
        "row 3, document_id: is here already",
        "row 4, customer_id: has a term in these days, document D1",
        "row 5, paid_until: 2026-09-30 is over",
        "row 6, paid_until: is before starts_at",
        "row 7, paid_until: is empty",
        "row 8, paid_minor: -1 is not from 0",
        "row 10, row: says the same as row 9; a document is one term",
        "row 11, customer_id: was erased",
    ):
        assert fault in said
    await api("PUT", "/v1/tier-plans/default", {**TIERS, "tiers": TIERS["tiers"][:1]}, at=NOON)
    with pytest.raises(Fatal):
        await office.bring(terms(office, rows[-3]), "memberships")
    assert "its tier, gold, is not in the tier plan" in office.said()


async def test_a_killed_run_goes_on_and_what_was_taken_back_may_come_again(
    door, office, api, monkeypatch
):
    await api("PUT", "/v1/tier-plans/default", TIERS, at=NOON - 400 * DAY)
    rows = [(f"c{n}", "year", f"T{n}", "2026-10-01", "2027-09-30", 100) for n in range(4)]
    ahead = ("c0", "year", "T9", "2027-10-01", "2028-09-30", 100)
    path = terms(office, *rows, ahead)
    await office.bring_and_die(monkeypatch, path, "memberships")
    assert "500 minor units in 5 rows of 4 customers" in await office.bring(path, "memberships")
    await refund(api, "T1", customer="c1", at=NOW)
    await buy(api, "mine", "c2")
    await door.give(erasure("c3"))

    said = await office.reverse()

    for why in (
        "row 3: stays: its term was refunded",
        "row 4: stays: its term was renewed, by document mine",
        "row 5: stays: its customer was erased",
    ):
        assert why in said
    assert [
        each["refund"]["amount_minor"] for each in (await told(api, "c0", at=NOW))["terms"]
    ] == [
        0,
        0,
    ], "ended, and no money is owed"
    assert (await tier(api, "c0"), await tier(api, "c2")) == ("basic", "gold")
    said = await office.bring(path, "memberships", skip_wrong=True)
    assert "200 minor units in 2 rows of 1 customers" in said
    assert await tier(api, "c0") == "gold"
    documents = [each["document_id"] for each in (await told(api, "c0", at=NOW))["terms"]]
    assert f"T0-{office.batch}" in documents
    await Desk().close(office.settings, office.batch)
    with pytest.raises(Fatal, match="is closed"):
        await office.reverse()


async def test_without_a_tier_plan_a_term_gives_its_own_tier_until_it_is_taken_back(office, api):
    await office.bring(terms(office, YEAR), "memberships")
    assert (await told(api, at=NOW))["tier"] == "gold"

    await office.reverse()

    after = await told(api, at=NOW)
    assert (after["tier"], after["terms"][0]["state"]) == (None, "refunded")
