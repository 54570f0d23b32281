"""python -m bench.relay: how fast the outbox empties into Kafka.

Rows as the reference handler makes them, all shards, one relay in a process of its own; the
baseline is the usual relay, which publishes each row and awaits it, then deletes.
"""

import asyncio
import os
import time
from typing import Annotated

import asyncpg
import typer
from aiokafka import AIOKafkaProducer

from bench import measure
from bench.reference import SERVICE, earned, points_of
from shared import db, outbox
from shared.events.envelope import derived_id
from shared.settings import Settings

LEFT = "SELECT count(*) FROM outbox"
CUSTOMERS = 2_000


async def fill(settings: Settings, rows: int) -> None:
    """Through the public door: `outbox.enqueue`."""
    engine = db.connect(settings)
    for first in range(0, rows, 5_000):
        events = [measure.paid(n, CUSTOMERS) for n in range(first, min(rows, first + 5_000))]
        async with engine.begin() as conn:
            await conn.exec_driver_sql("SELECT 1")
            await outbox.enqueue(
                conn, [earned(e, derived_id(e, "posting"), points_of(e)) for e in events]
            )
    await engine.dispose()


async def emptied(url: str, rows: int) -> float:
    """Rows/s, from the first row that is gone to the last."""
    async with measure.connected(url) as conn:
        while (first := await conn.fetchval(LEFT)) == rows:  # noqa: ASYNC110  it is a table
            await asyncio.sleep(0.005)
        began = time.monotonic()
        while await conn.fetchval("SELECT EXISTS (SELECT 1 FROM outbox)"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return float(first) / (time.monotonic() - began)


async def usual(url: str, servers: str) -> None:
    """A page, publish and await each, delete: what most relays do."""
    conn = await asyncpg.connect(url)
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as kafka:
        while rows := await conn.fetch("SELECT * FROM outbox ORDER BY shard, seq LIMIT 500"):
            for row in rows:
                await kafka.send_and_wait(
                    row["aggregatetype"], row["payload"], key=row["aggregateid"].encode()
                )
            await conn.executemany(
                "DELETE FROM outbox WHERE shard = $1 AND seq = $2",
                [(row["shard"], row["seq"]) for row in rows],
            )


async def run(rows: int, usual_rows: int) -> None:
    """Fill and empty, twice."""
    with measure.infra() as own:
        await measure.make_topics(own.kafka_servers)
        made = await measure.database(own, SERVICE, "bench_relay")
        settings = Settings(service="loyalty", database_url=made.url)
        env = measure.worker_env(own, made.url)
        await fill(settings, rows)
        with measure.process("bench.worker", log="relay", **env):
            ours = await emptied(made.url, rows)
        await fill(settings, usual_rows)
        began = time.monotonic()
        await usual(made.url, own.kafka_servers)
        theirs = usual_rows / (time.monotonic() - began)
    measure.report(
        "relay",
        [
            ("our relay", f"{ours:,.0f} rows/s (aim 20,000)"),
            ("publish, await, delete", f"{theirs:,.0f} rows/s"),
            ("times the usual", f"{ours / theirs:.1f}"),
        ],
        {
            "rows": rows,
            "rows_per_s": round(ours),
            "usual_per_s": round(theirs),
            "times_usual": round(ours / theirs, 1),
            "cores": os.cpu_count(),
        },
    )


def main(
    rows: Annotated[int, typer.Option(help="For our relay.")] = 200_000, usual_rows: int = 5_000
) -> None:
    """Measure and report."""
    asyncio.run(run(rows, usual_rows))


if __name__ == "__main__":
    typer.run(main)
