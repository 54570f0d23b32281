"""The reconciliation: quiet in every ordinary state, and names what was changed behind its back."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from services.loyalty.store import books as store
from services.loyalty.tests.caller import Api
from services.loyalty.tests.closer import look
from services.loyalty.tests.shop import NOON, Order, erasure, line, merged, unmerged

PATH = "/v1/ledger/reconciliation"
LATER = NOON + timedelta(days=1)
BOTH = ("ada", "bob")
MONTH = {"starts_at": "2000-01-01T00:00:00Z", "expiry": {"after_months": 1}}
# As the migration that brought the lots wrote them, for who had points by then.
BEFORE_LOTS = (
    "UPDATE posting SET lot_id = NULL",
    "UPDATE lot SET id = gen_random_uuid(), source = 'before lots', document = '', store = ''",
)


def hundred(order_id="o1", customer="ada"):
    return Order(order_id, customer, (line("1", 10_000),))


@pytest.fixture
def api(door):
    return Api(door)


async def behind_its_back(door, *statements):
    """What the service's own role may not do."""
    conn = await asyncpg.connect(str(door.world.settings.owner_database_url))
    try:
        for statement in statements:
            await conn.execute(statement)
    finally:
        await conn.close()


async def reserve(api, points, customer="ada", at=LATER):
    path = f"/v1/accounts/{customer}/reservations"
    return await api("POST", path, {"points": points}, at=at, status=201)


async def spend(api, points, at=LATER):
    one = await reserve(api, points, at=at)
    await api("POST", f"/v1/reservations/{one['id']}/confirm", {}, at=at)


async def pending(door, _api):
    await door.give(hundred().event("order.paid", 2))


async def reserved(door, api):
    await door.give(*hundred().life())
    await reserve(api, 40)


async def owed(door, api):
    await door.give(*hundred().life())
    await spend(api, 40)
    back = hundred().every(delivered="all").change("1", returned=1)
    await door.give(back.event("order.returned", 5))


async def owed_and_paid_in_part(door, api):
    await owed(door, api)
    await door.give(*Order("o2", "ada").life())


async def expired_and_not_booked(door, api):
    await api("PUT", "/v1/programmes/default", MONTH)
    await door.give(*hundred().life())
    assert await api.purse(at=NOON + timedelta(days=90)) == (0, 0, 0)


async def freed_after_its_date(door, api):
    await api("PUT", "/v1/programmes/default", MONTH)
    await door.give(*hundred().life())
    one = await reserve(api, 40)
    await api("POST", f"/v1/reservations/{one['id']}/cancel", {}, at=NOON + timedelta(days=90))


async def merged_and_spent(door, api):
    await door.give(*hundred().life(), *hundred("o2", "bob").life())
    await door.give(*[merged(one, "ada", BOTH) for one in BOTH])
    await spend(api, 150)
    await reserve(api, 30)


async def unmerged_again(door, api):
    await merged_and_spent(door, api)
    await door.give(unmerged("ada", ("ada",), ("bob",)))


async def erased(door, api):
    await merged_and_spent(door, api)
    await door.give(erasure("ada"))


async def from_before_lots(door, api):
    await door.give(*hundred().life())
    await behind_its_back(door, *BEFORE_LOTS)
    await spend(api, 40)


