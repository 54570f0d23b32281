"""Every statement is right for the migrated schema, and none walks a table."""

from sqlalchemy import text

from services.recommend.__main__ import SERVICE
from services.recommend.store import catalog, facts, histories, hot, lists, orders, popularity
from shared import migrate
from shared.testing_sql import statements, walks

STATEMENTS = statements(catalog, facts, histories, lists, orders, popularity) | {
    f"hot.{name}": text(sql) for name, sql in hot.HOT.items()
}
# The most popular products are the top of an index: a walk of POPULAR_MAX entries, no more.
BOUNDED = {"hot.GET_POPULAR": ["Index Only Scan on popularity"]}


async def test_no_statement_walks_a_table(door):
    assert len(STATEMENTS) > 20
    assert await walks(door, STATEMENTS) == BOUNDED


async def test_the_migration_makes_the_tables(settings):
    await migrate.check(settings, SERVICE.migrations, SERVICE.metadata)
