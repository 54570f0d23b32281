"""From messages to effects: one transaction for a batch.

    fence   move the positions, or find that the batch is no longer ours
    claim   take the events not handled before; leave those of erased people
    handle  settle erasures, follow merges, then the service's own load, fold, store
    bury    what cannot be handled, with its reason
    commit

When a handler fails. A transient failure (`db.is_transient`) rolls back everything and is
the caller's to retry: it says nothing about the events. A statement time-out commits the
batch in halves, each a transaction of its own; one event alone that times out TRIES times is
buried.
Anything else splits the batch inside the transaction until the culprits are alone
(`shared/split.py`), and they are buried. The breaker (`shared/breaker.py`) decides
whether burials may stand; if not, the transaction is rolled back whole.

Folding a batch gives what folding its parts one after the other gives, so all these
cuttings have the same effect.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import structlog
from aiokafka import TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import aliases, breaker, db, dead_letters, inbox, metrics, positions, tracing
from shared.dead_letters import Dead
from shared.errors import Reject
from shared.events import codec
from shared.events.envelope import Event
from shared.message import Message
from shared.positions import Position, Positions
from shared.split import BEHIND, TRIES, Split
from shared.world import Handler, World

log = structlog.get_logger()

COUNT_UNKNOWN = text("""
    INSERT INTO unknown_type (consumer, type, source, count)
    SELECT :consumer, type, source, count FROM unnest(
        CAST(:types AS text[]), CAST(:sources AS text[]), CAST(:counts AS bigint[])
    ) AS new (type, source, count)
    ORDER BY type, source
    ON CONFLICT (consumer, type, source) DO UPDATE
    SET count = unknown_type.count + excluded.count, last_seen_at = now()
""")

Pair = tuple[Message, Event]
TOLD = 5
"""Of the events that stopped a worker: so many tell what is wrong."""


@dataclass(slots=True)
class Decoded:
    """A batch after decoding; `unknown` counts (type, source)."""

    pairs: list[Pair] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)


def decode(messages: Sequence[Message]) -> Decoded:
    """Read every message; what cannot be read is dead."""
    decoded = Decoded()
    for message in messages:
        try:
            event = codec.decode(message)
        except Reject as error:
            decoded.dead.append(Dead(message, f"Reject: {error}"))
            continue
        match event:
            case Event():
                decoded.pairs.append((message, event))
            case codec.Unknown(type_, source):
                decoded.unknown[type_, source] += 1
            case _:
                assert_never(event)
    return decoded


def advance(messages: Sequence[Message]) -> dict[TopicPartition, Position]:
    """The positions after these messages; each partition's are in the order of the log."""
    return {
        TopicPartition(m.topic, m.partition): Position(m.offset + 1, m.timestamp_ms)
        for m in messages
    }


