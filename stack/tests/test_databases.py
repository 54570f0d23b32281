"""Each service has its own database, and reaches no other's."""

from typing import Any

import asyncpg
import pytest

from stack.databases import create_service_database
from stack.infra import Infra


async def test_a_service_reads_and_writes_what_its_owner_made(make_database: Any) -> None:
    database = await make_database("profile")
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("CREATE TABLE note (id bigserial PRIMARY KEY, text text)")
    await owner.close()

    service = await asyncpg.connect(database.url)
    await service.execute("INSERT INTO note (text) VALUES ('a')")
    assert await service.fetchval("UPDATE note SET text = 'b' RETURNING text") == "b"
    await service.execute("DELETE FROM note")
    for statement in ("DROP TABLE note", "CREATE TABLE other (i int)", "TRUNCATE note"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)
    await service.close()


async def test_no_role_may_connect_to_another_services_database(
    infra: Infra, make_database: Any
) -> None:
    profile = await make_database("profile")
    await make_database("loyalty")

    for role in ("loyalty", "loyalty_owner"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(infra.postgres.url(role, database=profile.name))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(infra.postgres.url(role, database="postgres"))


async def test_a_wrong_password_opens_nothing(infra: Infra, make_database: Any) -> None:
    database = await make_database("profile")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(database.url.replace(infra.postgres.password("profile"), "guess"))


async def test_making_a_database_twice_keeps_its_rows(infra: Infra, make_database: Any) -> None:
    database = await make_database("notify")
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    await owner.close()

    again = await create_service_database(infra.postgres, "notify", name=database.name)
    copy = await make_database("notify", template=database.name)

    for each in (again, copy):
        service = await asyncpg.connect(each.url)
        assert await service.fetchval("SELECT text FROM note") == "kept"
        await service.close()
