"""Coupons from elsewhere: old codes are good here, until used, over, or taken back."""

from datetime import timedelta

import pytest

from services.loyalty.tests.counter import FIVE_OFF, LATER, Counter, counter_at, problem
from services.loyalty.tests.office import Office
from services.loyalty.tests.shop import NOON, Order, erasure, line
from shared.errors import Fatal

HEADER = (
    *("customer_id", "reward_id", "code", "expires_at", "value_minor", "percent", "issued_at"),
    "store",
)
OLD = ("ada", "five-off", "SMILE-ABC", "2026-12-31", 500, "", "2026-10-01")
MORE = [(f"c{n}", "five-off", f"OLD{n}X", "", 500) for n in range(2, 8)]


@pytest.fixture
def office(door, tmp_path, capsys):
    return Office(door, tmp_path, capsys)


@pytest.fixture
async def shop(door):
    async with counter_at(door, NOON) as http:
        early = Counter(http)
        await early.lay_down("five-off", valid={"after_days": 1})
        off = FIVE_OFF | {"value_minor": 700, "enabled": False}
        await early.call("PUT", "/v1/rewards/five-off", off, **{"If-Match": "*"})
    async with counter_at(door) as http:
        yield Counter(http)


def coupons(office, *rows, name="coupons.csv"):
    return office.file(*rows, header=HEADER, name=name)


async def test_an_old_code_stays_good_for_what_and_until_when_it_was(door, office, shop):
    path = coupons(office, OLD, ("bob", "five-off", "OLD2"))
    said = await office.bring(path, "coupons", dry=True)
    assert "2 rows, 500 minor units, 2 customers; 0 wrong" in said
    for table in ("member", "coupon", "coupon_step", "import_batch", "outbox"):
        assert await door.query(f"SELECT 1 FROM {table}") == []

    await office.bring(path, "coupons")
    assert "nothing to do" in await office.bring(path, "coupons")

    [coupon] = await shop.coupons()
    assert (coupon["code"], coupon["state"], coupon["value_minor"]) == ("SMILE-ABC", "issued", 500)
    assert coupon["issued_at"] == "2026-10-01T00:00:00Z"
    assert coupon["expires_at"] == "2027-01-01T00:00:00Z", "as the file says, not the reward"
    [other] = await shop.coupons("bob")
    assert (other["value_minor"], other["expires_at"]) == (700, None), "of the newest version"
    used = Order("o2", "ada", (line("1", 2_000),), more={"coupon": "smile abc"})
    await door.give(used.event("order.paid", 1))
    assert [each["state"] for each in await shop.coupons()] == ["used"]
    async with counter_at(door, LATER + timedelta(days=90)) as http:
        late = await Counter(http).act("use", "OLD2", "o3")
    assert late["state"] == "used"
    assert [each for each in await door.published() if each.type == "reward.issued"] == []


async def test_each_row_that_is_wrong_is_named_and_no_code_is_printed(door, office, shop):
    await shop.lay_down("cause", kind="donation", points=10, value_minor=0)
    await shop.lay_down("few", stock=3)
    await office.bring(coupons(office, OLD, name="first.csv"), "coupons")
    await door.give(erasure("eve"))
    rows = [
        ("bob", "no-such", "SECRET1"),
        ("bob", "five-off", "SECRET2", "", 600),
        ("bob", "five-off", "SECRET3", "", "", 10),
        ("bob", "five-off", "smile-abc"),
        ("bob", "five-off", "SECRET4", "2026-10-31"),
        ("bob", "five-off", "SECRET5"),
        ("cid", "five-off", "secret-5"),
        ("bob", "five-off", "--"),
        ("bob", "cause", "SECRET6"),
        ("bob", "few", "SECRET7"),
        ("eve", "five-off", "SECRET8"),
    ]

    with pytest.raises(Fatal, match="10 rows are wrong, nothing was brought"):
        await office.bring(coupons(office, *rows), "coupons")

    said = office.said()
    for fault in (
        "row 2, reward_id: there is no reward of this id",
        "row 3, value_minor: no version of five-off",
        "row 4, percent: no version of five-off",
        "row 5, code: is here already",
        "row 6, expires_at: 2026-10-31 is over",
        "row 8, row: says the same as row 7; a code is one customer's",
        "row 9, code: is none",
        "row 10, reward_id: is a donation",
        "row 11, reward_id: has a stock",
        "row 12, customer_id: was erased",
    ):
        assert fault in said
    assert "SECRET" not in said.upper()


async def test_a_killed_run_goes_on_and_what_was_used_stays_when_it_is_taken_back(
    door, office, shop, monkeypatch
):
    path = coupons(office, OLD, *MORE)
    await office.bring_and_die(monkeypatch, path, "coupons")
    assert "3,500 minor units in 7 rows of 7 customers" in await office.bring(path, "coupons")
    assert len(await door.query("SELECT 1 FROM coupon_step")) == 7
    await shop.act("use", "OLD2X")
    await shop.act("reserve", "OLD3X", "o3", minutes=30)
    await shop.act("void", "OLD4X")
    await door.give(erasure("c5"))

    said = await office.reverse()

    for why in (
        "row 3: stays: its coupon was used",
        "row 4: stays: a checkout holds its coupon",
        "row 5: stays: its coupon was void before",
        "row 6: stays: its coupon was void before",
    ):
        assert why in said
    assert "4 rows stay as they are" in said
    assert [each["state"] for each in await shop.coupons()] == ["void"]
    assert problem(await shop.act("use", "SMILE-ABC", status=404)) == "no-such-coupon"
    said = await office.bring(path, "coupons", skip_wrong=True)
    assert "4 wrong" in said
    assert "1,500 minor units in 3 rows of 3 customers" in said, "a code taken back may come again"
    assert (await shop.act("use", "smileabc"))["state"] == "used"
