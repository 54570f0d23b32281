"""Loyalty over a fresh database, in a world with three stores."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.loyalty.__main__ import SERVICE
from shared.keys import DEV_ISSUER, dev_jwks
from shared.stores import Store, Stores
from shared.testing import Door, migrator, open_door, settings_for

STORES = Stores(
    "EUR",
    {
        store.id: store
        for store in (Store(id="web"), Store(id="outlet", earns=False), Store(id="us"))
    },
)

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="session")
def template(make_template, tmp_path_factory):
    return make_template("loyalty", migrator(SERVICE, tmp_path_factory.mktemp("loyalty")))


@pytest.fixture
async def door(template, make_database, tmp_path) -> AsyncIterator[Door]:
    async with open_one(template, make_database, tmp_path) as door:
        yield door


@pytest.fixture
async def other_door(template, make_database, tmp_path) -> AsyncIterator[Door]:
    """A second loyalty, to compare with."""
    async with open_one(template, make_database, tmp_path) as door:
        yield door


@asynccontextmanager
async def open_one(template, make_database, folder) -> AsyncIterator[Door]:
    database = await make_database("loyalty", template=template.name)
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
