"""A finance department: closes months over HTTP, with two persons, as it must."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.loyalty import sealing
from shared.clock import Clock
from shared.events.envelope import Event

TODAY = Clock(frozen_at=datetime(2026, 11, 30, 12, tzinfo=UTC))
LATER = Clock(frozen_at=datetime(2028, 1, 1, tzinfo=UTC))


def on(day: str, *events: Event) -> list[Event]:
    """The events, a minute after each other, from noon of this day on."""
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    return [replace(e, time=noon + timedelta(minutes=n)) for n, e in enumerate(events)]


KEYS = itertools.count()


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
