"""python -m bench.checkout: what a checkout waits while a worker catches up.

One API process is asked for reservations and their confirmations at a low, steady rate: alone
first, then while a worker process handles a backlog of 100,000 orders of the same 50,000
members on the same database. A batch holds its members' locks until it commits.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from bench import measure, server
from bench.ballast import Ballast
from bench.server import Figures
from services.loyalty.__main__ import SERVICE
from stack.ports import scratch

MEMBERS = 50_000
CLIENTS = 32
EXPIRES_AT = datetime(2036, 1, 1, tzinfo=UTC)
HANDLED = "SELECT count(*) FROM order_state"


async def run(orders: int, per_s: float, seconds: float, batch: int) -> None:
    """Idle, then beside the worker."""
    ports = scratch("ours")
    with measure.infra() as own:
        await measure.make_topics(own.kafka_servers)
        made = await measure.database(own, SERVICE, "bench_checkout")
        async with measure.connected(made.owner_url) as conn:
            await Ballast(MEMBERS, 1, EXPIRES_AT, "c").pour(conn)
        backlog = [measure.paid(n, MEMBERS) for n in range(orders)]
        await measure.publish(own.kafka_servers, backlog)
        env, token = server.api_env(own, made.url, "loyalty:read", "loyalty:write")
        api = env | {"REGULARS_HTTP_PORT": str(ports["ours"])}

        def ask(length: float) -> Figures:
            who = f"c:{MEMBERS}"
            return server.pairs(ports["ours"], length, CLIENTS, token, who, per_s=per_s, points=1)

        with measure.process("services.loyalty", "api", log="api", **api):
            await server.answers(ports["ours"], token, "/v1/accounts/c0")
            ask(2)
            idle = ask(seconds)
            batches = {"REGULARS_BATCH_EVENTS_MAX": str(batch)}
            work = measure.process("services.loyalty", "worker", log="worker", **env, **batches)
            with work as worker:
                async with measure.connected(made.url) as conn:
                    while not await conn.fetchval(HANDLED):  # noqa: ASYNC110  it is a table
                        await asyncio.sleep(0.1)
                    busy = await asyncio.to_thread(ask, seconds)
                    handled = await conn.fetchval(HANDLED)
                assert worker.poll() is None, "the worker ran all the while"
    show(idle, busy, handled, orders)


def show(idle: Figures, busy: Figures, handled: int, orders: int) -> None:
    """The report."""
    times = busy["reserve_p99_ms"] / idle["reserve_p99_ms"]
    form = "{reserve_p50_ms:.1f} / {reserve_p99_ms:.1f} ms"
    measure.report(
        "checkout",
        [
            ("reserve, idle: p50 / p99", form.format_map(idle)),
            ("reserve, beside the worker: p50 / p99", form.format_map(busy)),
            ("times the idle p99", f"{times:.1f} (at most 3)"),
            ("orders handled by the end, of", f"{handled:,}, {orders:,}"),
            ("not answered", f"{sum(idle['failures'].values())}, {sum(busy['failures'].values())}"),
        ],
        {
            "idle_p99_ms": round(idle["reserve_p99_ms"], 1),
            "busy_p99_ms": round(busy["reserve_p99_ms"], 1),
            "times_idle": round(times, 2),
            "handled": handled,
            "load": server.machine_load(),
        },
    )


def main(
    orders: Annotated[int, typer.Option(help="The backlog.")] = 100_000,
    per_s: Annotated[float, typer.Option(help="Checkouts.")] = 20,
    seconds: float = 20,
    batch: Annotated[int, typer.Option(help="Events in a batch, at most.")] = 1_000,
) -> None:
    """Measure and report."""
    asyncio.run(run(orders, per_s, seconds, batch))


if __name__ == "__main__":
    typer.run(main)
