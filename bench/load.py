"""python -m bench.load PORT SECONDS CLIENTS TOKEN PATH...: GETs over kept connections.

Hand-made requests over asyncio streams, because httpx would be slower than the servers that
it measures. Prints one JSON line: requests, seconds, p50_ms, p99_ms, failures.
"""

import asyncio
import json
import sys
import time

import uvloop


async def client(port: int, until: float, requests: list[bytes], took: list[float]) -> int:
    """One connection; how many answers were not 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    failures = turn = 0
    while (began := time.perf_counter()) < until:
        writer.write(requests[turn % len(requests)])
        turn += 1
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        await reader.readexactly(int(head[at : head.index(b"\r", at)]))
        took.append(time.perf_counter() - began)
        failures += not head.startswith(b"HTTP/1.1 200")
    writer.close()
    return failures


async def main(port: int, seconds: float, clients: int, token: str, *paths: str) -> None:
    """Load, then report."""
    head = f"Host: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
    requests = [f"GET {path} HTTP/1.1\r\n{head}".encode() for path in paths]
    took: list[float] = []
    began = time.perf_counter()
    failures = await asyncio.gather(
        *(
            client(port, began + seconds, requests[n::clients] or requests, took)
            for n in range(clients)
        )
    )
    elapsed = time.perf_counter() - began
    took.sort()
    print(
        json.dumps(
            {
                "requests": len(took),
                "per_s": len(took) / elapsed,
                "p50_ms": took[len(took) // 2] * 1000,
                "p99_ms": took[int(len(took) * 0.99)] * 1000,
                "failures": sum(failures),
            }
        )
    )


if __name__ == "__main__":
    port_, seconds_, clients_, token_, *paths_ = sys.argv[1:]
    uvloop.run(main(int(port_), float(seconds_), int(clients_), token_, *paths_))
