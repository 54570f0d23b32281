"""The parallel run: another system's balances against ours, person by person."""

import csv
import re
from datetime import timedelta

import pytest

from services.loyalty.tests.office import NOW, Office
from services.loyalty.tests.shop import Order, line, merged

THEIRS = ("customer_id", "points")


@pytest.fixture
async def office(door, tmp_path, capsys):
    """ada has 10 points, bob 5, eve 10 pending."""
    await door.give(*Order().life(), *Order("o2", "bob", (line(total_minor=500),)).life())
    await door.give(Order("o3", "eve").event("order.paid", 2))
    return Office(door, tmp_path, capsys)


def theirs(office, *rows):
    return office.file(*rows, header=THEIRS, name="theirs.csv")


def differences(office):
    return list(csv.DictReader((office.folder / "differences.csv").read_text().splitlines()))


async def test_equal_books_are_equal(office):
    same, said = await office.compare(theirs(office, ("ada", 10), ("bob", 5), ("new", 0)))

    assert same
    assert re.search("equal +3\n", said), "eve holds nothing that she could spend"
    assert "15 theirs, 15 ours (+0)" in said


async def test_each_difference_is_told_with_our_last_journals(office):
    same, said = await office.compare(theirs(office, ("ada", 12), ("zoe", 7), ("eve", 0)))

    assert not same
    told = {each["customer_id"]: each for each in differences(office)}
    assert (told["ada"]["verdict"], told["ada"]["by"]) == ("differs", "-2")
    assert "activate:o1" in told["ada"]["last_journals"]
    assert (told["bob"]["verdict"], told["bob"]["ours"]) == ("missing there", "5")
    assert (told["zoe"]["verdict"], told["zoe"]["theirs"]) == ("missing here", "7")
    assert told.keys() == {"ada", "bob", "zoe"}
    assert "19 theirs, 15 ours (-4)" in said


async def test_pending_points_count_if_asked(office):
    same, _ = await office.compare(
        theirs(office, ("ada", 10), ("bob", 5), ("eve", 10)), pending=True
    )

    assert same


async def test_our_side_can_be_as_of_a_time(office, door):
    before = NOW - timedelta(minutes=30)
    gone = line(delivered=1, returned=1)
    await door.give(Order("o9", "ada").event("order.delivered", 45))
    await door.give(Order(lines=(gone,)).event("order.returned", 50))
    rows = ("ada", 10), ("bob", 5)

    assert (await office.compare(theirs(office, *rows)))[0], "10 came and 10 went since"
    assert (await office.compare(theirs(office, *rows), at=before, since="event"))[0]
    middle = NOW - timedelta(minutes=12)
    same, _ = await office.compare(theirs(office, *rows), at=middle, since="event")
    assert not same
    assert differences(office)[0]["ours"] == "20"


async def test_a_person_is_compared_under_all_ids(office, door):
    await door.give(merged("ada", "zoe", ("ada", "bob", "zoe")))
    await door.give(merged("bob", "zoe", ("ada", "bob", "zoe")))
    await door.give(merged("zoe", "zoe", ("ada", "bob", "zoe")))

    same, said = await office.compare(theirs(office, ("bob", 11), ("ada", 4)))

    assert same, said


async def test_many_pages_are_compared(office, monkeypatch):
    monkeypatch.setattr("services.loyalty.work.comparison.PAGE_ROWS", 2)
    rows = [(f"c{n}", 10 + n, "2026-01-05") for n in range(9)]
    await office.bring(office.file(*rows))
    told = [("ada", 10), ("bob", 5), *((f"c{n}", 10 + n) for n in range(9) if n != 4)]

    same, _ = await office.compare(theirs(office, *told))

    assert not same
    assert [each["customer_id"] for each in differences(office)] == ["c4"]


async def test_a_row_that_cannot_be_read_is_told_and_makes_the_books_unequal(office):
    same, said = await office.compare(theirs(office, ("ada", "ten"), ("ada", 10), ("bob", 5)))

    assert not same
    assert "row 2, points" in said
