"""python -m bench.quotes: `POST /v1/quotes` of ten lines under 20 rules, beside a bare route.

Ours authenticates, notes the read, reads the catalogue, what the rules ask of the customer,
and what counts against caps, and gives every rule's verdict for every line. The bare one
(`baselines/bare_quote.py`) takes the same cart and adds it up. In turn, several rounds, by
one client, so that a request's time is its own and not a queue's.
"""

import asyncio
import itertools
import json
import subprocess
import sys
from typing import Annotated, Any

import httpx
import typer

from bench import measure
from services.loyalty.__main__ import SERVICE
from shared.events import codec
from shared.events.catalog import ProductPublished
from shared.keys import new_key
from shared.testing import Door, open_door, settings_for
from stack.infra import Infra
from stack.ports import scratch

CUSTOMERS = 200
LINES = 10
RULES = 20
LONG_AGO = "2020-01-01T00:00:00Z"
AIM_MS = 10


def rules() -> list[dict[str, Any]]:
    """Twenty of all kinds: whatever a shop might have in force at once."""
    number = itertools.count()
    by_category = [
        {"kind": "bonus", "points": 5, "lines": {"categories": [f"c{next(number)}"]}}
        for _ in range(RULES // 2)
    ]
    segments = [
        {"kind": "multiplier", "percent": 110 + n, "when": {"segments": [f"s{n}"]}, "group": "s"}
        for n in range(RULES // 4)
    ]
    capped = [
        {"kind": "bonus", "points": 1, "per": "piece", "caps": {"per_month": 50 + n}}
        for n in range(RULES // 4 - 1)
    ]
    return [{"points": 1}, *by_category, *segments, *capped]


def cart(customer: int) -> str:
    """As the load wants it: the path, and what is posted."""
    lines = [
        {"product_id": f"p{(customer + n) % 100}", "unit_price_minor": 1_250, "quantity": 1 + n % 3}
        for n in range(LINES)
    ]
    body = {"customer_id": f"c{customer}", "store": "default", "lines": lines}
    return f"/v1/quotes {json.dumps(body)}"


async def prepare(own: Infra) -> tuple[dict[str, str], str]:
    """Rules, products and orders through the public doors; the API's environment and a key."""
    made = await measure.database(own, SERVICE, "bench_quotes")
    async with open_door(SERVICE, settings_for(SERVICE, made, measure.FOLDER)) as door:
        await lay_down(door)
        products = [
            ProductPublished(product_id=f"p{n}", name="A thing", category=("Home", f"c{n % 12}"))
            for n in range(100)
        ]
        await door.give(
            *(
                codec.make(
                    "product.published", p, id=p.product_id, source="bench", time=measure.START
                )
                for p in products
            ),
            *(measure.paid(n, CUSTOMERS) for n in range(2 * CUSTOMERS)),
        )
    token, line = new_key(scopes=["loyalty:read"], rate=1_000_000)
    keys = measure.FOLDER / "keys.json"
    keys.write_text(json.dumps({"keys": [line.model_dump(mode="json")]}))
    return measure.worker_env(own, made.url, REGULARS_KEYS_FILE=str(keys)), token


async def lay_down(door: Door) -> None:
    """The rules, over HTTP."""
    async with door.client() as http:
        for number, body in enumerate(rules()):
            answer = await http.put(
                f"/v1/rules/r{number:02}",
                json={"starts_at": LONG_AGO} | body,
                headers={"Idempotency-Key": str(number)},
            )
            answer.raise_for_status()


def load(port: int, seconds: float, token: str) -> dict[str, Any]:
    """One round by one client."""
    command = [sys.executable, "-m", "bench.load", str(port), str(seconds), "1", token]
    carts = [cart(n) for n in range(CUSTOMERS)]
    done = subprocess.run(
        [*command, *carts], cwd=measure.ROOT, capture_output=True, check=True, text=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    assert not result["failures"], "every answer is 200"
    return result


async def answers(port: int, token: str) -> None:
    """Wait until the server does, and gives what the rules say."""
    path, body = cart(1).split(" ", 1)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        for _ in range(600):
            try:
                answer = await client.post(f"http://127.0.0.1:{port}{path}", json=json.loads(body))
                if answer.is_success:
                    assert answer.json()["points"] > 0
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise TimeoutError(f"port {port} does not answer; logs are in {measure.FOLDER}")


async def run(rounds: int, seconds: float) -> None:
    """Ours and the bare one in turn."""
    ports = scratch("ours", "bare")
    with measure.infra() as own:
        env, token = await prepare(own)
        bare_env = {"DATABASE_URL": env["REGULARS_DATABASE_URL"], "PORT": str(ports["bare"])}
        api_env = env | {"REGULARS_HTTP_PORT": str(ports["ours"])}
        with (
            measure.process("services.loyalty", "api", log="api", **api_env),
            measure.process("bench.baselines.bare_quote", log="bare", **bare_env),
        ):
            for port in ports.values():
                await answers(port, token)
                load(port, 1, token)
            pairs = [
                (load(ports["ours"], seconds, token), load(ports["bare"], seconds, token))
                for _ in range(rounds)
            ]
    ours, bare = sorted(pairs, key=lambda pair: pair[0]["p99_ms"])[len(pairs) // 2]
    measure.report(
        "quotes",
        [
            (f"POST /v1/quotes, {LINES} lines, {RULES} rules", shown(ours)),
            ("bare route", shown(bare)),
            ("aim", f"below {AIM_MS} ms; median round of {rounds}, by p99"),
        ],
        {
            "p50_ms": round(ours["p50_ms"], 2),
            "p99_ms": round(ours["p99_ms"], 2),
            "bare_p50_ms": round(bare["p50_ms"], 2),
            "bare_p99_ms": round(bare["p99_ms"], 2),
        },
    )


def shown(result: dict[str, Any]) -> str:
    """For people."""
    return f"p50 {result['p50_ms']:.1f} ms, p99 {result['p99_ms']:.1f} ms"


def main(rounds: Annotated[int, typer.Option()] = 5, seconds: float = 4) -> None:
    """Measure and report."""
    asyncio.run(run(rounds, seconds))


if __name__ == "__main__":
    typer.run(main)
