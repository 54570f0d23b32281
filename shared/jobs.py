"""Periodic work, of which one replica at a time runs each.

Every worker schedules every job; a run begins with a session advisory lock on a direct
connection, so a replica that dies frees it, and with a look at when the job last began, so
that two replicas do not run it twice in one interval.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import db, inbox, metrics
from shared.clock import Clock
from shared.watermark import Watermark
from shared.world import World

log = structlog.get_logger()

JOB_LOCK = 0x10B
BEGIN = """
    INSERT INTO job (name, started_at) VALUES ($1, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET started_at = excluded.started_at
    WHERE job.started_at < clock_timestamp() - $2 * interval '1 second' OR job.outcome = 'behind'
    RETURNING name
"""
PRUNE_ANSWERS = text("DELETE FROM stored_answer WHERE created_at < now() - interval '30 days'")
BEHIND = "behind"
BEHIND_S = 1.0  # it looks again
EXPECT = """
    INSERT INTO job (name, started_at, outcome)
    SELECT name, '-infinity', 'behind' FROM unnest($1::text[]) AS wanted (name)
    ON CONFLICT (name) DO UPDATE SET outcome = excluded.outcome
"""
END = "UPDATE job SET finished_at = clock_timestamp(), outcome = $2 WHERE name = $1"


@dataclass(frozen=True)
class Job:
    """`run` opens its own short transactions; a run that fails is tried at the next interval."""

    name: str
    every_s: float
    run: Callable[[AsyncEngine, World], Awaitable[None]]
    after_log: bool = False
    """Its clock stands at a moment up to which all that was published is handled; while that
    cannot be said its outcome is `behind`."""


async def _keep_inbox(engine: AsyncEngine, _world: World) -> None:
    async with engine.begin() as conn:
        await inbox.keep_days(conn)


async def _prune_answers(engine: AsyncEngine, _world: World) -> None:
    async with engine.begin() as conn:
        await conn.execute(PRUNE_ANSWERS)


BACKBONE = (Job("keep_inbox", 3600, _keep_inbox), Job("prune_answers", 3600, _prune_answers))


async def run(
    stop: asyncio.Event,
    jobs: Sequence[Job],
    engine: AsyncEngine,
    world: World,
    watermark: Watermark,
) -> None:
    """Run the jobs until stopped, one after the other at first, then each in its interval.

    What is under way at a stop is finished, as long as the process waits for it.
    """
    await _expect([job.name for job in jobs if job.after_log], world)
    outcomes = {}
    for job in jobs:
        if not stop.is_set():
            outcomes[job] = await run_once(job, engine, world, watermark)

    async def again(job: Job, outcome: str) -> None:
        while not await _stopped(stop, BEHIND_S if outcome == BEHIND else job.every_s):
            outcome = await run_once(job, engine, world, watermark)

    async with asyncio.TaskGroup() as running:
        for job, outcome in outcomes.items():
            running.create_task(again(job, outcome))


async def _stopped(stop: asyncio.Event, within_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), within_s)
    return stop.is_set()


async def _expect(names: Sequence[str], world: World) -> None:
    """Write down that they are behind, so that nobody takes an older run for one of now."""
    with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError):
        conn = await db.direct(world.settings)
        try:
            await conn.execute(EXPECT, names)
        finally:
            conn.terminate()


async def run_once(job: Job, engine: AsyncEngine, world: World, watermark: Watermark) -> str:
    """One run, unless another replica has it or had it in this interval; its outcome, or empty."""
    try:
        conn = await db.direct(world.settings)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return ""
    try:
        got = await conn.fetchval(
            "SELECT pg_try_advisory_lock($1, hashtext($2))", JOB_LOCK, job.name
        )
        if not got or await conn.fetchval(BEGIN, job.name, 0.9 * job.every_s) is None:
            return ""
        started = time.monotonic()
        outcome = await _outcome(job, engine, world, watermark)
        metrics.JOB_SECONDS.labels(job.name).observe(time.monotonic() - started)
        await conn.execute(END, job.name, outcome)
    except (OSError, TimeoutError, asyncpg.PostgresError, *db.LOST):
        log.warning("job lost its session", job=job.name)
        return ""
    finally:
        conn.terminate()
    return outcome


async def _outcome(job: Job, engine: AsyncEngine, world: World, watermark: Watermark) -> str:
    try:
        if job.after_log:
            moment = await watermark.reached(job.name)
            if moment is None:
                return BEHIND
            world = replace(world, clock=Clock(frozen_at=moment))
        await job.run(engine, world)
    except Exception as error:
        metrics.JOB_FAILURES.labels(job.name).inc()
        log.exception("job failed", job=job.name)
        return type(error).__name__
    return "done"
