"""The counting service over databases of its own, and orders to give it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.testing import Door, migrator, open_door, settings_for
from shared.tests.counting import SERVICE


@pytest.fixture(scope="session")
def counting_template(make_template, tmp_path_factory):
    return make_template("counting", migrator(SERVICE, tmp_path_factory.mktemp("counting")))


@pytest.fixture
async def counting_settings(counting_template, make_database, tmp_path):
    database = await make_database("counting", template=counting_template.name)
    return settings_for(SERVICE, database, tmp_path, statement_timeout_ms=1000)


@pytest.fixture
async def door(counting_settings) -> AsyncIterator[Door]:
    """The counting service over a fresh database."""
    async with open_door(SERVICE, counting_settings) as door:
        yield door


@pytest.fixture
async def make_admin():
    """Connections as the owner of a door's tables."""
    made = []

    async def connect(door):
        made.append(await asyncpg.connect(str(door.world.settings.owner_database_url)))
        return made[-1]

    yield connect
    for conn in made:
        await conn.close()
