"""Loyalty over an empty database, in a world with three stores."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.loyalty.__main__ import SERVICE
from shared.keys import DEV_ISSUER, dev_jwks
from shared.stores import Store, Stores
from shared.testing import Door, empty, migrator, open_door, settings_for
from stack.databases import ServiceDatabase

STORES = Stores(
    "EUR",
    {
        store.id: store
        for store in (Store(id="web"), Store(id="outlet", earns=False), Store(id="us"))
    },
)

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="session")
def database(make_template, tmp_path_factory) -> Callable[[int], ServiceDatabase]:
    """Migrated once and emptied for each test: copying it would take longer than most tests."""
    migrate = migrator(SERVICE, tmp_path_factory.mktemp("loyalty"))
    return lambda which: make_template("loyalty", migrate, which)


@pytest.fixture
async def door(database, tmp_path) -> AsyncIterator[Door]:
    async with open_one(await asyncio.to_thread(database, 0), tmp_path) as door:
        yield door


@pytest.fixture
async def other_door(database, tmp_path) -> AsyncIterator[Door]:
    """A second loyalty, to compare with."""
    async with open_one(await asyncio.to_thread(database, 1), tmp_path) as door:
        yield door


@asynccontextmanager
async def open_one(database: ServiceDatabase, folder) -> AsyncIterator[Door]:
    await empty(database.owner_url)
    more = {"jwks": str(dev_jwks(folder)), "jwt_issuer": DEV_ISSUER}
    settings = settings_for(SERVICE, database, folder, **more)
    async with open_door(SERVICE, settings, stores=STORES) as door:
        yield door


@pytest.fixture
async def ask(door) -> AsyncIterator[Ask]:
    """`await ask("/v1/...")`: what the API answers to a server key, with its status checked."""
    async with door.client() as http:

        async def get(path: str, status: int = 200, **params: Any) -> Any:
            answer = await http.get(path, params=params)
            assert answer.status_code == status, answer.text
            return answer.json()

        yield get
