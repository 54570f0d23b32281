"""python -m bench.redeem: points at the checkout over HTTP, one API process.

First 64 clients at once on one member who has points for 105 of the 256 reservations that they
ask for: exactly those are made, and the books balance after half of them are confirmed and
half cancelled. Then reserve and confirm on 10,000 members, in turn with a bare route that runs
the same statements by hand (`baselines/bare_redeem.py`), with `synchronous_commit` on; and
last at half the rate that we reached, for the time that a checkout waits.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated
from uuid import uuid4

import httpx
import typer

from bench import measure, server
from bench.server import Figures
from services.loyalty.__main__ import SERVICE
from shared.testing import Door, open_door, settings_for
from stack.infra import Infra
from stack.ports import scratch

MEMBERS = 10_000
ORDERS_OF_ONE = 14
POINTS_OF_ORDER = 7_500
CROWD = 64
ASKED_BY_EACH = 4
POINTS = 1_000
CLIENTS = 16
BUSY = 503
SCOPES = ("loyalty:read", "loyalty:write")

Call = Callable[..., Awaitable[httpx.Response]]


async def prepare(own: Infra, name: str, members: int) -> str:
    """Members with points, through the public door; the database's address."""
    made = await measure.database(own, SERVICE, name)
    async with open_door(SERVICE, settings_for(SERVICE, made, measure.FOLDER)) as door:
        await earn(door, [f"c{n}" for n in range(members)])
        await earn(door, ["one"] * ORDERS_OF_ONE, first=members)
    return made.url


async def earn(door: Door, customers: list[str], *, first: int = 0) -> None:
    """An order that has arrived, for each."""
    events = [measure.completed(first + n, who) for n, who in enumerate(customers)]
    for start in range(0, len(events), 500):
        await door.give(*events[start : start + 500])


async def crowd(port: int, token: str) -> Figures:
    """All clients at once on one member; what was answered, and what the books say after."""
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=CROWD)
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=30) as http:

        async def post(path: str, **body: int) -> httpx.Response:
            key = {"Idempotency-Key": str(uuid4())}
            while True:  # where the queue is full or the line is cut: the same once more
                with suppress(httpx.TransportError):
                    answer = await http.post(path, json=body, headers=key)
                    if answer.status_code != BUSY:
                        return answer
                await asyncio.sleep(0.1)

        made = await asyncio.gather(*(_client(post) for _ in range(CROWD)))
        ids = [id_ for _, own in made for id_ in own]
        ends = ["confirm" if n % 2 else "cancel" for n in range(len(ids))]
        await asyncio.gather(
            *(post(f"/v1/reservations/{id_}/{end}") for id_, end in zip(ids, ends, strict=True))
        )
        account = (await http.get("/v1/accounts/one")).json()
        books = (await http.get("/v1/ledger/reconciliation")).json()
    statuses = sum((found for found, _ in made), Counter[int]())
    had = ORDERS_OF_ONE * POINTS_OF_ORDER
    left = had - POINTS * ends.count("confirm")
    correct = (
        statuses == {201: had // POINTS, 409: CROWD * ASKED_BY_EACH - had // POINTS}
        and (account["active"], account["reserved"]) == (left, 0)
        and books["balanced"]
    )
    return {"made": statuses[201], "refused": statuses[409], "correct": correct}


async def _client(post: Call) -> tuple[Counter[int], list[str]]:
    statuses: Counter[int] = Counter()
    ids = []
    for _ in range(ASKED_BY_EACH):
        answer = await post("/v1/accounts/one/reservations", points=POINTS)
        statuses[answer.status_code] += 1
        if answer.is_success:
            ids.append(answer.json()["id"])
    return statuses, ids


async def run(members: int, rounds: int, seconds: float) -> None:
    """The crowd, then ours and the bare one in turn, each on a database of its own."""
    ports = scratch("ours", "bare")
    with measure.infra(synchronous_commit="on") as own:
        env, token = server.api_env(own, await prepare(own, "bench_redeem", members), *SCOPES)
        bare = {
            "DATABASE_URL": await prepare(own, "bench_redeem_bare", members),
            "PORT": str(ports["bare"]),
        }
        api = env | {"REGULARS_HTTP_PORT": str(ports["ours"])}
        with (
            measure.process("services.loyalty", "api", log="api", **api),
            measure.process("bench.baselines.bare_redeem", log="bare", **bare),
        ):
            await server.answers(ports["ours"], token, "/v1/accounts/c0")
            await server.answers(ports["bare"], token, "/openapi.json")
            many = await crowd(ports["ours"], token)
            who = f"c:{members}"
            for port in ports.values():
                server.pairs(port, 1, CLIENTS, token, who)
            found = [
                tuple(server.pairs(port, seconds, CLIENTS, token, who) for port in ports.values())
                for _ in range(rounds)
            ]
            rate = max(ours["per_s"] for ours, _ in found) / 2
            calm = server.pairs(ports["ours"], 2 * seconds, 64, token, who, per_s=rate)
    show(many, found, calm)


def show(many: Figures, found: list[tuple[Figures, ...]], calm: Figures) -> None:
    """The report."""
    shares = sorted(ours["per_s"] / bare["per_s"] for ours, bare in found)
    share = shares[len(shares) // 2]
    ours, bare = max(found, key=lambda pair: pair[0]["per_s"])
    p99_ms = max(calm["reserve_p99_ms"], calm["confirm_p99_ms"])
    failures = sum((Counter(one["failures"]) for pair in found for one in pair), Counter[str]())
    late = sum(calm["failures"].values())
    right = "all correct" if many["correct"] else "WRONG"
    measure.report(
        "redeem",
        [
            (f"{CROWD} clients on one member", f"{many['made']} made, {many['refused']} refused"),
            ("balance, reservations and books", right),
            ("reserve + confirm", f"{ours['per_s']:,.0f} pairs/s (aim 300)"),
            ("bare route, the same by hand", f"{bare['per_s']:,.0f} pairs/s"),
            ("not answered at full rate, at half", f"{failures.total()}, {late}"),
            ("share of the bare route", f"{share:.2f} (at least 0.5; median round)"),
            (
                f"at {calm['per_s']:,.0f} pairs/s: reserve, confirm, p99",
                f"{calm['reserve_p99_ms']:.0f}, {calm['confirm_p99_ms']:.0f} ms (aim below 50)",
            ),
        ],
        {
            "correct": many["correct"],
            "pairs_per_s": round(ours["per_s"]),
            "bare_pairs_per_s": round(bare["per_s"]),
            "share_of_bare": round(share, 3),
            "failures": failures.total() + late,
            "half_rate_p99_ms": round(p99_ms, 1),
            "load": server.machine_load(),
        },
    )


def main(
    members: Annotated[int, typer.Option()] = MEMBERS, rounds: int = 5, seconds: float = 5
) -> None:
    """Measure and report."""
    asyncio.run(run(members, rounds, seconds))


if __name__ == "__main__":
    typer.run(main)
