"""What time alone does to points: jobs against real PostgreSQL, and events that come first."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.loyalty.jobs import timers
from services.loyalty.tests.shop import Order, erasure, line
from services.loyalty.tests.test_worker import balanced
from shared.clock import Clock

YEAR = {
    "starts_at": "2000-01-01T00:00:00Z",
    "activation": {"after_days": 7},
    "expiry": {"after_months": 12, "round_to": "month"},
}
DELIVERED = Order().life()[3].time
END = datetime(2027, 12, 1, tzinfo=UTC)
JOBS = {
    "activate": timers.activate_due,
    "expire": timers.expire_due,
    "time_out": timers.time_out_due,
    "warn": timers.warn,
}


@pytest.fixture
async def programme(door):
    async with door.client() as http:
        headers = {"Idempotency-Key": "p"}
        answer = await http.put("/v1/programmes/default", json=YEAR, headers=headers)
        assert answer.status_code == 200, answer.text


async def run(door, name, now):
    world = replace(door.world, clock=Clock(frozen_at=now))
    async with door.engine.begin() as conn:
        while await JOBS[name](conn, world):
            pass


async def seen(door, now, customer="ada"):
    async with door.client(clock=Clock(frozen_at=now)) as http:
        found = (await http.get(f"/v1/accounts/{customer}")).json()
    return found["pending"], found["active"], found["next_expiry_at"]


async def told(door):
    return [summed(fact) for fact in await door.published()]


def summed(fact):
    return fact.type, fact.data.points, fact.time


@pytest.mark.usefixtures("programme")
async def test_points_become_active_and_expire_by_their_own_times(door, ask):
    due = DELIVERED + timedelta(days=7)
    await door.give(*Order().life())
    await door.published()

    await run(door, "activate", due - timedelta(seconds=1))
    early = await seen(door, due)
    await run(door, "activate", due + timedelta(days=90))  # the job was away for long
    active = await seen(door, due)
    await run(door, "warn", END - timedelta(days=30))
    await run(door, "warn", END - timedelta(days=30))
    await run(door, "warn", END - timedelta(hours=25))
    await run(door, "expire", END - timedelta(seconds=1))
    await run(door, "expire", END + timedelta(days=3))
    await run(door, "expire", END + timedelta(days=4))

    [[account_id]] = await door.query("SELECT account_id::text FROM member")
    facts = await door.published()

    assert account_id not in str(facts)
    assert early == (10, 0, None)
    assert active == (0, 10, END.isoformat())
    assert [summed(fact) for fact in facts] == [
        ("points.activated", 10, due),
        ("points.expiring", 10, END - timedelta(days=30)),
        ("points.expiring", 10, END - timedelta(hours=25)),
        ("points.expired", 10, END),
    ]
    assert await seen(door, END) == (0, 0, None)
    assert (await balanced(ask))["accounts"]["expired"] == 10


@pytest.mark.usefixtures("programme")
async def test_a_lot_past_its_date_is_gone_whether_or_not_the_job_has_run(door):
    await door.give(*Order().life())
    await run(door, "activate", END)

    assert (await seen(door, END - timedelta(microseconds=1)))[1] == 10
    assert (await seen(door, END))[1] == 0


@pytest.mark.usefixtures("programme")
async def test_it_does_not_matter_whether_the_event_or_the_job_comes_first(door, other_door, ask):
    async with other_door.client() as http:
        await http.put("/v1/programmes/default", json=YEAR, headers={"Idempotency-Key": "p"})
    returned = Order().every(delivered="all", returned="all").event("order.returned", 5)
    late = replace(returned, time=END + timedelta(days=1))
    for one in (door, other_door):
        await one.give(*Order().life())

    for name in ("activate", "expire"):
        await run(door, name, END + timedelta(days=2))
    await door.give(late)
    await other_door.give(late)

    rows = "SELECT id, kind, revision, event_time FROM journal ORDER BY id"
    assert await door.query(rows) == await other_door.query(rows)
    lots = "SELECT points, remaining, expired, taken_back FROM lot"
    assert await door.query(lots) == await other_door.query(lots) == [(10, 0, 0, 10)]
    assert len(await door.published()) == len(await other_door.published())
    await balanced(ask)


@pytest.mark.usefixtures("programme")
async def test_a_return_while_the_job_runs_is_booked_once(door, ask):
    orders = [Order(f"o{n}", f"c{n}") for n in range(40)]
    await door.give(*[event for order in orders for event in order.life()])
    returned = [
        order.every(delivered="all", returned="all").event("order.returned", 5) for order in orders
    ]

    async def job():
        for name in ("activate", "expire"):
            await run(door, name, END + timedelta(days=2))

    late = [replace(event, time=END + timedelta(days=1)) for event in returned]
    await asyncio.gather(
        door.give(*late[:20]), job(), door.give(*late[20:]), return_exceptions=True
    )
    await job()
    await door.again(*door.log.messages)

    books = await balanced(ask)
    assert (books["accounts"]["clawed_back"], books["liability"]) == (400, 0)


@pytest.mark.usefixtures("programme")
async def test_the_points_of_the_erased_expire_and_nobody_is_told(door, ask):
    await door.give(*Order("o1", lines=(line("1", 900),)).life())
    await run(door, "activate", DELIVERED + timedelta(days=8))
    await door.give(*Order("o2").life())
    await door.give(erasure("ada"))
    await door.published()

    for name in ("activate", "warn", "expire"):
        await run(door, name, END + timedelta(days=2))

    assert await told(door) == []
    books = await balanced(ask)
    assert (books["accounts"]["expired"], books["liability"]) == (9, 10)


@pytest.mark.usefixtures("programme")
async def test_what_a_late_event_adds_to_an_expired_lot_expires_too(door, ask):
    order = Order(lines=(line("1", 1000), line("2", 500)))
    paid, first = order.event("order.paid", 1), order.change("1", delivered=1)
    await door.give(paid, first.event("order.delivered", 2))
    await run(door, "activate", DELIVERED + timedelta(days=8))
    await run(door, "expire", END)
    await door.give(first.change("2", delivered=1).event("order.delivered", 3))
    await run(door, "activate", END)
    await door.published()

    for _ in range(2):
        await run(door, "expire", END)

    assert [(type_, points) for type_, points, _ in await told(door)] == [("points.expired", 5)]
    await balanced(ask)


@pytest.mark.usefixtures("programme")
async def test_points_that_come_back_to_an_expired_lot_expire_as_another(door, ask):
    await door.give(*Order().life())
    await run(door, "activate", END - timedelta(days=1))
    async with door.client(clock=Clock(frozen_at=END - timedelta(hours=1))) as http:
        headers = {"Idempotency-Key": "r"}
        path = "/v1/accounts/ada/reservations"
        answer = await http.post(path, json={"points": 4}, headers=headers)
        assert answer.status_code == 201, answer.text
    await door.published()

    for name in ("expire", "time_out", "expire", "expire"):  # freed as of before its date
        await run(door, name, END + timedelta(days=1))

    events = await door.published()
    assert [(e.type, e.data.points) for e in events] == [("points.expired", n) for n in (6, 4)]
    assert len({e.id for e in events}) == 2
    assert (await balanced(ask))["accounts"]["expired"] == 10
