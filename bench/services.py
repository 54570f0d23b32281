"""python -m bench.services: each service's real handler on the same orders, as information.

One worker each, in turn, on the same topic and machine as the others.
"""

import asyncio
from typing import Annotated

import typer

from bench import measure
from services.loyalty.__main__ import SERVICE as LOYALTY
from services.notify.__main__ import SERVICE as NOTIFY
from services.profile.__main__ import SERVICE as PROFILE
from services.recommend.__main__ import SERVICE as RECOMMEND

CUSTOMERS = 2_000
SERVICES = (PROFILE, LOYALTY, RECOMMEND, NOTIFY)
READ = """
    SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_offset
    WHERE topic = 'shop.orders.v1'
"""
DRAINED = "SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT 1) AS x"


async def run(events: int) -> None:
    """Each service over all events."""
    rates: dict[str, float] = {}
    memory: dict[str, float] = {}
    with measure.infra() as own:
        await measure.make_topics(own.kafka_servers)
        await measure.publish(
            own.kafka_servers, [measure.paid(n, CUSTOMERS) for n in range(events)]
        )
        for service in SERVICES:
            made = await measure.database(own, service, f"bench_{service.name}")
            env = measure.worker_env(own, made.url)
            with measure.process(
                f"services.{service.name}", "worker", log=service.name, **env
            ) as c:
                seen = await measure.watch(c, made.url, READ, events, drained=DRAINED)
                memory[service.name] = measure.memory_mb(c)
            rates[service.name] = seen.per_s
    measure.report(
        "services",
        [
            (name, f"{rate:,.0f} order events/s, {memory[name]:.0f} MB")
            for name, rate in rates.items()
        ],
        {f"{name}_per_s": round(rate) for name, rate in rates.items()}
        | {f"{name}_memory_mb": round(mb) for name, mb in memory.items()},
    )


def main(events: Annotated[int, typer.Option()] = 30_000) -> None:
    """Measure and report."""
    asyncio.run(run(events))


if __name__ == "__main__":
    typer.run(main)
