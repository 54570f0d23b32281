"""python -m bench.balance: `GET /v1/accounts/{id}`, and what thousands of lots cost.

The balance of one API process against a bare route with the same statement
(`baselines/bare_balance.py`), in turn; 16 connections, pools of 4. Then a member with 10,000
lots beside one with ten, in turn: the balance read, and reserving and confirming 10 points, by
one client, so that what counts is how long one request takes.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from bench import measure, server
from bench.ballast import Ballast
from bench.server import Figures
from services.loyalty.__main__ import SERVICE
from stack.infra import Infra
from stack.ports import scratch

MEMBERS = 2_000
CLIENTS = 16
FEW, MANY = 10, 10_000
EXPIRES_AT = datetime(2036, 1, 1, tzinfo=UTC)


async def prepare(own: Infra) -> str:
    """Members of ten lots, one of ten and one of 10,000; the database's address."""
    made = await measure.database(own, SERVICE, "bench_balance")
    async with measure.connected(made.owner_url) as conn:
        for prefix, members, lots in (("c", MEMBERS, FEW), ("few", 1, FEW), ("many", 1, MANY)):
            await Ballast(members, lots, EXPIRES_AT, prefix).pour(conn)
    return made.url


def reads(port: int, seconds: float, token: str) -> Figures:
    """Balances of all members."""
    paths = [f"/v1/accounts/c{n}" for n in range(MEMBERS)]
    return server.gets(port, seconds, CLIENTS, token, paths)


def lots(port: int, seconds: float, token: str) -> tuple[float, float]:
    """How many times as long the member of many lots takes: to read, and to redeem."""
    took = {
        who: (
            server.gets(port, seconds, 1, token, [f"/v1/accounts/{who}0"])["p50_ms"],
            _redeem(port, seconds, token, who),
        )
        for who in ("few", "many")
    }
    return took["many"][0] / took["few"][0], took["many"][1] / took["few"][1]


def _redeem(port: int, seconds: float, token: str, who: str) -> float:
    found = server.pairs(port, seconds, 1, token, f"{who}:1", points=1)
    assert not found["failures"], found["failures"]
    took_ms: float = found["reserve_p50_ms"] + found["confirm_p50_ms"]
    return took_ms


async def run(rounds: int, seconds: float) -> None:
    """Ours and the bare one, then few and many, in turn."""
    ports = scratch("ours", "bare")
    with measure.infra() as own:
        url = await prepare(own)
        env, token = server.api_env(own, url, "loyalty:read", "loyalty:write")
        api = env | {"REGULARS_HTTP_PORT": str(ports["ours"])}
        bare = {"DATABASE_URL": url, "PORT": str(ports["bare"])}
        with (
            measure.process("services.loyalty", "api", log="api", **api),
            measure.process("bench.baselines.bare_balance", log="bare", **bare),
        ):
            for port in ports.values():
                await server.answers(port, token, "/v1/accounts/c0")
                reads(port, 1, token)
            pairs = [
                (reads(ports["ours"], seconds, token), reads(ports["bare"], seconds, token))
                for _ in range(rounds)
            ]
            times = [lots(ports["ours"], seconds / 4, token) for _ in range(rounds)]
    show(pairs, times)


def show(pairs: list[tuple[Figures, Figures]], times: list[tuple[float, float]]) -> None:
    """The report."""
    middle = len(pairs) // 2
    share = sorted(ours["per_s"] / bare["per_s"] for ours, bare in pairs)[middle]
    read, redeemed = (sorted(values)[middle] for values in zip(*times, strict=True))
    ours, bare = max(pairs, key=lambda pair: pair[0]["per_s"])
    measure.report(
        "balance",
        [
            ("GET /v1/accounts/{id}", f"{ours['per_s']:,.0f}/s, p99 {ours['p99_ms']:.1f} ms"),
            ("bare fetchrow route", f"{bare['per_s']:,.0f}/s, p99 {bare['p99_ms']:.1f} ms"),
            ("share of the bare route", f"{share:.2f} (at least 0.70; median round)"),
            (f"{MANY:,} lots against {FEW}: read", f"{read:.2f} x (at most 2)"),
            (f"{MANY:,} lots against {FEW}: redeem", f"{redeemed:.2f} x (at most 2)"),
        ],
        {
            "per_s": round(ours["per_s"]),
            "bare_per_s": round(bare["per_s"]),
            "share_of_bare": round(share, 3),
            "times_many_lots_read": round(read, 2),
            "times_many_lots_redeem": round(redeemed, 2),
            "load": server.machine_load(),
        },
    )


def main(rounds: Annotated[int, typer.Option()] = 5, seconds: float = 4) -> None:
    """Measure and report."""
    asyncio.run(run(rounds, seconds))


if __name__ == "__main__":
    typer.run(main)
