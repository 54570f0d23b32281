"""Around every request: its id, its limits, its headers, its metrics and its span.

One ASGI middleware, because each costs every request. It is also where all errors end,
those of authentication included, so that nothing leaves without the headers or uncounted.
The time limit cancels the route: its transaction rolls back whole, and the 503 may be
sent again.
"""

import asyncio
import re
import secrets
import time
from typing import Any

import structlog
from prometheus_client import Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import metrics, tracing
from shared.errors import BadRequest
from shared.http import problems

BODY_MAX_BYTES = 1 << 20  # Kafka's record limit too, so an event that enters can be published
# Then the route is cancelled, unless it has its own `seconds_max`. If the process is paused nobody
# cancels: PostgreSQL ends the transaction, after the times in `shared/db.py`.
REQUEST_MAX_S = 10.0

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")  # so that a log line cannot be forged
SECURITY_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",  # answers are personal data
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"strict-transport-security": b"max-age=31536000",
}


class BodyTooLarge(HTTPException):
    """FastAPI lets only this kind of exception out of its reading of the body."""

    def __init__(self) -> None:
        super().__init__(413, f"a request's body has at most {BODY_MAX_BYTES} bytes")


class Shell:
    """The outermost middleware but CORS."""

    def __init__(self, app: ASGIApp, *, request_max_s: float) -> None:
        self.app = app
        self._request_max_s = request_max_s
        self._seconds: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = dict(message["headers"])
                extra = [pair for pair in SECURITY_HEADERS.items() if pair[0] not in own]
                extra.append((b"x-request-id", request_id.encode()))
                message["headers"] = [*message["headers"], *extra, *scope.get("rate_headers", ())]
            await send(message)

        with tracing.server_span(scope) as span:
            try:
                async with asyncio.timeout(self._request_max_s) as scope["time_limit"]:
                    await self.app(scope, self._checked(scope, headers, receive), answer)
            except Exception as error:
                if status:
                    raise
                await problems.answer(error)(scope, receive, answer)
            finally:
                route = getattr(scope.get("route"), "path_format", "unmatched")
                self._count(route, scope["method"], status or 500, time.perf_counter() - started)
                if span.is_recording():
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)
                    span.set_attribute("http.response.status_code", status)

    def _count(self, route: str, method: str, status: int, seconds: float) -> None:
        labels = (route, method, status)
        if (histogram := self._seconds.get(labels)) is None:
            histogram = self._seconds[labels] = metrics.HTTP_SECONDS.labels(*labels)
        histogram.observe(seconds)

    def _checked(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """Refuse what no route could take; `receive`, counting if the length is not said."""
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise BadRequest("the address holds a NUL character (%00); send it without")
        if scope["method"] in {"GET", "HEAD"}:
            return receive
        length = headers.get(b"content-length", b"")
        if length.isdigit():
            if int(length) > BODY_MAX_BYTES:
                raise BodyTooLarge
            return receive
        bytes_read = 0

        async def counting() -> Any:
            nonlocal bytes_read
            message = await receive()
            bytes_read += len(message.get("body", b""))
            if bytes_read > BODY_MAX_BYTES:
                raise BodyTooLarge
            return message

        return counting


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
