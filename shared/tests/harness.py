"""Real workers of the counting service, the real log, and the checker that compares them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.batch import decode
from shared.events import codec
from shared.events.envelope import Event
from shared.events.registry import COMPACTED
from shared.message import Message
from shared.topics import KafkaSettings, apply, topics

ROOT = Path(__file__).parents[2]
COUNTING = "shared.tests.counting"
PARTITIONS = 4
SESSION_MS = 6_000  # the least that a broker grants


async def eventually(
    check: Callable[[], Awaitable[bool]], *, timeout_s: float = 60, why: str = ""
) -> None:
    """Wait for a condition; a machine may be slow, so the limit is only for what hangs."""
    until = time.monotonic() + timeout_s
    while not await check():
        assert time.monotonic() < until, f"not within {timeout_s} s: {why or check}"
        await asyncio.sleep(0.1)


class KafkaLog:
    """The topics of one test: empty at its start."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self._begins: dict[TopicPartition, int] = {}

    async def clear(self) -> None:
        """Make the topics, and cut away what earlier tests left in them.

        A broker that is killed within the next minute brings back what was cut: it notes
        where a log begins once a minute. So `read` knows the beginning by itself.
        """
        wanted = topics(partitions=PARTITIONS)
        await apply(KafkaSettings(kafka_servers=self.servers), wanted)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await consumer.start()
        await admin.start()
        places = [TopicPartition(t.name, p) for t in wanted for p in range(PARTITIONS)]
        ends = await consumer.end_offsets(places)
        starts = await consumer.beginning_offsets(places)
        cut = [tp for tp in places if starts[tp] < ends[tp] and tp.topic not in COMPACTED]
        stale = {tp: RecordsToDelete(ends[tp]) for tp in cut}  # no broker cuts compacted topics
        if stale:
            await admin.delete_records(stale)
        self._begins = ends
        await consumer.stop()
        await admin.close()

    async def recreate(self, name: str) -> None:
        """Delete a topic and make it anew, as somebody in a hurry would."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        await admin.delete_topics([name])

        async def gone() -> bool:
            return name not in await admin.list_topics()

        await eventually(gone)
        await admin.close()
        self._begins = {tp: at for tp, at in self._begins.items() if tp.topic != name}
        wanted = topics(partitions=PARTITIONS)
        await apply(KafkaSettings(kafka_servers=self.servers), wanted)

    async def publish(self, events: Iterable[Event], *, partition: int | None = None) -> None:
        """As a platform's producer would: murmur2, acks=all."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.servers,
            acks="all",
            enable_idempotence=True,
            max_request_size=4 * 1024 * 1024,
        ) as kafka:
            sent = []
            for event in events:
                value, headers = codec.encode(event)
                key = event.key.encode()
                sent.append(
                    await kafka.send(
                        event.topic, value, key=key, headers=headers, partition=partition
                    )
                )
            await asyncio.gather(*sent)

    async def transact(self, events: Iterable[Event], *, commit: bool) -> None:
        """Publish in one transaction, as a platform with exactly-once sinks does."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.servers, transactional_id="a-platform"
        ) as kafka:
            await kafka.begin_transaction()
            for event in events:
                value, headers = codec.encode(event)
                key = event.key.encode()
                await kafka.send_and_wait(event.topic, value, key=key, headers=headers)
            await (kafka.commit_transaction() if commit else kafka.abort_transaction())

    async def send_raw(self, topic: str, **record: object) -> None:
        """Anything at all."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.servers, max_request_size=4 * 1024 * 1024
        ) as kafka:
            await kafka.send_and_wait(topic, **record)

    async def read(self, *names: str) -> list[Message]:
        """Everything in these topics, in the order of each partition, as the broker has it."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, max_partition_fetch_bytes=4 * 1024 * 1024
        )
        await consumer.start()
        places = [TopicPartition(name, p) for name in names for p in range(PARTITIONS)]
        ends = await consumer.end_offsets(places)
        starts = await consumer.beginning_offsets(places)
        starts = {tp: max(start, self._begins.get(tp, 0)) for tp, start in starts.items()}
        consumer.assign(places)
        for tp in places:
            consumer.seek(tp, starts[tp])
        messages: list[Message] = []
        behind = {tp for tp in places if starts[tp] < ends[tp]}
        while behind:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                messages += map(Message.of, records)
            behind = {tp for tp in behind if await consumer.position(tp) < ends[tp]}
        await consumer.stop()
        return messages


class Worker:
    """One process of a service, by default the counting service's `worker`."""

    def __init__(
        self,
        settings,
        folder: Path,
        name: str = "worker",
        role: str = "worker",
        *,
        module: str = COUNTING,
        **env: str,
    ) -> None:
        variables = {
            "REGULARS_DATABASE_URL": str(settings.database_url),
            "REGULARS_KAFKA_SERVERS": settings.kafka_servers,
            "REGULARS_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_MS),
            "REGULARS_ERASURE_SECRET_FILE": str(settings.erasure_secret_file),
            "REGULARS_BATCH_EVENTS_MAX": "100",
            "REGULARS_HTTP_PORT": "0",
            "REGULARS_OPS_PORT": "0",
        }
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, role],
                cwd=ROOT,
                env={**os.environ, **variables, **env},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        return self.process.wait(timeout=40)

    async def exit_code(self, timeout_s: float = 60) -> int:
        """Wait until it ends by itself."""
        return await asyncio.to_thread(self.process.wait, timeout_s)

    async def joined(self) -> None:
        """Wait until it has its partitions."""

        async def settled() -> bool:
            return "partitions settled" in self.said()

        await eventually(settled, why="the worker joins its group")

    def said(self) -> str:
        return self.log.read_text()


def expected(messages: Sequence[Message], buried: Collection[str] = ()) -> dict[str, list[str]]:
    """What the log says each customer's trail must be: every event once, in its order, but for
    the ids of those that cannot be handled."""
    seen: set[tuple[str, str]] = set()
    trails: dict[str, list[str]] = defaultdict(list)
    for _, event in decode(messages).pairs:
        if (event.source, event.id) not in seen and event.id not in buried:
            seen.add((event.source, event.id))
            trails[event.key].append(event.id)
    return dict(trails)


async def check(
    door, log: KafkaLog, *, timeout_s: float = 90, buried: Collection[str] = ()
) -> None:
    """Nothing lost, one effect for each event, order by customer, outbox drained and published."""
    wanted = expected(await log.read("shop.orders.v1"), buried)
    total = sum(map(len, wanted.values()))

    async def caught_up() -> bool:
        [row] = await door.query("SELECT coalesce(sum(events), 0) AS n FROM tally")
        return row.n >= total

    await eventually(caught_up, timeout_s=timeout_s, why="the tally reaches the log")
    rows = await door.query("SELECT customer_id, trail FROM tally")
    trails = {row.customer_id: row.trail.split() for row in rows}
    for customer_id in wanted | trails:
        found, logged = trails.get(customer_id, []), wanted.get(customer_id, [])
        assert found == logged, f"{customer_id}: {found} handled, {logged} in the log"

    async def drained() -> bool:
        return not await door.query("SELECT 1 FROM outbox LIMIT 1")

    await eventually(drained, timeout_s=timeout_s, why="the outbox is drained")
    noticed = expected(await log.read("crm.notices.v1"))
    wanted_notices = {
        event.data.notice_id for _, event in decode(await log.read("crm.notices.v1")).pairs
    }
    assert wanted_notices == {id_ for trail in wanted.values() for id_ in trail}
    assert sum(map(len, noticed.values())) == total, "a consequence has one id, however often sent"
