"""Whether the services have handled all that is in Kafka, as seen from outside.

A service is caught up when its `consumer_offset` rows stand at the ends of the logs, and
its outbox is empty: then nothing is under way any more. Databases are read in read-only
sessions, Kafka's ends without joining any group; so looking changes nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stack.errors import StackError
from stack.ports import SERVICES

ORDERS = "shop.orders.v1"  # which every service reads
POLL_S = 0.25
STALLED_S = 90.0

POSITIONS = "SELECT topic, partition, next_offset FROM consumer_offset WHERE consumer = $1"
WAITING = """
    SELECT (SELECT count(*) FROM outbox),
        (SELECT count(*) FROM dead_letter WHERE state IN ('open', 'waiting'))
"""
JOBS_BEHIND = "SELECT count(*) FROM job WHERE outcome = 'behind'"
NOTICES = """
    SELECT channel, state, coalesce(reason, ''), count(*)
    FROM notice
    GROUP BY channel, state, coalesce(reason, '')
    ORDER BY count(*) DESC, channel, state
"""
MEMBERS = "SELECT tier, count(*) FROM standing GROUP BY tier"
NOTICES_DUE = """
    SELECT count(*) FROM notice
    WHERE state = 'handed_over' OR (state IN ('created', 'leased') AND due_at <= now())
"""


@dataclass(frozen=True, slots=True)
class Notices:
    """How many notices of a channel are in a state, and for what reason."""

    channel: str
    state: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a service stands: records not handled, outbox rows not published, dead letters."""

    service: str
    behind: int
    outbox: int
    letters: int

    @property
    def idle(self) -> bool:
        return not self.behind and not self.outbox


class Watch:
    """Looks at Kafka and the databases of the services; made by `watch`."""

    def __init__(
        self, kafka: AIOKafkaConsumer, databases: Mapping[str, asyncpg.Connection]
    ) -> None:
        self._kafka = kafka
        self.databases = databases

    async def look(self) -> list[Standing]:
        """How each service stands now."""
        found = {name: await self._positions(name) for name in self.databases}
        places = {place for positions in found.values() for place in positions}
        ends = await self._kafka.end_offsets(list(places)) if places else {}
        standings = []
        for name, positions in found.items():
            outbox, letters = await self.databases[name].fetchrow(WAITING)
            behind = sum(ends[place] - offset for place, offset in positions.items())
            # A worker that has just been started knows of no partition yet.
            behind += 0 if any(place.topic == ORDERS for place in positions) else 1
            standings.append(Standing(name, behind, outbox, letters))
        return standings

    async def wait(self, tell: Callable[[Sequence[Standing]], None]) -> list[Standing]:
        """Until all are caught up; StackError when nothing moves for STALLED_S."""
        before, moved_at = 0, time.monotonic()
        while True:
            standings = await self.look()
            tell(standings)
            # Twice: what one service publishes, another may have to handle.
            if _idle(standings) and _idle(standings := await self.look()):
                return standings
            left = sum(standing.behind + standing.outbox for standing in standings)
            if left != before:
                before, moved_at = left, time.monotonic()
            elif time.monotonic() - moved_at > STALLED_S:
                raise StackError(_stalled(standings))
            await asyncio.sleep(POLL_S)

    async def wait_for_jobs(self) -> None:
        """Until the jobs that wait for the log have run, once all is handled; StackError when one
        does not for STALLED_S."""
        began = time.monotonic()
        while late := [name for name in self.databases if await self._jobs_behind(name)]:
            if time.monotonic() - began > STALLED_S:
                logs = ", ".join(f"`python -m stack logs {name}-worker`" for name in late)
                raise StackError(f"Jobs have not run for {STALLED_S:.0f} s; look at {logs}")
            await asyncio.sleep(POLL_S)

    async def _jobs_behind(self, service: str) -> int:
        return int(await self.databases[service].fetchval(JOBS_BEHIND))

    async def notices(self) -> list[Notices]:
        """What became of all notices, the most frequent first."""
        return [Notices(*row) for row in await self.databases["notify"].fetch(NOTICES)]

    async def members(self) -> dict[str, int]:
        """How many accounts are in each tier, as the service has it; empty: in none."""
        return {row[0]: row[1] for row in await self.databases["loyalty"].fetch(MEMBERS)}

    async def notices_due(self) -> int:
        """Notices that a sender should be at, now."""
        return int(await self.databases["notify"].fetchval(NOTICES_DUE))

    async def _positions(self, service: str) -> dict[TopicPartition, int]:
        rows = await self.databases[service].fetch(POSITIONS, service)
        return {TopicPartition(topic, partition): offset for topic, partition, offset in rows}


@contextlib.asynccontextmanager
async def watch(env: Mapping[str, str], services: Sequence[str] = SERVICES) -> AsyncIterator[Watch]:
    """`env` is the stack's file of that name, as `door.read_env` reads it."""
    kafka = AIOKafkaConsumer(bootstrap_servers=env["REGULARS_KAFKA_SERVERS"])
    async with contextlib.AsyncExitStack() as stack:
        try:
            await kafka.start()
            stack.push_async_callback(kafka.stop)
            databases = {name: await _connect(stack, env, name) for name in services}
        except (KafkaError, OSError, asyncpg.PostgresError) as error:
            raise StackError(f"The stack does not answer: {type(error).__name__}") from error
        yield Watch(kafka, databases)


async def _connect(
    stack: contextlib.AsyncExitStack, env: Mapping[str, str], service: str
) -> asyncpg.Connection:
    url = env[f"{service.upper()}_DATABASE_URL"]
    conn = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "on"})
    stack.callback(conn.terminate)
    return conn


def _idle(standings: Sequence[Standing]) -> bool:
    return all(standing.idle for standing in standings)


def _stalled(standings: Sequence[Standing]) -> str:
    late = [standing for standing in standings if not standing.idle]
    lines = [
        f"{each.service}: {each.behind} records behind, {each.outbox} outbox rows;"
        f" look at `python -m stack logs {each.service}-worker`"
        for each in late
    ]
    return "\n".join((f"Nothing has moved for {STALLED_S:.0f} s.", *lines))
