"""A finance department: closes months over HTTP, with two persons, as it must."""

import itertools
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from services.loyalty.books.accounting import next_month, parse_month
from services.loyalty.jobs import sealing
from shared.clock import Clock
from shared.events.envelope import Event

TODAY = Clock(frozen_at=datetime(2026, 11, 30, 12, tzinfo=UTC))
LATER = Clock(frozen_at=datetime(2028, 1, 1, tzinfo=UTC))


def on(day: str, *events: Event) -> list[Event]:
    """The events, a minute after each other, from noon of this day on."""
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    return [replace(e, time=noon + timedelta(minutes=n)) for n, e in enumerate(events)]


KEYS = itertools.count()
# What the postings of all months before a day say that members hold.
HELD = """
    SELECT side.kind, sum(side.points)::bigint
    FROM journal JOIN posting ON posting.journal_id = journal.id
    CROSS JOIN LATERAL (VALUES (credit, points), (debit, -points)) AS side (kind, points)
    WHERE accounting_date < :until AND side.kind < 10 GROUP BY side.kind
"""
# What the postings of some days say that was earned, and taken back from members.
GIVEN = """
    SELECT coalesce(sum(points) FILTER (WHERE debit = 11), 0)::bigint,
        coalesce(sum(points) FILTER (WHERE credit = 14 AND debit < 10), 0)::bigint
    FROM journal JOIN posting ON posting.journal_id = journal.id
    WHERE accounting_date >= :since AND accounting_date < :until
"""
GROUPS = {1: "pending", 2: "lots", 3: "lots", 4: "owed"}


async def send(http, path, body):
    """A POST under a key of its own."""
    return await http.post(path, json=body, headers={"Idempotency-Key": f"k{next(KEYS)}"})


async def look(door, path, status=200, **params):
    """What an auditor is told."""
    async with door.client("audit:read", clock=TODAY) as http:
        answer = await http.get(path, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def prepare(door, month, status=201, clock=LATER):
    """The draft that one person prepares."""
    async with door.client("loyalty:admin", clock=clock) as http:
        answer = await send(http, "/v1/closings", {"month": month})
    assert answer.status_code == status, answer.text
    return answer.json()


async def approve(door, month, draft, status=200):
    """The closing that another person approves."""
    async with door.client("loyalty:admin") as http:
        answer = await send(http, f"/v1/closings/{month}/approval", {"draft": draft})
    assert answer.status_code == status, answer.text
    return answer.json()


async def close(door, month):
    """The closed month, as it is told."""
    await sealing.seal(door.engine, door.world)
    draft = await prepare(door, month)
    await approve(door, month, draft["draft"])
    return await look(door, f"/v1/closings/{month}")


async def lay_down(door, **policy):
    """The finance policy, from the beginning of time."""
    async with door.client("loyalty:admin") as http:
        body = {"starts_at": "2000-01-01T00:00:00Z", **policy}
        headers = {"Idempotency-Key": "policy"}
        path = "/v1/finance-policies/default"
        answer = await http.put(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text


def totals(statement, by, what="points"):
    """The closings of the lines with any points, summed by these names."""
    found = defaultdict(int)
    for each in statement["lines"]:
        found[tuple(each[name] for name in by)] += each[what]["closing"]
    return {key: points for key, points in found.items() if points}


def told(statement):
    """The points of the total that are not zero."""
    points = statement["total"]["points"]
    return {name: count for name, count in points.items() if count}


async def ties(door, month):
    """The closed month holds what the postings come to, to the last point."""
    found = (await look(door, f"/v1/closings/{month}"))["statement"]
    held = defaultdict(int)
    for kind, points in await door.query(HELD, until=next_month(parse_month(month))):
        held[GROUPS[kind],] += points
    assert totals(found, ["group"]) == {key: points for key, points in held.items() if points}
    return found


async def costs_tie(door, since=date(2000, 1, 1), until=date(2100, 1, 1)):
    """What rules gave and what tiers got come to the same, and to what the postings say."""
    found = await look(door, "/v1/ledger/costs", **{"from": str(since), "until": str(until)})
    [booked] = await door.query(GIVEN, since=since, until=until)
    assert (found["earned"], found["reversed"]) == tuple(booked)
    for what, total in (("points", "earned"), ("reversed", "reversed")):
        by_rule, by_tier = (sum(row[what] for row in found[by]) for by in ("rules", "tiers"))
        assert by_rule == by_tier == found[total] - found["withheld"][what]
    return found


async def balanced(door):
    books = await look(door, "/v1/ledger/reconciliation")
    assert books["balanced"], books
