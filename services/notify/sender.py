"""Hands notices over: a task of every worker, as many as there are workers.

    claim    due notices get a lease                     commit
    decide   under lock, on everything as it is now      commit as handed over
    render, and hand over to the provider                no transaction is open
    record   what became of it, with its event           commit

A crash after `claim` costs the length of a lease. A crash after `decide` leaves a notice
that may or may not have gone out: when its time is up a job calls it `unknown`, and nothing
sends it again. Notices are decided on one at a time, each just before it goes, so a consent
that is withdrawn also stops what was claimed a second ago.

Each lane has a connection of its own. While the provider takes nothing the lane gives back
what it has claimed and pauses, so an outage does not use up every notice's attempts. What
cannot be decided on for a reason of its own is left to its lease, and the others go on; but
an error once a notice is handed over ends the worker, before it makes more of them unknown.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import assert_never
from uuid import UUID, uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify import deciding, metrics, policy
from services.notify.channels.email import message
from services.notify.channels.email.message import BadAddress, BadHeader, Mail
from services.notify.channels.email.smtp import PROVIDER, Mailer
from services.notify.channels.outcomes import Accepted, Outcome, Postponed, Refused, Unknown
from services.notify.deciding import Ready
from services.notify.notices import Failure
from services.notify.rendering import Templates, Unrenderable
from services.notify.settings import Settings
from services.notify.store import people as people_store
from services.notify.store import sending
from services.notify.store.sending import Claimed, Result
from shared import db, outbox
from shared.jobs import Job
from shared.run import Task
from shared.world import World

log = structlog.get_logger()

POLL_S = 0.25
PAUSE_MIN_S, PAUSE_MAX_S = 1.0, 30.0  # while the provider takes nothing
RECORD_RETRY_S = 0.5
RECORD_TRIES_WHEN_STOPPED = 10
HAND_OVER_MARGIN_S = 30.0  # for rendering, and for a database that is away for a moment
LOST_EVERY_S, LOST_MAX = 30.0, 1_000


def make(engine: AsyncEngine, world: World) -> Task:
    """The worker's task."""
    return Sender(engine, world).run


async def give_up_lost(engine: AsyncEngine, _world: World) -> None:
    """Call `unknown` what was handed over and never recorded."""
    async with engine.begin() as conn:
        lost = await sending.give_up_lost(conn, PROVIDER, LOST_MAX)
    if lost:
        metrics.LOST.inc(lost)
        log.error("outcome of notices unknown, their sender died", notices=lost)


GIVE_UP_LOST = Job("give_up_lost_notices", LOST_EVERY_S, give_up_lost)


@dataclass(slots=True)
class Lane:
    """One connection, and the claim in hand; `ours` are those the provider was not given."""

    mailer: Mailer
    stop: asyncio.Event
    lease: UUID = field(default_factory=uuid4)
    ours: list[UUID] = field(default_factory=list)


