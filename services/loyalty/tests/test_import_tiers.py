"""Tiers from elsewhere: had at once, with what counted; over in their time, or taken back."""

import pytest

from services.loyalty.tests.office import NOW, Office
from services.loyalty.tests.shop import erasure, merged
from services.loyalty.tests.test_tiering import card, lay_down, paid, run_job, told
from shared.clock import Clock
from shared.errors import Fatal

HEADER = (
    *("customer_id", "tier", "valid_until", "counted_on", "spend_minor", "orders"),
    *("counted_points", "store"),
)
GOLD = ("ada", "gold", "2026-12-31")
COUNTS = ("bob", "", "", "2026-03-01", 6_000, 2)
NOON = "2026-11-11T13:30:00"


@pytest.fixture
def office(door, tmp_path, capsys):
    return Office(door, tmp_path, capsys)


def tiers(office, *rows, name="tiers.csv"):
    return office.file(*rows, header=HEADER, name=name)


async def standing(door, customer="ada", moment=NOON):
    found = await card(door, customer, moment=moment)
    return found["tier"], found["sources"][0]["source"]


async def test_a_tier_and_what_counted_come_along_and_nobody_gets_a_message(door, office):
    await lay_down(door)
    path = tiers(office, GOLD, COUNTS)
    said = await office.bring(path, "tiers", dry=True)
    assert "2 rows, 6,000 minor units, 2 customers; 0 wrong" in said
    for table in ("member", "standing", "qualifying", "import_batch", "outbox"):
        assert await door.query(f"SELECT 1 FROM {table}") == []

    said = await office.bring(path, "tiers")
    assert "6,000 minor units in 2 rows of 2 customers, as the file" in said
    assert "nothing to do" in await office.bring(path, "tiers")

    assert await standing(door) == ("gold", "imported")
    assert await standing(door, "bob") == ("basic", "earned")
    assert await told(door) == [
        ("ada", "up", "gold", "granted"),
        ("bob", "up", "basic", "reached"),
    ]
    assert all(event.backfill for event in await door.published() if event.type == "tier.changed")
    await door.give(paid(customer="bob", euros=40)[1])
    assert await standing(door, "bob") == ("silver", "earned"), "60 from there and 40 from here"
    await run_job(door, "2027-01-02T00:00:00")
    assert (await standing(door, moment="2027-01-02T00:00:00"))[0] == "basic"


async def test_each_row_that_is_wrong_is_named_with_what_to_do(door, office):
    said = await office.bring(tiers(office, GOLD), "tiers", dry=True, skip_wrong=True)
    assert "lay one down first: PUT /v1/tier-plans/default" in said
    await lay_down(door)
    await door.give(erasure("eve"))
    rows = [
        ("ada", "platinum"),
        ("bob",),
        ("bob", "gold", "2026-01-31"),
        ("cid", "", "", "", 100),
        ("cid", "", "", "2027-03-01", 100),
        ("dan", "gold"),
        ("dan", "silver"),
        ("eve", "gold"),
    ]

    with pytest.raises(Fatal, match="7 rows are wrong, nothing was brought"):
        await office.bring(tiers(office, *rows, name="wrong.csv"), "tiers")

    said = office.said()
    for fault in (
        "row 2, tier: is no tier of the plan in force, which has basic, silver, gold",
        "row 3, tier: is empty, and nothing counts",
        "row 4, valid_until: 2026-01-31 is over",
        "row 5, counted_on: is empty",
        "row 6, counted_on: 2027-03-01 is in the future",
        "row 8, row: says the same as row 7",
        "row 9, customer_id: was erased",
    ):
        assert fault in said
    assert await door.query("SELECT 1 FROM standing WHERE grants <> '[]'") == []


async def test_a_run_that_is_killed_goes_on_and_a_reversal_too(door, office, monkeypatch):
    await lay_down(door)
    rows = [(f"c{n}", "gold", "", "2026-03-01", 6_000, 1) for n in range(3)]
    path = tiers(office, *rows, *(("c0", "", "", f"2026-04-0{n}", 100) for n in range(1, 4)))
    await office.bring_and_die(monkeypatch, path, "tiers")
    assert "18,300 minor units in 6 rows of 3 customers" in await office.bring(path, "tiers")
    days = await door.query("SELECT sum(spend_minor), sum(orders), count(*) FROM qualifying")
    assert [tuple(day) for day in days] == [(18_300, 3, 6)]
    assert await standing(door, "c0") == ("gold", "imported")

    [grant] = (await get(door, "c1"))["items"]
    async with door.client(clock=Clock(frozen_at=NOW)) as http:
        end = f"/v1/accounts/c1/tier-grants/{grant['id']}/end"
        answer = await http.post(end, json={"reason": "x"}, headers={"Idempotency-Key": "e"})
    assert answer.status_code == 200
    await door.give(erasure("c2"), paid(customer="c0", euros=1)[1])
    said = await office.reverse()

    assert "row 3: stays: its tier had ended before" in said
    assert "row 4: stays: its customer was erased" in said
    assert "2 rows stay as they are" in said
    assert await standing(door, "c0") == ("basic", "earned")
    days = await door.query("SELECT sum(spend_minor), sum(orders) FROM qualifying")
    assert [tuple(day) for day in days] == [(100, 1)], "what was bought here counts"
    said = await office.bring(path, "tiers", skip_wrong=True)
    assert "5 rows of 2 customers" in said, "after a reversal it may come again"
    async with door.client() as http:
        history = (await http.get("/v1/accounts/c0/tier/history")).json()["items"]
    assert [each["version"] for each in history] == list(range(len(history), 0, -1))


async def get(door, customer):
    async with door.client() as http:
        return (await http.get(f"/v1/accounts/{customer}/tier-grants")).json()


async def test_the_rows_of_two_ids_of_one_person_count_together_and_go_together(door, office):
    await lay_down(door)
    both = ("ada", "device")
    await door.give(*(merged(each, "ada", both) for each in both))
    rows = [
        ("ada", "silver", "2026-12-31", "2026-03-01", 30_000, 1),
        ("device", "gold", "2026-11-30", "2026-03-01", 30_000, 1),
    ]
    await office.bring(tiers(office, *rows), "tiers")

    now = await card(door, moment=NOON)
    assert (now["tier"], now["counted"]) == ("gold", 60_000)
    assert {each["source"] for each in now["sources"]} == {"earned", "imported"}
    assert await standing(door, moment="2026-12-01T00:00:00") == ("gold", "earned")
    await office.reverse()

    assert (await card(door, moment=NOON))["tier"] == "basic"
    assert await door.query("SELECT 1 FROM qualifying WHERE spend_minor <> 0 OR orders <> 0") == []
