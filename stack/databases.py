"""The services' databases and roles.

Each database belongs to `<service>_owner`, who runs the migrations; `<service>` reads and
writes its rows and can change no table. Nobody else may connect, so no service can lean
on another's tables.
"""

import contextlib
from dataclasses import dataclass

import asyncpg

from stack.postgres import Postgres


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """`url` is for the application's role, `owner_url` for migrations."""

    name: str
    service: str
    url: str
    owner_url: str
    admin_url: str


async def create_service_database(
    postgres: Postgres, service: str, *, name: str | None = None, template: str = "template0"
) -> ServiceDatabase:
    """Make the service's database and roles where they are missing; as often as you like.

    `template`: a database to copy, for instance a migrated one; nobody may be connected to it.
    """
    made = describe(postgres, service, name=name)
    owner = f"{service}_owner"
    admin = await asyncpg.connect(postgres.admin_url)
    try:
        for role in (owner, service):
            await _ensure_role(admin, role, postgres.password(role))
        if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", made.name):
            await admin.execute(
                f'CREATE DATABASE "{made.name}" OWNER "{owner}" TEMPLATE "{template}"'
            )
        await admin.execute(f"""
            REVOKE ALL ON DATABASE "{made.name}" FROM PUBLIC;
            GRANT CONNECT, TEMPORARY ON DATABASE "{made.name}" TO "{service}";
            REVOKE ALL ON DATABASE postgres FROM PUBLIC;
        """)
    finally:
        await admin.close()
    await _grant(made, owner)
    return made


def describe(postgres: Postgres, service: str, *, name: str | None = None) -> ServiceDatabase:
    """The addresses of a service's database, which need not exist yet."""
    database = name or service
    return ServiceDatabase(
        name=database,
        service=service,
        url=postgres.url(service, database=database),
        owner_url=postgres.url(f"{service}_owner", database=database),
        admin_url=postgres.url("postgres", database=database),
    )


async def drop_database(postgres: Postgres, name: str) -> None:
    """Drop it, and cut whoever is still connected."""
    admin = await asyncpg.connect(postgres.admin_url)
    try:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await admin.close()


async def _ensure_role(admin: asyncpg.Connection, role: str, password: str) -> None:
    exists = await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    if not exists:
        with contextlib.suppress(
            asyncpg.UniqueViolationError
        ):  # made by somebody at the same moment
            await admin.execute(f'CREATE ROLE "{role}" LOGIN')
        await admin.execute(f"ALTER ROLE \"{role}\" PASSWORD '{password}'")


async def _grant(made: ServiceDatabase, owner: str) -> None:
    """What the owner makes from now on, the application's role may read and write."""
    admin = await asyncpg.connect(made.admin_url)
    whose = f'ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA public'
    try:
        await admin.execute(f"""
            GRANT USAGE ON SCHEMA public TO "{made.service}";
            {whose} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "{made.service}";
            {whose} GRANT USAGE, SELECT ON SEQUENCES TO "{made.service}";
            {whose} GRANT EXECUTE ON FUNCTIONS TO "{made.service}";
        """)
    finally:
        await admin.close()
