"""`/livez`, `/readyz` and `/metrics`, on a port of their own.

`/livez` says that the event loop turns; it never depends on Kafka or PostgreSQL, for a
restart does not bring them back. `/readyz` says whether this process can do its work now,
and loudly whether the business clock has been moved.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.world import World

CHECK_TIMEOUT_S = 3.0
Check = Callable[[], Awaitable[None]]


def create_ops(world: World, checks: Mapping[str, Check], collect: Check) -> Starlette:
    """`checks` raise when their part cannot be used; `collect` refreshes gauges."""

    async def livez(_request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def readyz(_request: Request) -> Response:
        results = await asyncio.gather(*(_try(check) for check in checks.values()))
        parts = dict(zip(checks, results, strict=True))
        ready = all(result == "ok" for result in results)
        body = {
            "status": "ready" if ready else "not ready",
            "parts": parts,
            "clock": world.clock.describe(),
            "now": world.clock.now().isoformat(),
            "release": world.settings.release,
        }
        return JSONResponse(body, status_code=200 if ready else 503)

    async def metrics(_request: Request) -> Response:
        await _try(collect)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    return Starlette(routes=routes)


async def _try(check: Check) -> str:
    try:
        await asyncio.wait_for(check(), CHECK_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  whatever it is, the part cannot be used
        return type(error).__name__
    return "ok"


async def serve(stop: asyncio.Event, app: object, host: str, port: int) -> None:
    """Serve until stopped, then finish the requests in hand."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI app
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=15,
        server_header=False,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopped.cancel()
    await task


class _Server(uvicorn.Server):
    """Signals are `shared/run.py`'s."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
