"""Every statement has an index; the tables are what the migrations make."""

from sqlalchemy import text

from services.loyalty.__main__ import SERVICE
from services.loyalty.store import (
    actions,
    adjustments,
    books,
    decisions,
    definitions,
    held,
    holds,
    hot,
    imports,
    journals,
    lots,
    members,
    orders,
    products,
    reservations,
    seals,
    shoppers,
    standings,
    tier_history,
)
from shared import migrate
from shared.testing_sql import plans, statements, walks

STATEMENTS = statements(definitions, journals, lots, members, orders, reservations, seals)
STATEMENTS |= statements(actions, decisions, products, shoppers, standings, tier_history)
STATEMENTS |= statements(adjustments, held, holds, imports)
STATEMENTS |= {
    "hot.GET_BALANCE": text(hot.GET_BALANCE),
    "standings.LOAD": text(standings.LOAD),
    "hot.GET_OWN_BALANCE": text(hot.GET_OWN_BALANCE),
}
# The first entries of an index, and no more.
BOUNDED = {
    "services.loyalty.store.definitions.GET_LAST": ["Index Only Scan on definition"],
    "services.loyalty.store.definitions.LIST_ALL": ["Index Scan on definition"],  # few, and kept
    "services.loyalty.store.seals.GET_LAST": ["Index Scan on seal"],
    "services.loyalty.store.seals.TAKE_UNSEALED": ["Index Only Scan on unsealed"],
}
# Sums over the whole ledger read the whole ledger.
BOOKS = {
    name: text(getattr(books, name).replace(":", r"\:"))
    for name in ("SUM_POSTINGS", "SUM_BALANCES", "COMPARE")
}


async def test_no_statement_walks_a_table(door):
    assert len(STATEMENTS) > 10
    assert await walks(door, STATEMENTS) == BOUNDED


async def test_the_books_are_right_sql(door):
    assert (await plans(door, BOOKS)).keys() == BOOKS.keys()


async def test_the_tables_are_what_the_migrations_make(door):
    await migrate.check(door.world.settings, SERVICE.migrations, SERVICE.metadata)
