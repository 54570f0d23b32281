"""python -m bench.workers: two workers against one, on a topic of 12 partitions.

PostgreSQL and Kafka share the two cores with the workers, so the gain says what is left for
the second. Memory is each worker's resident set when it has done its work.
"""

import asyncio
import contextlib
from typing import Annotated

import typer

from bench import measure
from bench.events import CUSTOMERS, POSTINGS
from bench.reference import SERVICE
from stack.infra import Infra


async def rate(own: Infra, workers: int, total: int) -> tuple[float, list[float]]:
    """Events/s of so many workers on a database of their own, and their memory in MB."""
    made = await measure.database(own, SERVICE, f"bench_workers_{workers}")
    env = measure.worker_env(own, made.url, REGULARS_CONSUMER=f"workers{workers}")
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(measure.process("bench.worker", log=f"worker{n}", **env))
            for n in range(workers)
        ]
        seen = await measure.watch(children[0], made.url, POSTINGS, total)
        memory = [measure.memory_mb(child) for child in children]
    return seen.per_s, memory


async def run(events: int) -> None:
    """One, then two."""
    with measure.infra() as own:
        await measure.make_topics(own.kafka_servers)
        await measure.publish(
            own.kafka_servers, [measure.paid(n, CUSTOMERS) for n in range(events)]
        )
        one, memory_one = await rate(own, 1, events)
        two, memory_two = await rate(own, 2, events)
    memory = [round(mb) for mb in memory_one + memory_two]
    measure.report(
        "workers",
        [
            ("one worker", f"{one:,.0f} events/s"),
            ("two workers", f"{two:,.0f} events/s"),
            ("gain", f"{two / one:.2f}"),
            ("memory of each", f"{', '.join(map(str, memory))} MB (aim: below 150)"),
        ],
        {
            "one_per_s": round(one),
            "two_per_s": round(two),
            "gain": round(two / one, 2),
            "memory_mb": max(memory),
        },
    )


def main(events: Annotated[int, typer.Option()] = 100_000) -> None:
    """Measure and report."""
    asyncio.run(run(events))


if __name__ == "__main__":
    typer.run(main)
