"""Every statement is right for the migrated schema, and none walks a table."""

from services.notify.__main__ import SERVICE
from services.notify.store import notices, orders, people, sending
from shared import migrate
from shared.testing_sql import statements, walks

STATEMENTS = statements(notices, orders, people, sending)


async def test_no_statement_walks_a_table(door):
    walked = {name: await walks(door.engine, sql) for name, sql in STATEMENTS.items()}

    assert len(walked) > 30
    assert {name: nodes for name, nodes in walked.items() if nodes} == {}


async def test_the_migrations_make_the_tables(settings):
    await migrate.check(settings, SERVICE.migrations, SERVICE.metadata)
