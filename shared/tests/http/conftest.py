"""A small API over the counting service's table, and callers of every kind."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy import text

from shared import db
from shared.clock import Clock
from shared.erasure import Tombstones
from shared.errors import Conflict, Forbidden, NotFound, Unavailable
from shared.events.envelope import CustomerId
from shared.http import audit, paging
from shared.http.app import create_app
from shared.http.auth import PUBLIC, ROUTE_CHECKS, needs, own, reach
from shared.http.context import Body, Context, Ctx, context_of
from shared.http.once import once
from shared.keys import DEV_ISSUER, KeyRing, dev_jwks, new_key
from shared.settings import Settings
from shared.stores import Stores
from shared.testing import SECRET

router = APIRouter(prefix="/v1/visits", tags=["visits"])

ADD = text("""
    INSERT INTO tally (customer_id, events, trail) VALUES (:id, :visits, '')
    ON CONFLICT (customer_id) DO UPDATE SET events = tally.events + excluded.events
    RETURNING events
""")
GET = "SELECT events FROM tally WHERE customer_id = $1"
LIST = text("""
    SELECT customer_id, events FROM tally WHERE customer_id > :after
    ORDER BY customer_id LIMIT :limit
""")
POSITION = paging.Cursor(tuple[str])


class Visits(Body):
    visits: Annotated[int, Field(ge=1)]
    wait_ms: int = 0
    then: str = ""


class VisitsView(BaseModel):
    customer_id: str
    visits: int


class TooManyVisits(Conflict):
    """Nobody comes that often."""


class VisitNotAllowed(Forbidden):
    """This customer may not visit."""


FATES = {
    "conflict": TooManyVisits,
    "forbidden": VisitNotAllowed,
    "unavailable": Unavailable,
    "bug": KeyError,
}
WRITE = needs("profile:write", subject="customer_id", storefront=True)
READ = needs("profile:read", subject="customer_id", storefront=True)


@router.post("/{customer_id}", status_code=201, response_model=VisitsView, openapi_extra=WRITE)
async def add_visits(customer_id: CustomerId, body: Visits, request: Request) -> Response:
    async with once(request, body) as tx:
        visits = (
            await tx.conn.execute(ADD, {"id": customer_id, "visits": body.visits})
        ).scalar_one()
        await tx.conn.execute(text("SELECT pg_sleep(:s)"), {"s": body.wait_ms / 1000})
        if body.then:
            raise FATES[body.then]("as asked")
        tx.detail = {"visits": body.visits}
        view = VisitsView(customer_id=customer_id, visits=visits)
        return tx.answer(view, status=201, headers={"Location": f"/v1/visits/{customer_id}"})


@router.get("/public", openapi_extra=needs(PUBLIC))
async def get_public() -> dict[str, str]:
    return {"open": "to all"}


@router.get("/slow", openapi_extra=needs(PUBLIC))
async def get_slow() -> None:
    await asyncio.sleep(60)


@router.get("/broken", openapi_extra=needs(PUBLIC))
async def get_broken() -> None:
    raise KeyError("a secret of ours")


@router.get("/all", openapi_extra=needs("ops:read"))
async def list_visits(
    context: Ctx, cursor: str = "", limit: paging.Limit = 2
) -> paging.Page[VisitsView]:
    after = POSITION.decode(cursor) or ("",)
    async with context.engine.connect() as conn:
        rows = await conn.execute(LIST, {"after": after[0], "limit": limit + 1})
        items = [VisitsView(customer_id=row[0], visits=row[1]) for row in rows]
    return paging.page(items, limit, lambda item: POSITION.encode((item.customer_id,)))


@router.get("/of", openapi_extra=READ)
async def find_visits(customer_id: str, context: Ctx) -> VisitsView:
    row = await context.hot.fetchrow(GET, customer_id)
    if row is None:
        raise NotFound("no visits of this customer")
    return VisitsView(customer_id=customer_id, visits=row["events"])


@router.get("/merged", openapi_extra=READ)
async def list_members(customer_id: str, request: Request) -> tuple[str, ...]:
    return reach(request, ["ada", customer_id])


@router.get(
    "/by-number/{number}",
    openapi_extra=needs("profile:read", subject=ROUTE_CHECKS, storefront=True),
)
async def get_by_number(number: int, request: Request) -> dict[str, str]:
    customer_id = f"c{number}"
    own(request, customer_id)
    return {"customer_id": customer_id}


@router.get("/{customer_id}", response_model=VisitsView, openapi_extra=READ)
async def get_visits(customer_id: CustomerId, request: Request) -> Response:
    row = await context_of(request).hot.fetchrow(GET, customer_id)
    if row is None:
        raise NotFound("no visits of this customer")
    view = VisitsView(customer_id=customer_id, visits=row["events"])
    return Response(view.model_dump_json(), headers={"ETag": paging.etag_of(row["events"])})


@router.put(
    "/{customer_id}", status_code=204, openapi_extra=needs("profile:write", subject="customer_id")
)
async def set_visits(customer_id: CustomerId, body: Visits, request: Request) -> Response:
    async with context_of(request).engine.begin() as conn:
        found = (
            await conn.execute(
                text("SELECT events FROM tally WHERE customer_id = :id FOR UPDATE"),
                {"id": customer_id},
            )
        ).scalar_one()
        paging.require_match(request, paging.etag_of(found))
        await conn.execute(
            text("UPDATE tally SET events = :n WHERE customer_id = :id"),
            {"id": customer_id, "n": body.visits},
        )
        await audit.write(conn, request, subject=customer_id)
    return Response(status_code=204)


@dataclass
class Api:
    """The app, and what is behind it."""

    app: FastAPI
    context: Context
    lines: list = field(default_factory=list)

    def key(self, *scopes, **more) -> dict[str, str]:
        """Headers of a new key, which is in the file at once."""
        token, line = new_key(scopes=scopes or ["admin"], **more)
        self.lines.append(line)
        self.write_keys()
        self.context.keys._checked_at = 0.0
        return {"Authorization": f"Bearer {token}"}

    def write_keys(self):
        lines = [line.model_dump(mode="json") for line in self.lines]
        self.context.settings.keys_file.write_text(json.dumps({"keys": lines}))

    @property
    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test")

    async def query(self, sql, **params):
        async with self.context.engine.connect() as conn:
            return (await conn.execute(text(sql), params)).all()


@pytest.fixture(scope="package", autouse=True)
def _plain_log():
    """structlog's own default draws every traceback with its locals, for seconds."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture
