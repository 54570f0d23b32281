"""A service's HTTP application: its routes behind their locks, inside the shell.

Outside in: CORS (only with an allow-list), the shell, authentication, then FastAPI's own
routing, where each route has its lock. Routes are added one by one and not by
`include_router`, which matches every request twice.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from shared.errors import AppError
from shared.http import problems, seen
from shared.http.audit import Reads
from shared.http.auth import Authenticate, lock
from shared.http.context import Context
from shared.http.intake import Publisher
from shared.http.intake import router as intake_router
from shared.http.once import Replayed, replay
from shared.http.shell import REQUEST_MAX_S, Shell
from shared.http.tokens import Tokens

CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CORS_ASKED = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-Id")
CORS_SHOWN = (
    *("ETag", "Location", "Idempotent-Replayed"),
    *("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"),
)
# FastAPI's own spans hold addresses, hence customers' ids, and four to a request cost a third of
# a hot GET; the shell makes one without.
TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
SECURITY_SCHEMES = {
    "apiKey": {"type": "http", "scheme": "bearer", "bearerFormat": "rg_live_<id>_<secret>"},
    "storefront": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
NEVER_SENT = "HTTPValidationError"  # FastAPI's own, for which we send problems


class App(FastAPI):
    """FastAPI whose OpenAPI document tells of our keys and our problems."""

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            schema = super().openapi()
            parts = schema.setdefault("components", {})
            parts["securitySchemes"] = SECURITY_SCHEMES
            schemas = parts.setdefault("schemas", {})
            for never_sent in (NEVER_SENT, "ValidationError"):
                schemas.pop(never_sent, None)
            schemas["Problem"] = problems.Problem.model_json_schema()
            link = {"schema": {"$ref": "#/components/schemas/Problem"}}
            problem: dict[str, Any] = {
                "description": "A problem",
                "content": {problems.MEDIA_TYPE: link},
            }
            for operations in schema["paths"].values():
                for operation in operations.values():
                    answers = operation["responses"]
                    if NEVER_SENT in str(answers.get("422")):
                        del answers["422"]
                    for status in answers.keys() - {"default"}:
                        if status >= "400":  # a route's own form of refusal, or a problem
                            answers[status]["content"] |= problem["content"]
                    answers["default"] = problem
        assert self.openapi_schema
        return self.openapi_schema


def create_app(
    title: str,
    routers: Sequence[APIRouter],
    context: Context,
    *,
    intake: bool = False,
    request_max_s: float = REQUEST_MAX_S,
) -> FastAPI:
    """The application; Fatal if a route does not say what it needs."""
    app = App(
        title=title,
        version=context.settings.release,
        docs_url=None,  # pages that run scripts from elsewhere have no place beside the API
        redoc_url=None,
        redirect_slashes=False,
        telemetry=TELEMETRY,
        lifespan=_running,
    )
    app.state.context = context
    app.state.reads = Reads(context.engine, context.tombstones)
    app.state.publisher = Publisher(context.settings) if intake else None
    for router in (*routers, seen.router, *([intake_router] if intake else [])):
        app.router.routes.extend(lock(route) for route in router.routes)
    for kind in (AppError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, problems.handle)
    app.add_exception_handler(Replayed, replay)
    tokens = Tokens(context.settings)
    app.add_middleware(Authenticate, ring=context.keys, tokens=tokens)  # the last is outermost
    app.add_middleware(Shell, request_max_s=request_max_s)
    if context.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=context.settings.cors_origins,
            allow_methods=CORS_METHODS,
            allow_headers=CORS_ASKED,
            expose_headers=CORS_SHOWN,
        )
    return app


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.state.reads.flushing())
        if app.state.publisher:
            await stack.enter_async_context(app.state.publisher)
        yield
