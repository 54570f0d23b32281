"""Every statement has an index; the tables are what the migrations make."""

from sqlalchemy import text

from services.profile.__main__ import SERVICE
from services.profile.store import (
    caused,
    consents,
    erasures,
    hot,
    identity,
    orders,
    profiles,
    reports,
    timeline,
)
from shared import migrate
from shared.testing_sql import plans, statements, walks

STATEMENTS = statements(caused, consents, erasures, identity, orders, profiles, timeline)
STATEMENTS |= {"hot.GET_PERSON": text(hot.GET_PERSON), "hot.GET_OWN": text(hot.GET_OWN)}
REPORTS = statements(reports)  # sums over everybody read everything


async def test_no_statement_walks_a_table(door):
    assert len(STATEMENTS) > 20
    assert await walks(door, STATEMENTS) == {}


async def test_the_reports_are_right_sql(door):
    assert (await plans(door, REPORTS)).keys() == REPORTS.keys()


async def test_the_tables_are_what_the_migrations_make(door):
    await migrate.check(door.world.settings, SERVICE.migrations, SERVICE.metadata)
