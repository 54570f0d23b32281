"""Every statement is right for the migrated schema, and none walks a table."""

from sqlalchemy import text

from services.recommend.__main__ import SERVICE
from services.recommend.store import catalog, facts, histories, hot, lists, orders, popularity
from shared import migrate
from shared.testing_sql import statements, walks

STATEMENTS = statements(catalog, facts, histories, lists, orders, popularity) | {
    f"hot.{name}": text(sql) for name, sql in hot.HOT.items()
}


async def test_no_statement_walks_a_table(door):
    assert len(STATEMENTS) > 20
    assert await walks(door, STATEMENTS) == {}


async def test_the_migration_makes_the_tables(settings):
    await migrate.check(settings, SERVICE.migrations, SERVICE.metadata)
