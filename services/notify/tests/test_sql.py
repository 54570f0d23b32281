"""Every statement is right for the migrated schema, and none walks a table."""

from services.notify.__main__ import SERVICE
from services.notify.store import notices, orders, people, sending
from shared import migrate
from shared.testing_sql import statements, walks

STATEMENTS = statements(notices, orders, people, sending)


async def test_no_statement_walks_a_table(door):
    assert len(STATEMENTS) > 30
    assert await walks(door, STATEMENTS) == {}


async def test_the_migrations_make_the_tables(settings):
    await migrate.check(settings, SERVICE.migrations, SERVICE.metadata)