class Batches:
    """Gives batches their effects, for one handler."""

    def __init__(self, engine: AsyncEngine, handler: Handler, world: World) -> None:
        self.engine = engine
        self.handler = handler
        self.world = world
        self.consumer = world.settings.consumer_name
        self.release = world.settings.release
        self.window = breaker.Window()
        self.awaited = False  # whether somebody waited at its end for rows that a batch had locked

    async def start(self) -> None:
        """Remember what the breaker knew."""
        async with self.engine.connect() as conn:
            self.window = await breaker.load(conn, self.consumer, self.release)
        metrics.STOPPED.set(bool(self.window.stopped_release))

    async def handle(
        self, messages: Sequence[Message], before: Positions
    ) -> dict[TopicPartition, Position]:
        """Give every message its effect or its burial; the positions after them.

        Raises Fenced, Stopped, and transient failures, with everything rolled back; after a
        time-out a first part may have been committed, and a retry is then fenced.
        """
        try:
            return await self._give(messages, before)
        except breaker.Stopped as stopped:
            async with self.engine.begin() as conn:
                await breaker.stop(conn, self.consumer, self.release, str(stopped))
            metrics.STOPPED.set(1)
            raise

    async def _give(
        self, messages: Sequence[Message], before: Positions
    ) -> dict[TopicPartition, Position]:
        """In one transaction; in several, if a statement times out."""
        try:
            return await self._transact(messages, before)
        except Exception as error:
            if not db.is_timeout(error):
                raise
            if len(messages) == 1:
                if db.is_transient(error):
                    raise  # the process was paused; the event has done nothing
                return await self._insist(messages, before, error)
        log.warning("statement timed out, halving the batch", records=len(messages))
        middle = len(messages) // 2
        after = await self._give(messages[:middle], before)
        return after | await self._give(messages[middle:], {**before, **after})

    async def _insist(
        self, alone: Sequence[Message], before: Positions, error: Exception
    ) -> dict[TopicPartition, Position]:
        """Somebody may have cancelled its statement: that looks the same, and is not its fault."""
        for _ in range(TRIES - 1):
            try:
                return await self._transact(alone, before)
            except Exception as again:
                if db.is_transient(again) or not db.is_timeout(again):
                    raise
                error = again
        log.warning("one event times out", topic=alone[0].topic)
        return await self._transact(alone, before, doom=dead_letters.describe(error))

    async def _transact(
        self, messages: Sequence[Message], before: Positions, doom: str = ""
    ) -> dict[TopicPartition, Position]:
        """One transaction; `doom` buries its events instead of handling them."""
        after = advance(messages)
        decoded = decode(messages)
        with tracing.batch_span(self.consumer, (e.traceparent for _, e in decoded.pairs)):
            async with self.engine.begin() as conn:
                await positions.fence(conn, self.consumer, before, after)
                counts, window = await self._apply(conn, decoded, doom)
                self.awaited = bool(await db.run(conn, positions.AWAITED))
        self.window = window
        now_ms = time.time() * 1000
        for message in messages:
            metrics.EVENT_TO_EFFECT.observe(max(0.0, (now_ms - message.timestamp_ms) / 1000))
        for (topic, outcome), count in counts.items():
            metrics.RECORDS.labels(topic, outcome).inc(count)
        return after

    async def _apply(
        self, conn: AsyncConnection, decoded: Decoded, doom: str
    ) -> tuple[Counter[tuple[str, str]], breaker.Window]:
        """Claim, handle, bury; what became of the records, and the breaker's new window."""
        counts: Counter[tuple[str, str]] = Counter()
        if decoded.unknown:
            await self._count_unknown(conn, decoded.unknown)
            counts["", "unknown"] += decoded.unknown.total()
        pairs, dead = await self._divert(conn, decoded)
        events = [event for _, event in pairs]
        claimed = await inbox.claim(conn, self.consumer, events) if events else []
        counts["", "repeated"] += len(events) - len(claimed)
        message_of = {id(event): message for message, event in pairs}
        split = Split(
            conn,
            message_of,
            self.window.after(buried=_opened(dead)),
            effect=self.effect,
            allow=self._allow,
            quarantine=self.handler.quarantine,
        )
        try:
            self._allow(split.window)
            if doom and claimed:
                split.condemn(claimed[0], doom)
            else:
                await split.run(claimed)
        except breaker.Stopped:
            for letter in (dead + split.dead)[-TOLD:]:
                _tell(letter, "event failed, and was not buried")
            raise
        if dead or split.dead:
            await self._bury(conn, dead, split)
        for message in dead + split.dead:
            counts[message.message.topic, "buried" if message.state == "open" else "waiting"] += 1
        for event in split.handled:
            counts[event.topic, "handled"] += 1
        return counts, split.window

    async def _divert(
        self, conn: AsyncConnection, decoded: Decoded
    ) -> tuple[list[Pair], list[Dead]]:
        """With quarantine: events behind a dead letter of their key wait there."""
        if not self.handler.quarantine or not (decoded.pairs or decoded.dead):
            return decoded.pairs, decoded.dead
        keys = {m.key for m, _ in decoded.pairs if m.key is not None}
        blocked = await dead_letters.blocked(conn, self.consumer, keys)
        first_dead = {d.message.key: d.message for d in reversed(decoded.dead)}
        pairs: list[Pair] = []
        waiting: list[Dead] = []
        for message, event in decoded.pairs:
            fault = first_dead.get(message.key)
            behind = fault is not None and _follows(message, fault)
            if message.key in blocked or behind:
                waiting.append(Dead(message, BEHIND, event, "waiting"))
            else:
                pairs.append((message, event))
        return pairs, decoded.dead + waiting

    async def effect(self, conn: AsyncConnection, events: list[Event]) -> list[Event]:
        """Erasures, then merges, then the service; the events that it was given."""
        tombstones, handler = self.world.tombstones, self.handler
        await tombstones.settle(conn, self.world.settings.service, events, handler.erase)
        alive = await tombstones.alive(conn, events)
        await aliases.apply(conn, alive)
        if alive:
            await handler.handle(conn, alive, self.world)
        return alive

    def _allow(self, window: breaker.Window) -> None:
        if window.buried > self.window.buried and (fault := window.fault(self.release)):
            raise breaker.Stopped(
                f"{self.consumer} stopped: {fault}. Nothing of the batch was buried; the last of"
                " them are in the log. Deploy a release that handles them; or if they really are"
                f" bad, allow their burial: python -m services.{self.world.settings.service}"
                " dead-letters resume"
            )

    async def _bury(self, conn: AsyncConnection, dead: list[Dead], split: Split) -> None:
        unclaimed = [letter.event for letter in split.dead if letter.event]
        if unclaimed:
            await inbox.release(conn, self.consumer, unclaimed)
        letters = sorted(dead + split.dead, key=lambda d: (d.message.topic, d.message.offset))
        await dead_letters.bury(conn, self.consumer, letters)
        await breaker.save(conn, self.consumer, split.window)
        for letter in letters:
            if letter.state == "open":
                _tell(letter, "event buried")
                metrics.DEAD_LETTERS.labels(letter.reason.split(":")[0].split(" ")[0]).inc()

    async def _count_unknown(
        self, conn: AsyncConnection, unknown: Counter[tuple[str, str]]
    ) -> None:
        await conn.execute(
            COUNT_UNKNOWN,
            {
                "consumer": self.consumer,
                "types": [type_[:200] for type_, _ in unknown],
                "sources": [source[:200] for _, source in unknown],
                "counts": list(unknown.values()),
            },
        )


def _tell(letter: Dead, what: str) -> None:
    log.error(
        what,
        topic=letter.message.topic,
        partition=letter.message.partition,
        offset=letter.message.offset,
        reason=letter.reason,
    )


def _opened(dead: Sequence[Dead]) -> int:
    return sum(letter.state == "open" for letter in dead)


def _follows(message: Message, other: Message) -> bool:
    """Whether `message` comes after `other` in their log; across topics, all do."""
    return message.topic != other.topic or message.offset > other.offset