def make_api(counting_template, make_database, tmp_path):
    """`async with make_api(...) as api`, over a fresh database."""

    @asynccontextmanager
    async def make(
        *, intake=False, request_max_s=10.0, routers=(router,), **more
    ) -> AsyncIterator[Api]:
        database = await make_database("counting", template=counting_template.name)
        (tmp_path / "keys.json").write_text('{"keys": []}')
        settings = Settings(
            service="profile",
            database_url=database.url,
            keys_file=tmp_path / "keys.json",
            jwks=str(dev_jwks(tmp_path)),
            jwt_issuer=DEV_ISSUER,
            **more,
        )
        engine, hot = db.connect(settings), await db.hot_pool(settings)

        async def caused(_conn, _source, event_id):
            return [{"kind": "visit", "of": event_id}] if event_id == "e1" else []

        context = Context(
            settings=settings,
            engine=engine,
            hot=hot,
            clock=Clock(),
            stores=Stores(),
            keys=KeyRing(settings.keys_file),
            tombstones=Tombstones(SECRET),
            caused=caused,
        )
        app = create_app("test", routers, context, intake=intake, request_max_s=request_max_s)
        async with app.router.lifespan_context(app):
            yield Api(app, context)
        await hot.close()
        await engine.dispose()

    return make


@pytest.fixture
async def api(make_api) -> AsyncIterator[Api]:
    async with make_api() as api:
        yield api