STATES = {
    pending: (0, 0),
    reserved: (60, 40),
    owed: (0, 0),
    owed_and_paid_in_part: (0, 0),
    expired_and_not_booked: (100, 0),
    freed_after_its_date: (60, 0),
    merged_and_spent: (20, 30),
    unmerged_again: (20, 30),
    erased: (20, 30),
    from_before_lots: (60, 0),
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_nothing_differs_in_an_ordinary_state(door, api, state):
    await state(door, api)

    books = await api.balanced()

    lots, kept = books["lots"], books["kept"]
    assert (lots["remaining"], lots["reserved"]) == STATES[state]
    assert (kept["active"], kept["reserved"]) == STATES[state]
    assert (books["accounts_differing"], books["lots_differing"]) == (0, 0)
    assert (books["accounts_differing_sample"], books["lots_differing_sample"]) == ([], [])


async def two_lots(door):
    await door.give(*hundred().life(), *hundred("o2").life())
    return dict(await door.query("SELECT document, id::text FROM lot"))


TAKEN = "UPDATE lot SET remaining = remaining - 7, used = used + 7 WHERE document = 'o1'"
SET_ASIDE = "UPDATE lot SET remaining = remaining - 7, reserved = 7 WHERE document = 'o1'"
GIVEN = "UPDATE lot SET remaining = remaining + 7, points = points + 7 WHERE document = 'o2'"
LOST = "DELETE FROM lot WHERE document = 'o1'"


@pytest.mark.parametrize(
    ("tampering", "named", "lots"),
    [
        ([TAKEN], ["o1"], (193, 0)),
        ([SET_ASIDE], ["o1"], (193, 7)),
        ([GIVEN], ["o2"], (207, 0)),
        ([LOST], ["o1"], (100, 0)),
    ],
)
async def test_a_lot_that_was_tampered_with_is_named(door, api, tampering, named, lots):
    ids = await two_lots(door)
    await behind_its_back(door, *tampering)

    books = await api("GET", PATH)

    assert (books["balanced"], books["accounts_differing"]) == (False, 1)
    assert books["lots_differing"] == 1
    assert books["lots_differing_sample"] == [ids[each] for each in named]
    assert (books["lots"]["remaining"], books["lots"]["reserved"]) == lots
    assert (books["kept"]["active"], books["sum"]) == (200, 0)


async def test_points_moved_between_the_lots_of_one_account_are_seen(door, api):
    ids = await two_lots(door)
    await behind_its_back(door, TAKEN, GIVEN)

    books = await api("GET", PATH)

    assert (books["balanced"], books["accounts_differing"]) == (False, 0)
    assert books["lots"]["remaining"] == books["kept"]["active"] == 200
    assert sorted(books["lots_differing_sample"]) == sorted(ids.values())


async def test_a_lot_that_was_given_to_another_account_is_named_once(door, api):
    await door.give(*hundred().life(), *hundred("o2", "bob").life())
    await behind_its_back(
        door,
        "UPDATE lot SET account_id = (SELECT account_id FROM lot WHERE document = 'o2')"
        " WHERE document = 'o1'",
    )

    books = await api("GET", PATH)

    assert (books["accounts_differing"], books["lots_differing"]) == (2, 1)


async def test_a_lot_from_before_the_lots_is_held_against_its_account(door, api):
    await from_before_lots(door, api)
    await behind_its_back(door, "UPDATE lot SET remaining = remaining - 7, used = used + 7")

    books = await api("GET", PATH)

    assert (books["accounts_differing"], books["lots_differing"]) == (1, 0)


async def test_an_auditor_is_told_which_lots_differ_and_whose_they_are_not(door, api):
    await door.give(*[e for n in range(12) for e in hundred(f"o{n}", f"c{n}").life()])
    await behind_its_back(door, "UPDATE lot SET remaining = remaining - 7, used = used + 7")

    told, seen = await look(door, PATH), await api("GET", PATH)

    assert told["accounts_differing"] == told["lots_differing"] == 12
    assert len(told["lots_differing_sample"]) == 10
    assert told["accounts_differing_sample"] == []
    assert len(seen["accounts_differing_sample"]) == 10


async def test_what_is_booked_while_the_books_are_summed_is_in_all_sums_or_in_none(
    door, api, monkeypatch
):
    await door.give(*hundred().life())
    reached, go_on = asyncio.Event(), asyncio.Event()
    fetchrow = asyncpg.Connection.fetchrow

    async def slowly(self, query, *args, **more):
        if query == store.SUM_LOTS:
            reached.set()
            await go_on.wait()
        return await fetchrow(self, query, *args, **more)

    monkeypatch.setattr(asyncpg.Connection, "fetchrow", slowly)
    summing = asyncio.create_task(api("GET", PATH))
    await reached.wait()
    await spend(api, 40)
    await door.give(*hundred("o2").life(), *hundred("o3", "bob").life())
    go_on.set()
    before, after = await summing, await api.balanced()

    assert before["balanced"], before
    assert (before["lots"]["remaining"], before["journals"]) == (100, 2)
    assert (after["lots"]["remaining"], after["lots"]["reserved"]) == (260, 0)
