"""python -m bench.bind_load PORT SECONDS CLIENTS TOKEN RUN PER_S: a marketplace at its busiest.

Each client looks up an external id that nobody has, binds it, and looks it up again: as fast as
it is answered, or all together PER_S times a second. Hand-made requests over kept connections,
as in `bench.load`. Prints one JSON line: requests a second, and p50 and p99 of lookups, binds
and both together (the time of one lookup and one bind).
"""

import asyncio
import json
import random
import sys
import time
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass, field

import uvloop


@dataclass
class Took:
    """Seconds."""

    look_up: list[float] = field(default_factory=list)
    bind: list[float] = field(default_factory=list)
    both: list[float] = field(default_factory=list)


async def ask(reader: StreamReader, writer: StreamWriter, request: bytes) -> tuple[int, float]:
    """Status and seconds of one exchange."""
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    at = head.lower().index(b"content-length:") + 15
    await reader.readexactly(int(head[at : head.index(b"\r", at)]))
    return int(head[9:12]), time.perf_counter() - began


async def client(
    port: int, until: float, token: str, name: str, took: Took, *, every_s: float
) -> None:
    """One connection, until the time is up."""
    due = time.perf_counter() + random.random() * every_s
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"Host: bench\r\nAuthorization: Bearer {token}\r\n"
    turn = 0
    while time.perf_counter() < until:
        await asyncio.sleep(due + turn * every_s - time.perf_counter() if every_s else 0)
        value = f"{name}-{turn}"
        body = f'{{"type":"ouid","issuer":"shop","value":"{value}","customer_id":"c{turn % 5000}"}}'
        path = f"/v1/accounts?type=ouid&issuer=shop&value={value}"
        get = f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
        post = (
            f"POST /v1/accounts/bind HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        missing, look_s = await ask(reader, writer, get)
        bound, bind_s = await ask(reader, writer, post)
        found, again_s = await ask(reader, writer, get)
        assert (missing, bound, found) == (404, 200, 200), (missing, bound, found)
        took.look_up += [look_s, again_s]
        took.bind.append(bind_s)
        took.both.append(look_s + bind_s)
        turn += 1
    writer.close()


def ms(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


async def main(
    port: int, seconds: float, clients: int, token: str, run: str, *, per_s: float
) -> None:
    """Load, then report."""
    every_s = clients / per_s if per_s else 0.0
    took = Took()
    began = time.perf_counter()
    until = began + seconds
    await asyncio.gather(
        *(client(port, until, token, f"{run}-{n}", took, every_s=every_s) for n in range(clients))
    )
    elapsed = time.perf_counter() - began
    figures = {"per_s": (len(took.look_up) + len(took.bind)) / elapsed, "pairs": len(took.bind)}
    for name in ("look_up", "bind", "both"):
        times = getattr(took, name)
        figures |= {f"{name}_p50_ms": ms(times, 0.5), f"{name}_p99_ms": ms(times, 0.99)}
    print(json.dumps(figures))


if __name__ == "__main__":
    port_, seconds_, clients_, token_, run_, per_s_ = sys.argv[1:]
    uvloop.run(main(int(port_), float(seconds_), int(clients_), token_, run_, per_s=float(per_s_)))
