"""Profile over a database of its own, with the doors that a platform uses."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.profile.__main__ import SERVICE
from shared.keys import DEV_ISSUER, dev_jwks
from shared.testing import Door, migrator, open_door, settings_for

WITHOUT_INTAKE = replace(SERVICE, intake=False)  # a producer for each client takes its time


@pytest.fixture(scope="session")
def profile_template(make_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    return make_template("profile", migrator(SERVICE, folder))


@pytest.fixture
async def settings(profile_template, make_database, infra, tmp_path):
    database = await make_database("profile", template=profile_template.name)
    return settings_for(
        SERVICE,
        database,
        tmp_path,
        jwks=str(dev_jwks(tmp_path / "jwt")),
        jwt_issuer=DEV_ISSUER,
        kafka_servers=infra.kafka_servers,
    )


@pytest.fixture
async def door(settings) -> AsyncIterator[Door]:
    async with open_door(WITHOUT_INTAKE, settings) as door:
        yield door
