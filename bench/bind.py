"""python -m bench.bind: marketplaces' lookup and bind, one API process, against bare routes.

32 clients at once, each looking an external id up, binding it and looking it up again: as fast
as it is answered, in turn with the bare routes, and last at half the rate that we reached, for
the time that a marketplace waits. Ours authenticates a key, limits its rate, checks the id, audits
both, and knows merged persons. The bare routes are
FastAPI, one statement for the lookup, two in a transaction for the bind.
"""

import asyncio
import json
import subprocess
import sys
from typing import Annotated, Any

import httpx
import typer

from bench import measure, server
from services.loyalty.__main__ import SERVICE
from shared.keys import new_key
from stack.infra import Infra
from stack.ports import scratch

CLIENTS = 32
P99_MAX_MS = 100
PROBE = "/v1/accounts?type=ouid&issuer=shop&value=nobody"


def load(port: int, seconds: float, token: str, run: str, per_s: float = 0) -> dict[str, Any]:
    """One round."""
    command = [sys.executable, "-m", "bench.bind_load", str(port), str(seconds), str(CLIENTS)]
    done = subprocess.run(
        [*command, token, run, str(per_s)],
        cwd=measure.ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


async def answers(port: int, token: str) -> None:
    """Wait until the server does."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        for _ in range(600):
            try:
                if (await client.get(f"http://127.0.0.1:{port}{PROBE}")).status_code == 404:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise TimeoutError(f"port {port} does not answer; logs are in {measure.FOLDER}")


async def prepare(own: Infra) -> tuple[dict[str, str], str]:
    """A migrated database; the API's environment and a key."""
    made = await measure.database(own, SERVICE, "bench_bind")
    token, line = new_key(scopes=["loyalty:read", "loyalty:write"], rate=1_000_000)
    env = measure.worker_env(own, made.url)
    keys = measure.FOLDER / "keys.json"
    keys.write_text(json.dumps({"keys": [line.model_dump(mode="json")]}))
    return env | {"REGULARS_KEYS_FILE": str(keys)}, token


async def run(rounds: int, seconds: float) -> None:
    """Ours and the bare ones in turn."""
    ports = scratch("ours", "bare")
    with measure.infra() as own:
        env, token = await prepare(own)
        bare_env = {"DATABASE_URL": env["REGULARS_DATABASE_URL"], "PORT": str(ports["bare"])}
        api_env = env | {"REGULARS_HTTP_PORT": str(ports["ours"])}
        with (
            measure.process("services.loyalty", "api", log="api", **api_env),
            measure.process("bench.baselines.bare_bind", log="bare", **bare_env),
        ):
            for name, port in ports.items():
                await answers(port, token)
                load(port, 1, token, f"warm-{name}")
            pairs = [
                tuple(load(port, seconds, token, f"{n}-{name}") for name, port in ports.items())
                for n in range(rounds)
            ]
            ours, bare = sorted(pairs, key=lambda pair: pair[0]["per_s"])[len(pairs) // 2]
            half = ours["pairs"] / seconds / 2
            calm = load(ports["ours"], 2 * seconds, token, "calm", half)
    report(ours, bare, calm)


def report(ours: dict[str, Any], bare: dict[str, Any], calm: dict[str, Any]) -> None:
    """The median round by our rate, and the calm one."""

    def told(figures: dict[str, Any], name: str) -> str:
        return f"p50 {figures[f'{name}_p50_ms']:.0f} ms, p99 {figures[f'{name}_p99_ms']:.0f} ms"

    measure.report(
        "bind",
        [
            ("GET /v1/accounts?type&issuer&value", told(ours, "look_up")),
            ("POST /v1/accounts/bind", told(ours, "bind")),
            ("lookup and bind", told(ours, "both")),
            ("the same, bare routes", told(bare, "both")),
            ("lookup and bind at half that rate", f"{told(calm, 'both')} (below {P99_MAX_MS})"),
            ("requests", f"{ours['per_s']:,.0f}/s, bare {bare['per_s']:,.0f}/s"),
        ],
        {
            "per_s": round(ours["per_s"]),
            "look_up_p99_ms": round(ours["look_up_p99_ms"], 1),
            "bind_p99_ms": round(ours["bind_p99_ms"], 1),
            "both_p99_ms": round(ours["both_p99_ms"], 1),
            "half_rate_both_p99_ms": round(calm["both_p99_ms"], 1),
            "bare_both_p99_ms": round(bare["both_p99_ms"], 1),
            "bare_per_s": round(bare["per_s"]),
            "load": server.machine_load(),
        },
    )


def main(rounds: Annotated[int, typer.Option()] = 5, seconds: float = 4) -> None:
    """Measure and report."""
    asyncio.run(run(rounds, seconds))


if __name__ == "__main__":
    typer.run(main)
