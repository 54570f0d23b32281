"""python -m bench.expiry: a night on which many lots expire, while earning goes on.

One worker with all its jobs finds the lots due when it starts: members with four lots each,
poured in by COPY (`ballast.py`). Meanwhile their orders arrive at a steady rate. The time is
the job's own, from its first lot to its last; then the books must balance.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from bench import measure, server
from bench.ballast import POINTS, Ballast
from bench.latency import offer
from services.loyalty.__main__ import SERVICE
from services.loyalty.books.ledger import AccountKind
from services.loyalty.store import books
from shared import db
from shared.testing import settings_for
from stack.databases import ServiceDatabase
from stack.infra import Infra

LOTS_EACH = 4
MIDNIGHT = datetime(2026, 6, 1, tzinfo=UTC)
BEGAN = """
    SELECT started_at FROM job
    WHERE name = 'expire_points' AND EXISTS (SELECT FROM lot WHERE expired > 0)
"""
LEFT = "SELECT EXISTS (SELECT FROM lot WHERE remaining > 0 AND expires_at <= $1)"
SINCE = "SELECT extract(epoch FROM clock_timestamp() - $1::timestamptz)::float8"
HANDLED = "SELECT count(*) FROM order_state"
OUTBOX = "SELECT EXISTS (SELECT FROM outbox)"


async def earning(own: Infra, per_s: int, done: asyncio.Event) -> int:
    """Orders at a rate until `done`; how many."""
    offered = 0
    while not done.is_set():
        await offer(own, offered, per_s, per_s)
        offered += per_s
    return offered


async def night(own: Infra, made: ServiceDatabase, per_s: int) -> tuple[float, int, int]:
    """The job's seconds; the orders that were offered and handled meanwhile."""
    done = asyncio.Event()
    env = measure.worker_env(own, made.url)
    offering = asyncio.create_task(earning(own, per_s, done))
    try:
        async with measure.connected(made.url) as conn:
            with measure.process("services.loyalty", "worker", log="expiry", **env) as child:
                began = None
                while began is None or await conn.fetchval(LEFT, MIDNIGHT):
                    if child.poll() is not None:
                        raise RuntimeError(f"the worker ended; its log is in {measure.FOLDER}")
                    began = began or await conn.fetchval(BEGAN)
                    await asyncio.sleep(0.5)
                seconds = await conn.fetchval(SINCE, began)
                handled = await conn.fetchval(HANDLED)
                done.set()
                offered = await offering
                while await conn.fetchval(OUTBOX):  # noqa: ASYNC110  it is a table
                    await asyncio.sleep(1)
    finally:
        done.set()
    return seconds, offered, handled


async def balanced(made: ServiceDatabase, lots: int) -> bool:
    """Whether the books balance, and exactly these lots have expired."""
    pool = await db.hot_pool(settings_for(SERVICE, made, measure.FOLDER))
    sums = await books.sum_all(pool)
    await pool.close()
    assert sums, "nobody else sums"
    expired = sum(f.points for f in sums.flows if f.credit == AccountKind.EXPIRED)
    return not sums.accounts.count and expired == lots * POINTS


async def run(lots: int, per_s: int) -> None:
    """Pour, expire, check."""
    ballast = Ballast(lots // LOTS_EACH, LOTS_EACH, MIDNIGHT)
    with measure.infra() as own:
        await measure.make_topics(own.kafka_servers)
        made = await measure.database(own, SERVICE, "bench_expiry")
        async with measure.connected(made.owner_url) as conn:
            await ballast.pour(conn)
        seconds, offered, handled = await night(own, made, per_s)
        right = await balanced(made, ballast.orders)
    rate = ballast.orders / seconds
    measure.report(
        "expiry",
        [
            ("lots, members", f"{ballast.orders:,}, {ballast.members:,}"),
            ("booked as expired", f"in {seconds:.1f} s: {rate:,.0f} lots/s"),
            ("1,000,000 lots at this rate", f"{1_000_000 / rate:.0f} s (aim below 120)"),
            ("orders meanwhile, offered, handled", f"{offered:,} ({per_s}/s), {handled:,}"),
            ("the books", "balance" if right else "DO NOT BALANCE"),
        ],
        {
            "lots": ballast.orders,
            "seconds": round(seconds, 1),
            "lots_per_s": round(rate),
            "orders_offered": offered,
            "orders_handled": handled,
            "balanced": right,
            "load": server.machine_load(),
        },
    )


def main(
    lots: Annotated[int, typer.Option(help="Due at one midnight.")] = 200_000,
    per_s: Annotated[int, typer.Option(help="Orders that arrive meanwhile.")] = 50,
) -> None:
    """Measure and report."""
    asyncio.run(run(lots, per_s))


if __name__ == "__main__":
    typer.run(main)