class Sender:
    """Sends what is due, until stopped."""

    def __init__(self, engine: AsyncEngine, world: World) -> None:
        assert isinstance(world.settings, Settings)
        self.engine = engine
        self.world = world
        self.settings: Settings = world.settings
        templates = Templates.load()
        lease_s = 2 * self.settings.smtp_timeout_s + HAND_OVER_MARGIN_S
        self.templates = templates
        self.deciding = deciding.Sender(world, templates, lease_s)

    async def run(self, stop: asyncio.Event) -> None:
        if self.settings.muted:
            log.warning("muted: no notice is handed over")
        lanes = 0 if self.settings.muted else self.settings.sender_lanes
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(self._lane(stop))
            group.create_task(_rest(stop))

    async def _lane(self, stop: asyncio.Event) -> None:
        pause_s = PAUSE_MIN_S
        async with Mailer(self.settings) as mailer:
            lane = Lane(mailer, stop)
            while not stop.is_set():
                try:
                    seen, reached = await self.turn(lane)
                except Exception as error:
                    if not db.is_transient(error):
                        raise
                    log.warning("sender waits for the database", error=type(error).__name__)
                    seen, reached = 0, False
                if reached:
                    pause_s = PAUSE_MIN_S
                    await _rest(stop, 0 if seen else POLL_S)
                else:
                    await _rest(stop, pause_s)
                    pause_s = min(2 * pause_s, PAUSE_MAX_S)
                await mailer.hang_up_if_idle()

    async def turn(self, lane: Lane) -> tuple[int, bool]:
        """See to what is due: how many notices, and whether the provider takes mails."""
        await self._give_back(lane)  # of the last turn, if the database was lost in it
        claimed = await self.claim(lane)
        seen, reached = 0, True
        for notice in claimed:
            ready = await self.decide(lane, notice)
            lane.ours.remove(notice.id)
            seen += 1
            if ready is not None:
                reached = await self.send(lane, ready)
            if not reached or lane.stop.is_set():
                break
        await self._give_back(lane)
        return seen, reached

    async def claim(self, lane: Lane) -> list[Claimed]:
        """What is due, for as long as the lease."""
        given = self.settings
        lane.lease = uuid4()
        async with self.engine.begin() as conn:
            claimed = await sending.claim(
                conn,
                lane.lease,
                claim_max=given.sender_claim_max,
                lease_s=given.sender_lease_s,
            )
        lane.ours = [notice.id for notice in claimed]
        return claimed

    async def decide(self, lane: Lane, notice: Claimed) -> Ready | None:
        """None if it is not to be handed over: now, ever, or because we cannot decide."""
        try:
            async with self.engine.begin() as conn:
                return await deciding.decide(conn, self.deciding, lane.lease, notice)
        except Exception as error:
            if db.is_transient(error):
                raise
            log.exception("notice cannot be decided on", notice=str(notice.id))
            metrics.NOTICES.labels("email", "error").inc()
            return None

    async def _give_back(self, lane: Lane) -> None:
        if lane.ours:
            async with self.engine.begin() as conn:
                await sending.give_back(conn, lane.lease, lane.ours)
            lane.ours = []

    async def send(self, lane: Lane, ready: Ready) -> bool:
        """Hand over and record; whether the provider takes mails."""
        started = time.monotonic()
        mail = self.compose(ready)
        outcome = await lane.mailer.hand_over(mail) if isinstance(mail, Mail) else mail
        took_s = time.monotonic() - started
        metrics.HAND_OVER_SECONDS.labels(ready.about.channel).observe(took_s)
        attempt = Attempted(
            ready,
            result_of(outcome, ready.attempt),
            round(1000 * took_s),
        )
        await self._record_surely(lane, attempt)
        return not (isinstance(outcome, Postponed) and outcome.unreachable)

    def compose(self, ready: Ready) -> Mail | Failure:
        """The message, or why there can be none."""
        try:
            rendered = self.templates.render(ready.choice, ready.content, ready.name, ready.store)
            return message.build(
                ready.about.notice_id,
                rendered,
                sender=ready.store.sender,
                address=ready.address,
                date=datetime.now(UTC),
            )
        except BadAddress:
            return "bad_address"
        except (Unrenderable, BadHeader) as error:
            log.exception("notice cannot be rendered", kind=ready.about.kind, error=str(error))
            return "unrenderable"

    async def record(self, lease: UUID, attempt: "Attempted") -> None:
        """What became of it, and the event that says so, in one transaction."""
        about, result = attempt.ready.about, attempt.result
        async with self.engine.begin() as conn:
            await people_store.lock(conn, [about.customer_id])
            owner = await sending.record(conn, lease, about.notice_id, result)
            await sending.add_attempt(
                conn,
                about.notice_id,
                attempt.ready.attempt,
                provider=PROVIDER,
                outcome=result.outcome,
                code=result.code,
                took_ms=attempt.took_ms,
            )
            now = self.world.clock.now()
            if owner and result.state == "sent":
                await outbox.enqueue(conn, [about.sent(PROVIDER, now)])
            elif owner and result.reason:
                await outbox.enqueue(conn, [about.failed(PROVIDER, result.reason, now)])
        metrics.NOTICES.labels(about.channel, result.outcome).inc()

    async def _record_surely(self, lane: Lane, attempt: "Attempted") -> None:
        """The database may be away for a moment: what we know now, nobody will know again."""
        tries = 0
        while True:
            try:
                return await self.record(lane.lease, attempt)
            except Exception as error:
                tries += 1
                given_up = lane.stop.is_set() and tries >= RECORD_TRIES_WHEN_STOPPED
                if given_up or not db.is_transient(error):
                    raise
                log.warning("outcome cannot be recorded yet", error=type(error).__name__)
            await asyncio.sleep(RECORD_RETRY_S)


@dataclass(frozen=True, slots=True)
class Attempted:
    """One hand-over, and what became of it."""

    ready: Ready
    result: Result
    took_ms: int


def result_of(outcome: Outcome | Failure, attempt: int) -> Result:
    """What an attempt's outcome makes of the notice."""
    match outcome:
        case Accepted(code):
            return Result("sent", "accepted", code)
        case Refused(code):
            return Result("failed", "refused", code, "refused")
        case Unknown(code):
            return Result("unknown", "unknown", code)
        case Postponed(code):
            return _again("postponed", code, "attempts_exhausted", attempt)
        case "unrenderable":  # a release with a better template may come within the day
            return _again("failed", outcome, outcome, attempt)
        case "bad_address" | "refused" | "attempts_exhausted":
            return Result("failed", "failed", outcome, outcome)
        case _:
            assert_never(outcome)


def _again(outcome: str, code: str, finally_: Failure, attempt: int) -> Result:
    delay = policy.retry_after(attempt)
    if delay is None:
        return Result("failed", outcome, code, finally_)
    return Result("created", outcome, code, retry_in=delay)


async def _rest(stop: asyncio.Event, seconds: float | None = None) -> None:
    """Until stopped, or for so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
