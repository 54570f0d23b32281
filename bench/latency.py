"""python -m bench.latency: from a record's append to the commit of its effect.

A producer that keeps 1,000 events/s; the reference handler stamps each posting's commit by
its transaction's end as seen from outside: we poll nothing, but read PostgreSQL's own
commit timestamps afterwards. Then the same while a second worker joins and leaves.
"""

import asyncio
import time
from typing import Annotated

import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench import measure
from bench.reference import SERVICE
from shared.events import codec
from shared.partition import partition_of
from stack.infra import Infra

CUSTOMERS = 2_000
WARM = 2_000  # events not counted: processes start, caches fill
COMMITS = """
    SELECT i.id, extract(epoch FROM pg_xact_commit_timestamp(i.xmin)) * 1000 FROM inbox AS i
"""


async def offer(own: Infra, first: int, count: int, per_s: int) -> None:
    """Publish at a fixed rate, in steps of 10 ms."""
    async with AIOKafkaProducer(bootstrap_servers=own.kafka_servers, acks="all") as kafka:
        began, sent = time.monotonic(), []
        for n in range(count):
            event = measure.paid(first + n, CUSTOMERS)
            value, headers = codec.encode(event)
            key = event.key.encode()
            place = partition_of(key, measure.PARTITIONS)
            sent.append(
                await kafka.send(event.topic, value, key=key, headers=headers, partition=place)
            )
            ahead = began + n / per_s - time.monotonic()
            if ahead > 0.01:
                await asyncio.sleep(ahead)
        await asyncio.gather(*sent)


async def appended(own: Infra) -> dict[str, int]:
    """When the broker appended each event, in ms."""
    kafka = AIOKafkaConsumer(bootstrap_servers=own.kafka_servers, auto_offset_reset="earliest")
    await kafka.start()
    places = [TopicPartition("shop.orders.v1", p) for p in range(measure.PARTITIONS)]
    kafka.assign(places)
    ends = await kafka.end_offsets(places)
    stamps: dict[str, int] = {}
    while len(stamps) < sum(ends.values()):
        for records in (await kafka.getmany(timeout_ms=200)).values():
            stamps |= {dict(r.headers)["ce_id"].decode(): r.timestamp for r in records}
    await kafka.stop()
    return stamps


def quantiles(values: list[float]) -> tuple[float, float, float]:
    """p50, p99 and the maximum, in ms."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1]


async def run(seconds: int, per_s: int) -> None:
    """Two phases over one topic: alone, and with a guest."""
    count = seconds * per_s
    with measure.infra(track_commit_timestamp="on") as own:
        await measure.make_topics(own.kafka_servers)
        made = await measure.database(own, SERVICE, "bench_latency")
        env = measure.worker_env(own, made.url)
        with measure.process("bench.worker", log="latency", **env) as child:
            await offer(own, 0, WARM, per_s)
            await measure.watch(child, made.url, "SELECT count(*) FROM posting", WARM)
            await offer(own, WARM, count, per_s)
            guest_phase = asyncio.create_task(offer(own, WARM + count, count, per_s))
            await asyncio.sleep(seconds / 4)
            with measure.process("bench.worker", log="guest", **env):
                await asyncio.sleep(seconds / 2)
            await guest_phase
            total = WARM + 2 * count
            await measure.watch(child, made.url, "SELECT count(*) FROM posting", total)
        stamps = await appended(own)
        async with measure.connected(made.admin_url) as conn:
            commits = dict(await conn.fetch(COMMITS))
    waited = {id_: float(commits[id_]) - stamps[id_] for id_ in stamps}
    alone = quantiles([waited[f"e{n}"] for n in range(WARM, WARM + count)])
    joined = quantiles([waited[f"e{n}"] for n in range(WARM + count, WARM + 2 * count)])
    show(seconds, per_s, alone, joined)


def show(
    seconds: int,
    per_s: int,
    alone: tuple[float, float, float],
    joined: tuple[float, float, float],
) -> None:
    """The report."""
    form = "{:.0f} / {:.0f} / {:.0f} ms"
    measure.report(
        "latency",
        [
            ("rate", f"{per_s:,} events/s for {seconds} s"),
            ("event to effect, p50 / p99 / max", form.format(*alone)),
            ("while a second worker joins and leaves", form.format(*joined)),
            ("aim", "p99 below 150 ms"),
        ],
        {
            "per_s": per_s,
            "p50_ms": round(alone[0], 1),
            "p99_ms": round(alone[1], 1),
            "rebalance_p50_ms": round(joined[0], 1),
            "rebalance_p99_ms": round(joined[1], 1),
        },
    )


def main(
    seconds: Annotated[int, typer.Option(help="Length of each phase.")] = 20, per_s: int = 1_000
) -> None:
    """Measure and report."""
    asyncio.run(run(seconds, per_s))


if __name__ == "__main__":
    typer.run(main)
