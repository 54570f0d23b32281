"""python -m bench.pairs PORT SECONDS CLIENTS TOKEN PREFIX:COUNT PER_S POINTS: reserve, confirm.

A checkout sets points aside and spends them, each time for another of the members
PREFIX0 to PREFIX(COUNT - 1), over kept connections. PER_S 0: as fast as it is answered. Else
at that rate, and a reservation's time counts from when it was due, so that a server which
stalls is not spared the requests that it kept waiting. Prints one JSON line.
"""

import asyncio
import json
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import uvloop

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Load:
    """What is asked, and what came of it; times in seconds."""

    until: float
    token: str
    prefix: str
    count: int
    points: int
    reserves: list[float] = field(default_factory=list)
    confirms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    turn: int = 0

    async def post(self, to: Connection, path: str, body: dict[str, Any]) -> tuple[bytes, Any]:
        """The answer's head and body."""
        reader, writer = to
        content = json.dumps(body)
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n"
            f"Idempotency-Key: {uuid.uuid4()}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n{content}".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        answer = await reader.readexactly(int(head[at : head.index(b"\r", at)]))
        return head, json.loads(answer)

    async def pair(self, to: Connection, due: float) -> None:
        """One checkout."""
        member, self.turn = f"{self.prefix}{self.turn % self.count}", self.turn + 1
        head, made = await self.post(
            to, f"/v1/accounts/{member}/reservations", {"points": self.points}
        )
        reserved = time.perf_counter()
        self.reserves.append(reserved - due)
        if head[9:12] != b"201":
            self.failures[head[9:12].decode()] += 1
            return
        head, _ = await self.post(to, f"/v1/reservations/{made['id']}/confirm", {})
        self.confirms.append(time.perf_counter() - reserved)
        if head[9:12] != b"200":
            self.failures[head[9:12].decode()] += 1

    async def closed(self, port: int) -> None:
        """One client who never waits."""
        to = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < self.until:
            await self.pair(to, began)
        to[1].close()

    async def open(self, port: int, clients: int, per_s: float) -> None:
        """At a rate, over as many connections as it takes, at most `clients`."""
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for _ in range(clients):
            free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
        began, tasks = time.perf_counter(), []
        number = 0
        while (due := began + number / per_s) < self.until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(self.take(free, due)))
            number += 1
        await asyncio.gather(*tasks)

    async def take(self, free: asyncio.Queue[Connection], due: float) -> None:
        to = await free.get()
        await self.pair(to, due)
        free.put_nowait(to)


def quantiles(name: str, times: list[float]) -> dict[str, float]:
    """p50 and p99 in ms."""
    ordered = sorted(times)
    return {
        f"{name}_p50_ms": ordered[len(ordered) // 2] * 1000,
        f"{name}_p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
    }


async def main(port: int, seconds: float, clients: int, token: str, *what: str) -> None:
    """Load, then report."""
    prefix, count = what[0].split(":")
    per_s = float(what[1])
    began = time.perf_counter()
    load = Load(began + seconds, token, prefix, int(count), int(what[2]))
    if per_s:
        await load.open(port, clients, per_s)
    else:
        await asyncio.gather(*(load.closed(port) for _ in range(clients)))
    elapsed = time.perf_counter() - began
    figures: dict[str, Any] = {
        "pairs": len(load.confirms),
        "per_s": len(load.confirms) / elapsed,
        "failures": load.failures,
    }
    figures |= quantiles("reserve", load.reserves) | quantiles("confirm", load.confirms)
    print(json.dumps(figures))


if __name__ == "__main__":
    port_, seconds_, clients_, token_, *what_ = sys.argv[1:]
    uvloop.run(main(int(port_), float(seconds_), int(clients_), token_, *what_))
