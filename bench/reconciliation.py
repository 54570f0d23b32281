"""python -m bench.reconciliation: proof that the books balance, at size, over HTTP.

A million members with ten million postings, loaded by COPY (`bench/ledger_ballast.py`); then
`GET /v1/ledger/reconciliation` of one API process, which reads every posting, balance and
lot in one snapshot; and the preparation of a month's closing statement over the same books.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
import httpx
import typer

from bench import ledger_ballast, measure
from services.loyalty.__main__ import SERVICE
from shared.keys import new_key
from stack.databases import ServiceDatabase
from stack.infra import Infra
from stack.ports import scratch

LINES = 5
SIZES = """
    SELECT (SELECT count(*) FROM member), (SELECT count(*) FROM posting),
        pg_database_size(current_database()) / 1000000
"""
WAIT_S = 120
CLOCK = "2027-01-01T00:00:00Z"  # the month that is closed is over


async def fill(made: ServiceDatabase, members: int) -> tuple[int, int, int]:
    """The books; members, postings, and megabytes."""
    async with measure.connected(made.url) as conn:
        await ledger_ballast.load(conn, members, LINES)
    async with measure.connected(made.owner_url) as conn:
        await conn.execute("VACUUM ANALYZE", timeout=600)
        found: asyncpg.Record = await conn.fetchrow(SIZES)
    return found[0], found[1], found[2]


def environment(own: Infra, made: ServiceDatabase) -> tuple[dict[str, str], str]:
    """The API's environment, and a key."""
    token, line = new_key(scopes=["audit:read", "loyalty:admin"], rate=1_000)
    keys = measure.FOLDER / "keys.json"
    measure.FOLDER.mkdir(parents=True, exist_ok=True)
    keys.write_text(json.dumps({"keys": [line.model_dump(mode="json")]}))
    return measure.worker_env(own, made.url, REGULARS_KEYS_FILE=str(keys)), token


async def timed(
    client: httpx.AsyncClient, method: str, path: str, **more: Any
) -> tuple[Any, float]:
    """The answer, and its seconds."""
    began = time.perf_counter()
    answer = await client.request(method, path, timeout=WAIT_S, **more)
    assert answer.is_success, answer.text
    return answer.json(), time.perf_counter() - began


async def answers(client: httpx.AsyncClient) -> None:
    """Wait until the server does."""
    for _ in range(600):
        try:
            if (await client.get("/v1/closings")).is_success:
                return
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    raise TimeoutError(f"the API does not answer; its log is in {measure.FOLDER}")


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of each reconciliation and of a closing statement, and what the latter sums."""

    reconciliations: list[float]
    statement: float
    journals: int


async def ask(client: httpx.AsyncClient, rounds: int) -> Took:
    """Every answer is right, or it does not count."""
    await answers(client)
    took, liability = [], 0
    for _ in range(rounds):
        books, seconds = await timed(client, "GET", "/v1/ledger/reconciliation")
        assert books["balanced"], books
        took.append(seconds)
        liability = books["liability"]
    month = {"month": f"{measure.START:%Y-%m}"}
    key = {"Idempotency-Key": "bench"}
    draft, statement_s = await timed(client, "POST", "/v1/closings", headers=key, json=month)
    closing = draft["statement"]["total"]["points"]["closing"]
    assert closing == liability, "the month has all there is"
    return Took(took, statement_s, draft["journals"])


async def run(members: int, rounds: int) -> None:
    """Load, then measure."""
    port = scratch("api")["api"]
    with measure.infra() as own:
        made = await measure.database(own, SERVICE, "bench_reconciliation")
        began = time.perf_counter()
        found, postings, size_mb = await fill(made, members)
        loaded_s = time.perf_counter() - began
        env, token = environment(own, made)
        env |= {"REGULARS_HTTP_PORT": str(port), "REGULARS_CLOCK": CLOCK}
        headers = {"Authorization": f"Bearer {token}"}
        base = f"http://127.0.0.1:{port}"
        with measure.process("services.loyalty", "api", log="loyalty-api", **env):
            async with httpx.AsyncClient(base_url=base, headers=headers) as client:
                took = await ask(client, rounds)
    slowest = max(took.reconciliations)
    measure.report(
        "reconciliation",
        [
            ("books", f"{found:,} members, {postings:,} postings, {size_mb:,} MB"),
            ("loaded in", f"{loaded_s:.0f} s"),
            ("GET /v1/ledger/reconciliation", f"{slowest:.1f} s, the slowest of {rounds}"),
            ("promise", "below 30 s with 1 M members and 10 M postings"),
            ("a month's statement", f"{took.statement:.1f} s, {took.journals:,} journals"),
        ],
        {
            "members": found,
            "postings": postings,
            "seconds": round(slowest, 2),
            "statement_seconds": round(took.statement, 2),
        },
    )


def main(
    members: Annotated[int, typer.Option(help="Each has ten postings.")] = 1_000_000,
    rounds: int = 3,
) -> None:
    """Measure and report."""
    asyncio.run(run(members, rounds))


if __name__ == "__main__":
    typer.run(main)
