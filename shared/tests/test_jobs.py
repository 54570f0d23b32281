"""Jobs at a stop: what is under way may finish within the grace, and nothing is an error."""

import asyncio
import logging

import pytest
from sqlalchemy import text

from shared import jobs
from shared.jobs import Job

STEP_S = 0.1
ADD = text("INSERT INTO tally (customer_id, events, trail) VALUES ('ada', 1, '[]')")


class Working:
    """A job that waits inside a transaction from its n-th run on, until it is let go."""

    def __init__(self, waits_from: int = 1) -> None:
        self.runs, self.waits_from = 0, waits_from
        self.under_way, self.let_go = asyncio.Event(), asyncio.Event()

    async def __call__(self, engine, _world):
        self.runs += 1
        if self.runs >= self.waits_from:
            async with engine.begin() as conn:
                await conn.execute(ADD)
                self.under_way.set()
                await self.let_go.wait()


def start(door, *work):
    """The jobs, and what stops them."""
    stop = asyncio.Event()
    every = [Job(f"job-{n}", STEP_S, one) for n, one in enumerate(work)]
    return stop, asyncio.create_task(jobs.run(stop, every, door.engine, door.world, None))


async def begun(work):
    await asyncio.wait_for(work.under_way.wait(), 60)


async def added(door):
    [row] = await door.query("SELECT count(*) AS n FROM tally")
    return row.n


def errors(caplog):
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


FIRST_OR_LATER = pytest.mark.parametrize("waits_from", [1, 2], ids=["first", "scheduled"])


@FIRST_OR_LATER
async def test_a_job_under_way_at_a_stop_finishes_its_transaction(door, caplog, waits_from):
    work = Working(waits_from)
    stop, running = start(door, work)
    await begun(work)

    stop.set()
    done, _ = await asyncio.wait([running], timeout=3 * STEP_S)
    work.let_go.set()
    await running

    [row] = await door.query("SELECT outcome FROM job WHERE name = 'job-0'")
    assert not done
    assert (await added(door), row.outcome, work.runs) == (1, "done", waits_from)
    assert errors(caplog) == []


@FIRST_OR_LATER
async def test_a_job_that_outlasts_the_grace_is_cut_off_without_a_word(door, caplog, waits_from):
    work = Working(waits_from)
    stop, running = start(door, work)
    await begun(work)

    stop.set()
    await asyncio.sleep(STEP_S)
    running.cancel()  # as `run.together` does at the end of the grace
    await asyncio.wait([running])
    await asyncio.sleep(0)

    assert running.cancelled()
    assert await added(door) == 0
    assert errors(caplog) == []
    assert door.engine.pool.checkedout() == 0


async def test_no_job_begins_after_a_stop(door, caplog):
    first, second = Working(), Working()
    stop, running = start(door, first, second)
    await begun(first)

    stop.set()
    await asyncio.sleep(3 * STEP_S)
    first.let_go.set()
    second.let_go.set()
    await running

    assert (first.runs, second.runs) == (1, 0)
    assert errors(caplog) == []


async def test_a_stop_before_anything_is_under_way_ends_at_once(door, caplog):
    work = Working()
    work.let_go.set()
    stop, running = start(door, work)
    await begun(work)

    stop.set()
    await asyncio.wait_for(running, 3)

    assert errors(caplog) == []
