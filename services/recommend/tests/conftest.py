"""Recommend over a fresh database, at noon of 1 November 2026 or what a test says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from services.recommend.__main__ import SERVICE
from services.recommend.jobs import build_lists
from services.recommend.tests.shop import at
from shared.clock import Clock
from shared.events.envelope import Event
from shared.keys import DEV_ISSUER, dev_jwks, dev_token
from shared.settings import Settings
from shared.testing import Door, empty, migrator, open_door, settings_for
from stack.databases import ServiceDatabase

Ask = Callable[..., Awaitable[Any]]
TABLES = ("product", "offer", "history", "order_seen", "purchase", "popularity")


@pytest.fixture(scope="session")
def database(make_template, tmp_path_factory) -> ServiceDatabase:
    """Migrated once and emptied for each test: copying it would take longer than most tests."""
    folder = tmp_path_factory.mktemp("recommend")
    made: ServiceDatabase = make_template("recommend", migrator(SERVICE, folder))
    return made


@pytest.fixture
async def settings(database, tmp_path) -> Settings:
    await empty(database.owner_url)
    made: Settings = settings_for(
        SERVICE, database, tmp_path, jwks=str(dev_jwks(tmp_path)), jwt_issuer=DEV_ISSUER
    )
    return made


@pytest.fixture
async def door(settings) -> AsyncIterator[Door]:
    async with open_door(SERVICE, settings) as door:
        yield door


@pytest.fixture
async def ask(door) -> AsyncIterator[Ask]:
    """`await ask("/v1/...")`: what the API answers to a server key, with its status checked."""
    async with door.client(clock=Clock(frozen_at=at(0))) as http:

        async def get(path: str, status: int = 200, **params: Any) -> Any:
            answer = await http.get(path, params=params)
            assert answer.status_code == status, answer.text
            return answer.json()

        yield get


@pytest.fixture
def storefront(door, tmp_path):
    """`async with storefront("ada") as http`: the API, called with ada's own token."""

    @asynccontextmanager
    async def client(sub: str) -> AsyncIterator[httpx.AsyncClient]:
        async with door.client() as http:
            http.headers["Authorization"] = f"Bearer {dev_token(sub, tmp_path)}"
            yield http

    return client


@pytest.fixture
def tell(door) -> Callable[..., Awaitable[None]]:
    """`await tell(event, ...)`: as one batch, and then the job."""

    async def give(*events: Event) -> None:
        await door.give(*events)
        while await door.query("SELECT 1 FROM popularity WHERE stale_since IS NOT NULL LIMIT 1"):
            await build_lists(door.engine, door.world)

    return give


async def state(door: Door) -> dict[str, list[tuple[Any, ...]]]:
    """Every view, row for row; but for what the job keeps for itself."""
    rows = {}
    for table in TABLES:
        columns = "product_id, orders, units, views" if table == "popularity" else "*"
        where = "WHERE orders <> 0 OR units <> 0 OR views <> 0" if table == "popularity" else ""
        found = await door.query(f"SELECT {columns} FROM {table} AS t {where} ORDER BY t::text")
        rows[table] = [tuple(row) for row in found]
    return rows


async def wipe(door: Door) -> None:
    """An empty service and an empty log again, for another example."""
    await empty(str(door.world.settings.owner_database_url))
    door.log.ends.clear()
    door.log.messages.clear()
