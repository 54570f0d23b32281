"""python -m bench.events: how fast events become effects, in one worker process.

The reference handler (`bench/reference.py`) on the whole backbone: fence, inbox, outbox,
relay, metrics, tracing of one in a hundred; against the idiomatic stack with the same
effects (`baselines/idiomatic.py`), and against a bare loop that promises nothing
(`baselines/floor.py`). Orders of three lines, 2,000 customers, 12 partitions. A run ends
when the last effect is committed and the outbox is empty.
"""

import asyncio
from typing import Annotated

import typer

from bench import measure
from bench.measure import Rate
from bench.reference import SERVICE
from stack.databases import create_service_database
from stack.infra import Infra

CUSTOMERS = 2_000
POSTINGS = "SELECT count(*) FROM posting"


async def ours(own: Infra, total: int, round_: int) -> Rate:
    """The worker."""
    made = await measure.database(own, SERVICE, f"bench_ours_{round_}")
    env = measure.worker_env(own, made.url, REGULARS_CONSUMER=f"ours{round_}")
    with measure.process("bench.worker", log="ours", **env) as child:
        return await measure.watch(
            child,
            made.url,
            POSTINGS,
            total,
            drained="SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT 1) x",
        )


async def floor(own: Infra, total: int, round_: int) -> Rate:
    """The bare loop."""
    made = await measure.database(own, SERVICE, f"bench_floor_{round_}")
    env = {"DATABASE_URL": made.url, "KAFKA_SERVERS": own.kafka_servers}
    with measure.process("bench.baselines.floor", log="floor", **env) as child:
        return await measure.watch(child, made.url, POSTINGS, total)


async def idiomatic(own: Infra, total: int) -> Rate:
    """The usual way; it gets a part of the events, for it would take minutes."""
    name = "bench_idiomatic"
    made = await create_service_database(own.postgres, SERVICE.name, name=name)
    env = {"DATABASE_URL": made.owner_url, "KAFKA_SERVERS": own.kafka_servers}
    async with measure.connected(made.owner_url) as conn:
        await conn.execute(
            "CREATE TABLE posting (id text PRIMARY KEY, customer_id text NOT NULL,"
            " order_id text NOT NULL, points bigint NOT NULL)"
        )
    with measure.process("bench.baselines.idiomatic", log="idiomatic", **env) as child:
        return await measure.watch(child, made.owner_url, POSTINGS, total)


async def run(events: int, slow_events: int, rounds: int) -> None:
    """Measure in turn, so that all see the same machine; the best round of each counts."""
    with measure.infra() as own:
        await measure.make_topics(own.kafka_servers)
        await measure.publish(
            own.kafka_servers, [measure.paid(n, CUSTOMERS) for n in range(events)]
        )
        us, bare = [], []
        for round_ in range(rounds):
            us.append(await ours(own, events, round_))
            bare.append(await floor(own, events, round_))
        usual = await idiomatic(own, slow_events)
    best, best_floor = (max(rates, key=lambda r: r.per_s) for rates in (us, bare))
    shares = sorted(u.per_s / b.per_s for u, b in zip(us, bare, strict=True))
    share = shares[len(shares) // 2]
    times = sorted(u.per_s for u in us)[len(us) // 2] / usual.per_s
    measure.report(
        "events",
        [
            ("our worker", f"{best.per_s:,.0f} events/s (best of {rounds})"),
            ("bare loop, no promises (floor)", f"{best_floor.per_s:,.0f} events/s"),
            ("FastStream + ORM, same effects", f"{usual.per_s:,.0f} events/s"),
            ("times the idiomatic", f"{times:.1f} (at least 20, aim 40; median round)"),
            ("share of the floor", f"{share:.2f} (at least 0.5; median round)"),
        ],
        {
            "events": events,
            "per_s": round(best.per_s),
            "floor_per_s": round(best_floor.per_s),
            "idiomatic_per_s": round(usual.per_s),
            "times_idiomatic": round(times, 1),
            "share_of_floor": round(share, 3),
        },
    )


def main(
    events: Annotated[int, typer.Option(help="For us and the floor.")] = 100_000,
    slow_events: Annotated[int, typer.Option(help="For the idiomatic stack.")] = 4_000,
    rounds: int = 3,
) -> None:
    """Measure and report."""
    asyncio.run(run(events, slow_events, rounds))


if __name__ == "__main__":
    typer.run(main)
