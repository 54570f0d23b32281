"""What the measurements share: a stack of their own, load, subprocesses, and the report."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.table import Table

from shared import migrate
from shared.events import codec
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot, Tender
from shared.partition import partition_of
from shared.service import Service
from shared.topics import KafkaSettings, apply, topics
from stack.databases import ServiceDatabase, create_service_database
from stack.infra import Infra, for_this_run

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".stack" / "bench"
PARTITIONS = 12
START = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def infra(**postgres: str) -> Iterator[Infra]:
    """Kafka and PostgreSQL of the measurement's own, erased at the end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    with for_this_run(FOLDER / "runs", postgres_settings=postgres) as own:
        yield own


async def database(own: Infra, service: Service, name: str) -> ServiceDatabase:
    """A fresh, migrated database."""
    made = await create_service_database(own.postgres, service.name, name=name)
    settings = service.settings(
        service=service.name, database_url=made.url, owner_database_url=made.owner_url
    )
    await migrate.migrate(settings, service.migrations, service.metadata)
    return made


async def make_topics(servers: str) -> None:
    """All topics, with the partitions that a small shop has."""
    await apply(KafkaSettings(kafka_servers=servers), topics(partitions=PARTITIONS))


def paid(number: int, customers: int) -> Event:
    """A paid order of three lines, for one of so many customers."""
    return order(number, f"c{number * 7919 % customers}")


def completed(number: int, customer_id: str) -> Event:
    """An order of 7,500.00 that has arrived: its points are active at once."""
    return order(number, customer_id, "order.completed", revision=3, unit_minor=125_000)


def order(
    number: int,
    customer_id: str,
    type_: str = "order.paid",
    *,
    revision: int = 2,
    unit_minor: int = 1_250,
) -> Event:
    """An order of three lines and six pieces: 75.00."""
    lines = tuple(
        Line(
            line_id=str(n),
            product_id=f"p{(number * 7 + n * 13) % 500}",
            sku=f"s{(number * 7 + n * 13) % 500}-m",
            name="A thing to buy",
            quantity=n,
            unit_price_minor=unit_minor,
            total_minor=unit_minor * n,
        )
        for n in (1, 2, 3)
    )
    snapshot = OrderSnapshot(
        customer_id=customer_id,
        order_id=f"o{number}",
        revision=revision,
        store="default",
        channel="web",
        currency="EUR",
        total_minor=6 * unit_minor,
        lines=lines,
        tenders=(Tender(kind="money", amount_minor=6 * unit_minor),),
        placed_at=START + timedelta(seconds=number),
    )
    time = START + timedelta(seconds=number + 30 * revision)
    id_ = f"e{number}" if revision == 2 else f"e{number}r{revision}"
    return codec.make(type_, snapshot, id=id_, source="shop/bench", time=time)


async def publish(servers: str, events: Sequence[Event]) -> None:
    """Publish as fast as Kafka takes them."""
    async with AIOKafkaProducer(
        bootstrap_servers=servers, linger_ms=5, max_batch_size=256 * 1024, compression_type="lz4"
    ) as kafka:
        sent = []
        for event in events:
            value, headers = codec.encode(event)
            key = event.key.encode()
            sent.append(
                await kafka.send(
                    event.topic,
                    value,
                    key=key,
                    headers=headers,
                    partition=partition_of(key, PARTITIONS),
                )
            )
        await asyncio.gather(*sent)


@contextmanager
def process(*module: str, log: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m module ...` with this environment; ended at the end."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{log}.log").open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env={**os.environ, **env},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def memory_mb(child: subprocess.Popen[bytes]) -> float:
    """Its resident set."""
    return float(psutil.Process(child.pid).memory_info().rss / 2**20)


def worker_env(own: Infra, url: str, **more: str) -> dict[str, str]:
    """What a worker or API process needs to know."""
    secret = FOLDER / "secret"
    FOLDER.mkdir(parents=True, exist_ok=True)
    secret.write_bytes(b"the benchmarks' own erasure secret, long enough")
    return {
        "REGULARS_DATABASE_URL": url,
        "REGULARS_KAFKA_SERVERS": own.kafka_servers,
        "REGULARS_ERASURE_SECRET_FILE": str(secret),
        "REGULARS_OPS_PORT": "0",
        "REGULARS_LOG_LEVEL": "WARNING",
        **more,
    }


@dataclass(frozen=True)
class Rate:
    """`events` in `seconds`, from the first effect seen to the last."""

    events: int
    seconds: float

    @property
    def per_s(self) -> float:
        return self.events / self.seconds


async def watch(
    child: subprocess.Popen[bytes], url: str, count: str, total: int, *, drained: str = ""
) -> Rate:
    """The rate at which `count` grows to `total`, and `drained` then falls to nothing.

    The first effects seen start the clock, so that a process's start is not counted.
    """
    conn = await asyncpg.connect(url)
    first, began = 0, 0.0
    while child.poll() is None:
        now: int = await conn.fetchval(count)
        if not first and now:
            first, began = now, time.monotonic()
        if now >= total and not (drained and await conn.fetchval(drained)):
            await conn.close()
            return Rate(total - first, time.monotonic() - began)
        await asyncio.sleep(0.005 if not first else 0.05)
    raise RuntimeError(f"the process ended; its log is in {FOLDER}")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for looking on."""
    conn = await asyncpg.connect(url)
    try:
        yield conn
    finally:
        await conn.close()


def report(title: str, rows: Sequence[tuple[str, str]], figures: dict[str, Any]) -> None:
    """The table for people; the JSON line for programs."""
    table = Table(title=title, show_header=False)
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)
    print(json.dumps({"bench": title, **figures}))
