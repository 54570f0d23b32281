"""python -m bench.load PORT SECONDS CLIENTS TOKEN PATH...: requests over kept connections.

A path alone is a GET; a path, a space and JSON is a POST of that.

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


def request_of(path: str, token: str) -> bytes:
    """The whole request, as it goes over the wire."""
    path, _, body = path.partition(" ")
    more = f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
    head = f"Host: bench\r\nAuthorization: Bearer {token}\r\n{more if body else ''}\r\n"
    return f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\n{head}{body}".encode()


async def main(port: int, seconds: float, clients: int, token: str, *paths: str) -> None:
    """Load, then report."""
    requests = [request_of(path, token) for path in paths]
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
