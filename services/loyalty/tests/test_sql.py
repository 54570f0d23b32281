"""Every statement has an index; the tables are what the migrations make."""

from sqlalchemy import text

from services.loyalty.__main__ import SERVICE
from services.loyalty.store import (
    actions,
    adjustments,
    bindings,
    books,
    cards,
    claims,
    closings,
    coupons,
    decisions,
    definitions,
    held,
    holds,
    hot,
    imports,
    journals,
    lots,
    members,
    membership,
    orders,
    products,
    promotion_costs,
    referral_facts,
    referrals,
    reservations,
    seals,
    shoppers,
    standings,
    stocks,
    subscriptions,
    tier_history,
    trail,
    waiting,
)
from services.loyalty.store import statements as sums
from shared import migrate
from shared.testing_sql import plans, statements, walks

STATEMENTS = statements(claims, definitions, journals, lots, members, orders, reservations, seals)
STATEMENTS |= statements(closings, definitions, journals, lots, members, orders, reservations)
STATEMENTS |= statements(seals, trail)
STATEMENTS |= statements(actions, decisions, products, shoppers, standings, tier_history)
STATEMENTS |= statements(definitions, journals, lots, members, orders, reservations, seals)
STATEMENTS |= statements(decisions, products, shoppers, standings, tier_history)
STATEMENTS |= statements(bindings, cards, membership, subscriptions, waiting)
STATEMENTS |= statements(coupons, referral_facts, referrals, stocks)
STATEMENTS |= statements(adjustments, held, holds, imports, promotion_costs)
STATEMENTS |= {
    "bindings.FIND_HOT": text(bindings.FIND_HOT),
    "bindings.ADD_HOT": text(bindings.ADD_HOT),
    "hot.GET_BALANCE": text(hot.GET_BALANCE),
    "standings.LOAD": text(standings.LOAD),
    "hot.GET_OWN_BALANCE": text(hot.GET_OWN_BALANCE),
}
# The first entries of an index, and no more.
BOUNDED = {
    "services.loyalty.store.closings.GET_LAST_MONTH": ["Index Only Scan on closing"],
    "services.loyalty.store.definitions.GET_LAST": ["Index Only Scan on definition"],
    "services.loyalty.store.definitions.LIST_ALL": ["Index Scan on definition"],  # few, and kept
    "services.loyalty.store.referral_facts.LIST_DUE": ["Index Scan on referral_due"],
    "services.loyalty.store.seals.GET_LAST": ["Index Scan on seal"],
    "services.loyalty.store.seals.TAKE_UNSEALED": ["Index Only Scan on unsealed"],
}
# Sums over the whole ledger read the whole ledger.
BOOKS = {
    name: text(getattr(module, name).replace(":", r"\:"))
    for module, names in {
        books: ("SUM_POSTINGS", "SUM_BALANCES", "COMPARE", "SUM_LOTS", "COMPARE_LOTS"),
        sums: ("SUM_BEFORE", "SUM_LOTS", "SUM_EXPIRING"),
    }.items()
    for name in names
}
# Sums over a month read the month.
MONTHLY = {
    name: text(getattr(sums, name).replace(":", r"\:"))
    for name in ("SUM_FLOWS", "SUM_RULES", "SUM_TIERS", "COUNT_JOURNALS", "SUM_PROMOTIONS")
}


async def test_no_statement_walks_a_table(door):
    assert len(STATEMENTS) > 10
    assert await walks(door, STATEMENTS | MONTHLY) == BOUNDED


async def test_the_books_are_right_sql(door):
    assert (await plans(door, BOOKS)).keys() == BOOKS.keys()


async def test_the_tables_are_what_the_migrations_make(door):
    await migrate.check(door.world.settings, SERVICE.migrations, SERVICE.metadata)
