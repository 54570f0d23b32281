"""`make demo`: the whole suite started, a store's life lived through it, and what came of it.

The simulated weeks end now. What is older than two days is published as history, as fast as
it goes; the last two days as they would have come, but faster, and mails really go out.
The demo has a stack of its own, `demo` in the stack's folder, which begins empty.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from shared.events.envelope import Event
from stack import demo_points, demo_report, programme
from stack.caught_up import Standing, Watch, watch
from stack.demo_report import Lived
from stack.door import Door, read_env
from stack.latency import between, buckets
from stack.ports import SERVICES
from stack.processes import undisturbed
from stack.publish import Published, Publisher, publisher
from stack.show import bars, console, lag_bar, say
from stack.story import Size, Story, write
from stack.supervisor import Supervisor

LIVE_PER_SECOND = 60.0
SETTLE_TIMEOUT_S = 60.0
POLL_S = 0.5


def run(size: Size, home: Path, *, keep: bool) -> bool:
    """The demo; whether all is as it should be. `keep`: leave it running."""
    began = time.monotonic()
    supervisor = Supervisor(home)
    supervisor.erase()
    good = False
    try:
        supervisor.up(say, clock="")
        with Door(read_env(home)) as door:
            programme.lay_down(door)
        story = write(size, datetime.now(UTC))
        lived = asyncio.run(live(story, home))
        with Door(read_env(home)) as door:
            good = demo_points.show(door, story.hero, home)
            good = demo_report.show(story, lived, door) and good
            if keep:
                demo_report.show_where(home, door.env)
    finally:
        if not (keep and good):
            with undisturbed():
                say("stopping")
                supervisor.down()
    if not keep:
        demo_report.show_how_to_look(home)
    console.print(f"{time.monotonic() - began:.0f} s in all.")
    return good


async def live(story: Story, home: Path) -> Lived:
    """Publish the story, and wait until everything has come of it."""
    env = read_env(home)
    async with watch(env) as observer, publisher(env["REGULARS_KAFKA_SERVERS"]) as publishing:
        began = time.monotonic()
        past = await _publish(publishing, story.history, "publishing history")
        await _wait(observer)
        handled_s = time.monotonic() - began
        with Door(env) as door:
            before = {name: buckets(door.metrics(name)) for name in SERVICES}
            name = "the last two days"
            live = await _publish(publishing, story.live, name, per_second=LIVE_PER_SECOND)
            await _wait(observer)
            after = {name: buckets(door.metrics(name)) for name in SERVICES}
            await _settle(observer, door)
        standings = await _wait(observer)  # what notify has sent is news, too
        latencies = {name: between(before[name], after[name]) for name in SERVICES}
        notices = await observer.notices()
        return Lived(past, handled_s, live, latencies, standings, notices)


async def _publish(
    publishing: Publisher, events: Sequence[Event], name: str, *, per_second: float | None = None
) -> Published:
    with bars() as progress:
        task = progress.add_task(name, total=len(events))
        return await publishing.publish(
            events, lambda count: progress.advance(task, count), per_second=per_second
        )


async def _wait(observer: Watch) -> list[Standing]:
    with lag_bar() as tell:
        return await observer.wait(tell)


async def _settle(observer: Watch, door: Door) -> None:
    """Until the mails are out, and the lists of what is bought together know all orders."""

    async def notices_due() -> bool:
        return bool(await observer.notices_due())

    async def lists_stale() -> bool:
        return bool(door.get("recommend", "/v1/models/also-bought")["stale"])

    say("mails going out")
    await _while(notices_due)
    say("learning what is bought together")
    await _while(lists_stale)


async def _while(holds: Callable[[], Awaitable[bool]]) -> None:
    """Until it holds no longer; not for ever, for the report shows what is left."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while await holds():  # noqa: ASYNC110 -- another process knows
                await asyncio.sleep(POLL_S)
