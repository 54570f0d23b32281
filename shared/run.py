"""Run a process's tasks together: the first to fail, or SIGTERM, ends them all.

Each task gets `stop`; when it is set they finish what they have in hand, within GRACE_S.
Nothing here restarts a task: a process that cannot go on exits, and whoever runs it starts
a fresh one from what PostgreSQL and Kafka hold, which is the only state there is.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

import structlog

from shared import metrics

log = structlog.get_logger()

GRACE_S = 25.0  # below Kubernetes' 30
LAG_INTERVAL_S = 0.5

Task = Callable[[asyncio.Event], Awaitable[None]]


async def together(*tasks: Task) -> None:
    """Raises what the first failing task raised."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    running = [asyncio.ensure_future(task(stop)) for task in (*tasks, _measure_loop)]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([*running, stopped], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await stopped
    _, late = await asyncio.wait(running, timeout=GRACE_S)
    for task in late:
        log.warning("task did not stop in time")
        task.cancel()
    results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _measure_loop(stop: asyncio.Event) -> None:
    """How late the loop wakes: what blocks it blocks heartbeats, and loses the partitions."""
    while not stop.is_set():
        before = time.monotonic()
        await asyncio.sleep(LAG_INTERVAL_S)
        metrics.LOOP_LAG.set(time.monotonic() - before - LAG_INTERVAL_S)
