"""The breaker: bad code never turns a topic into dead letters.

Single bad events are buried and the good ones behind them go on. But when burials come in
a run, or make up too large a share of what a worker handles, the fault is likely ours: the
batch is rolled back whole and the worker stops, as `stopped(release, reason)` in the
database. So a restart changes nothing: the same release, started again, stops at its
first failure with nothing buried. Another release begins afresh. When the events really
are that bad, `python -m services.<name> dead-letters resume` allows a number of burials,
of which the breaker then thinks nothing.
"""

from dataclasses import dataclass, replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.errors import Fatal

RUN_MAX = 20
SHARE_MAX = 0.1
BURIED_MIN = 20  # below this a share means little
WINDOW = 2_000  # events; what is older counts half, then a quarter, ...

LOAD = text("""
    SELECT handled, buried, run, coalesce(stopped_release, '') FROM breaker
    WHERE consumer = :consumer
""")
SAVE = text("""
    INSERT INTO breaker (consumer, handled, buried, run) VALUES (:consumer, :handled, :buried, :run)
    ON CONFLICT (consumer) DO UPDATE
    SET handled = excluded.handled, buried = excluded.buried, run = excluded.run
""")
STOP = text("""
    INSERT INTO breaker (consumer, handled, buried, run, stopped_release, reason, stopped_at)
    VALUES (:consumer, 0, 0, 0, :release, :reason, now())
    ON CONFLICT (consumer) DO UPDATE
    SET stopped_release = excluded.stopped_release, stopped_at = now(),
        reason = CASE WHEN breaker.stopped_release = excluded.stopped_release
            THEN breaker.reason ELSE excluded.reason END
""")
RESUME = text("""
    UPDATE breaker SET stopped_release = NULL, stopped_at = NULL, reason = NULL,
        handled = 0, buried = 0, run = -CAST(:allowed AS bigint)
    WHERE consumer = :consumer AND stopped_release IS NOT NULL
""")


class Stopped(Fatal):
    """The breaker holds this release."""


@dataclass(frozen=True, slots=True)
class Window:
    """What became of the latest events; `run` counts the burials since the last good one, or,
    below zero, those that an operator still allows."""

    handled: int = 0
    buried: int = 0
    run: int = 0
    stopped_release: str = ""

    def after(self, *, handled: int = 0, buried: int = 0) -> "Window":
        """First `handled` good events, then `buried` bad ones."""
        counted = buried - min(buried, max(0, -self.run))
        run = buried + (min(self.run, 0) if handled else self.run)
        window = replace(
            self, handled=self.handled + handled, buried=self.buried + counted, run=run
        )
        if window.handled + window.buried > 2 * WINDOW:
            window = replace(window, handled=window.handled // 2, buried=window.buried // 2)
        return window

    def fault(self, release: str) -> str:
        """Why one more burial must not be, or nothing."""
        if self.stopped_release == release:
            return "it was stopped before, and failed again"
        if self.run >= RUN_MAX:
            return f"{self.run} events in a row failed"
        total = self.handled + self.buried
        if self.buried >= BURIED_MIN and self.buried > SHARE_MAX * total:
            return f"{self.buried} of the last {total} events failed"
        return ""


async def load(conn: AsyncConnection, consumer: str, release: str) -> Window:
    """The window as it was left; another release begins with an empty one."""
    window = await db.fetch_one(conn, LOAD, Window, consumer=consumer)
    if window is None or window.stopped_release not in {"", release}:
        return Window()
    return window


async def save(conn: AsyncConnection, consumer: str, window: Window) -> None:
    """With each burial, in its transaction."""
    await conn.execute(
        SAVE,
        {
            "consumer": consumer,
            "handled": window.handled,
            "buried": window.buried,
            "run": window.run,
        },
    )


async def stop(conn: AsyncConnection, consumer: str, release: str, reason: str) -> None:
    await conn.execute(STOP, {"consumer": consumer, "release": release, "reason": reason})


async def resume(conn: AsyncConnection, consumer: str, allowed: int) -> bool:
    """Let the worker try again, and bury so many without asking. Whether it was held."""
    found = await conn.execute(RESUME, {"consumer": consumer, "allowed": allowed})
    return found.rowcount == 1
