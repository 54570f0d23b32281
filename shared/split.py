"""Cutting a batch that fails until its culprits are alone, inside one transaction.

Each part is handled in a savepoint. What is transient, or a time-out, says nothing about
the events and is raised; anything else halves the part. One event alone is tried TRIES
times and then condemned, if the breaker lets it; one that the handler rejects by name, at once.
"""

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.breaker import Window
from shared.dead_letters import Dead, describe
from shared.errors import Reject
from shared.events.envelope import Event
from shared.message import Message

TRIES = 3
BEHIND = "behind a dead letter of its key"

Effect = Callable[[AsyncConnection, list[Event]], Awaitable[list[Event]]]


class Split:
    """One batch's cutting: `handled` and `dead` say what became of its events.

    `effect` handles some events and answers with those it had an effect for; `allow` raises
    where one more burial must not be.
    """

    def __init__(
        self,
        conn: AsyncConnection,
        message_of: dict[int, Message],
        window: Window,
        *,
        effect: Effect,
        allow: Callable[[Window], None],
        quarantine: bool,
    ) -> None:
        self._conn = conn
        self._message_of = message_of
        self._effect = effect
        self._allow = allow
        self._quarantine = quarantine
        self.window = window
        self.dead: list[Dead] = []
        self.handled: list[Event] = []

    async def run(self, events: list[Event]) -> None:
        """Handle what can be handled, in order."""
        events = self._not_behind(events)
        if not events:
            return
        error = await self._attempt(events)
        if error is None:
            self.window = self.window.after(handled=len(events))
        elif len(events) > 1:
            middle = len(events) // 2
            await self.run(events[:middle])
            await self.run(events[middle:])
        else:
            await self._insist(events, error)

    def condemn(self, event: Event, reason: str) -> None:
        """Bury it, unless the breaker refuses."""
        window = self.window.after(buried=1)
        self._allow(window)
        self.window = window
        self.dead.append(Dead(self._message_of[id(event)], reason, event))

    async def _insist(self, alone: list[Event], error: Exception) -> None:
        for _ in range(0 if isinstance(error, Reject) else TRIES - 1):
            again = await self._attempt(alone)
            if again is None:
                self.window = self.window.after(handled=1)
                return
            error = again
        self.condemn(alone[0], describe(error))

    async def _attempt(self, events: list[Event]) -> Exception | None:
        """Handle in a savepoint; what went wrong, unless it says nothing about the events."""
        try:
            async with self._conn.begin_nested():
                done = await self._effect(self._conn, events)
        except Exception as error:
            if db.is_transient(error) or db.is_timeout(error):
                raise
            return error
        self.handled += done
        return None

    def _not_behind(self, events: list[Event]) -> list[Event]:
        """With quarantine: set aside the events behind a culprit of this batch."""
        if not (self._quarantine and self.dead):
            return events
        blocked = {letter.message.key for letter in self.dead}
        free: list[Event] = []
        for event in events:
            message = self._message_of[id(event)]
            if message.key in blocked:
                self.dead.append(Dead(message, BEHIND, event, "waiting"))
            else:
                free.append(event)
        return free
