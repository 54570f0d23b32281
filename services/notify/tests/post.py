"""The sender, turned by hand: each turn sees to everything that is due."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

import httpx
from sqlalchemy import text

from services.notify.channels.email.smtp import Mailer
from services.notify.sender import Lane, Sender, give_up_lost
from services.notify.store.sending import Claimed
from shared.clock import Clock
from shared.testing import Door

SOONER = text("UPDATE notice SET due_at = now() - interval '1 second' WHERE state = ANY(:states)")


class Post:
    """A sender over a door's database, and the mail server's view."""

    def __init__(self, door: Door, mails: httpx.Client, mailer: Mailer) -> None:
        self.door = door
        self.mails = mails
        self.mailer = mailer
        self.sender = Sender(door.engine, door.world)

    @classmethod
    @asynccontextmanager
    async def over(cls, door: Door, mails: httpx.Client) -> AsyncIterator[Self]:
        async with Mailer(door.world.settings) as mailer:
            yield cls(door, mails, mailer)

    def lane(self) -> Lane:
        return Lane(self.mailer, asyncio.Event())

    async def turn(self) -> int:
        """How many notices were claimed."""
        seen, _ = await self.sender.turn(self.lane())
        return seen

    def at(self, clock: Clock) -> None:
        """From now on the sender reads this business clock."""
        self.sender = Sender(self.door.engine, replace(self.door.world, clock=clock))

    async def hasten(self, *states: str) -> None:
        """Let the waiting of these be over: what a real clock would do in hours."""
        async with self.door.engine.begin() as conn:
            await conn.execute(SOONER, {"states": list(states)})

    async def give_up_lost(self) -> None:
        await give_up_lost(self.door.engine, self.door.world)

    async def claim(self) -> tuple[Lane, list[Claimed]]:
        """The first step alone."""
        lane = self.lane()
        return lane, await self.sender.claim(lane)

    async def see_to(self, lane: Lane, notice: Claimed) -> None:
        """The other steps."""
        ready = await self.sender.decide(lane, notice)
        if ready is not None:
            await self.sender.send(lane, ready)

    def mode(self, mode: str, **more: Any) -> None:
        """How the mail server treats the next mails."""
        self.mails.put("/mode", json={"mode": mode, **more}).raise_for_status()

    def arrived(self) -> list[dict[str, Any]]:
        """The mails in the sink, whole."""
        return [
            self.mails.get(f"/messages/{mail['id']}").raise_for_status().json()
            for mail in self.mails.get("/messages").raise_for_status().json()
        ]

    async def notices(self) -> list[Any]:
        return await self.door.query("SELECT * FROM notice ORDER BY event_time, kind, order_id, id")

    async def states(self) -> list[tuple[str, str | None]]:
        return [(row.state, row.reason) for row in await self.notices()]

    async def attempts(self) -> list[tuple[int, str, str]]:
        sql = "SELECT number, outcome, code FROM attempt ORDER BY notice_id, number"
        return [tuple(row) for row in await self.door.query(sql)]

    async def until(self, states: set[str]) -> None:
        """All notices are in one of these states, by the doing of another task or process."""
        async with asyncio.timeout(30):
            while {state for state, _ in await self.states()} != states:  # noqa: ASYNC110  not ours
                await asyncio.sleep(0.1)
