"""python -m bench.loyalty: order events through loyalty's own handler, one worker process.

Each order of three lines is paid and then arrives: two events, which make an award and a
journal, then another and a lot. Against the same business as most would write it
(`baselines/idiomatic_loyalty.py`), which does less and gets a part of the events. A run ends
when the last effect is committed and the outbox is empty.
"""

import asyncio
from typing import Annotated

import typer

from bench import measure, server
from bench.measure import Rate
from services.loyalty.__main__ import SERVICE
from shared.events.envelope import Event
from stack.databases import create_service_database
from stack.infra import Infra

CUSTOMERS = 2_000
READ = """
    SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_offset
    WHERE topic = 'shop.orders.v1'
"""
DRAINED = "SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT 1) AS x"
HANDLED = "SELECT count(*) FROM handled_event"


def events(orders: int) -> list[Event]:
    """All are paid, a thousand at a time, and arrive when the next thousand is paid."""
    found: list[Event] = []
    for first in range(0, orders, 1_000):
        batch = range(first, min(orders, first + 1_000))
        who = {n: f"c{n * 7919 % CUSTOMERS}" for n in batch}
        found += [measure.order(n, who[n]) for n in batch]
        found += [measure.order(n, who[n], "order.completed", revision=3) for n in batch]
    return found


async def ours(own: Infra, total: int, round_: int) -> Rate:
    """The worker, with its jobs, its relay and its chain."""
    made = await measure.database(own, SERVICE, f"bench_loyalty_{round_}")
    env = measure.worker_env(own, made.url, REGULARS_CONSUMER=f"loyalty{round_}")
    with measure.process("services.loyalty", "worker", log="loyalty", **env) as child:
        return await measure.watch(child, made.url, READ, total, drained=DRAINED)


async def idiomatic(own: Infra, total: int) -> Rate:
    """The usual way."""
    made = await create_service_database(own.postgres, SERVICE.name, name="bench_usual")
    env = {"DATABASE_URL": made.owner_url, "KAFKA_SERVERS": own.kafka_servers}
    async with measure.connected(made.owner_url) as conn:
        await conn.execute("CREATE TABLE handled_event (event_id text PRIMARY KEY)")
    with measure.process("bench.baselines.idiomatic_loyalty", log="usual", **env) as child:
        return await measure.watch(child, made.owner_url, HANDLED, total)


async def run(orders: int, slow_events: int, rounds: int) -> None:
    """In turn, so that all see the same machine; the ratio is that of the median round."""
    with measure.infra() as own:
        await measure.make_topics(own.kafka_servers)
        all_events = events(orders)
        await measure.publish(own.kafka_servers, all_events)
        us = [await ours(own, len(all_events), round_) for round_ in range(rounds)]
        usual = await idiomatic(own, slow_events)
    best = max(us, key=lambda rate: rate.per_s)
    times = sorted(rate.per_s for rate in us)[len(us) // 2] / usual.per_s
    measure.report(
        "loyalty",
        [
            ("our worker", f"{best.per_s:,.0f} order events/s (best of {rounds}; aim 6,000)"),
            ("FastStream + ORM, the same business", f"{usual.per_s:,.0f} order events/s"),
            ("times the idiomatic", f"{times:.1f} (at least 20; median round)"),
        ],
        {
            "events": len(all_events),
            "per_s": round(best.per_s),
            "idiomatic_per_s": round(usual.per_s),
            "times_idiomatic": round(times, 1),
            "load": server.machine_load(),
        },
    )


def main(
    orders: Annotated[int, typer.Option(help="For us; two events each.")] = 20_000,
    slow_events: Annotated[int, typer.Option(help="For the idiomatic one.")] = 2_000,
    rounds: int = 3,
) -> None:
    """Measure and report."""
    asyncio.run(run(orders, slow_events, rounds))


if __name__ == "__main__":
    typer.run(main)
