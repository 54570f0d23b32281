"""For every service's tests/test_sql.py: which statements would walk a whole table or index.

    async def test_no_statement_walks_a_table(door):
        assert await walks(door, statements(store.accounts, store.lots)) == {}

The plan is the generic one, without sequential scans and without joins that read a table
whole, over tables of which nothing is known: it shows whether an index *can* serve, not
what a planner would choose today. What earlier tests left would be known, a table's pages
by its file and its values by autovacuum: both are taken away first, until the rollback.
An index that is read without a condition is a walk too: that is what hides behind ORDER BY.
"""

import json
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from shared.testing import Door

PARAMETERS = (
    "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'explained'"
)
LIST_TABLES = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""
FORGET_STATISTICS = """
    SELECT pg_clear_relation_stats('public', relname::text)
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'i', 'I')
"""
FORGET_VALUES = """
    SELECT pg_clear_attribute_stats('public', tablename::text, attname::text, inherited)
    FROM pg_stats
    WHERE schemaname = 'public'
"""
PLAN_FOR_LARGE_TABLES = """
    SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off; SET LOCAL plan_cache_mode = force_generic_plan;
"""
BITMAPS_ONLY = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off"
INDEX_READS = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}


def statements(*modules: ModuleType) -> dict[str, TextClause]:
    """Every statement of these modules, by module and name; those in dicts too."""
    found: dict[str, TextClause] = {}
    for module in modules:
        for name, value in vars(module).items():
            many = value if isinstance(value, dict) else {"": value}
            for key, statement in many.items():
                if isinstance(statement, TextClause):
                    found[f"{module.__name__}.{name}{f'[{key}]' if key else ''}"] = statement
    return found


async def plans(
    door: Door, found: Mapping[str, TextClause], settings: str = ""
) -> dict[str, dict[str, Any]]:
    """The generic plans; raises what PostgreSQL says of a statement that is wrong.

    In one transaction, whose locks keep autovacuum away from the tables.
    """
    owner = await asyncpg.connect(str(door.world.settings.owner_database_url))
    transaction = owner.transaction()
    await transaction.start()
    try:
        tables = [row[0] for row in await owner.fetch(LIST_TABLES)]
        await owner.execute(f"TRUNCATE {', '.join(tables)}")
        await owner.execute(FORGET_STATISTICS)
        await owner.execute(FORGET_VALUES)
        await owner.execute(PLAN_FOR_LARGE_TABLES + settings)
        return {name: await _plan(owner, statement) for name, statement in found.items()}
    finally:
        await transaction.rollback()
        await owner.close()


async def _plan(owner: asyncpg.Connection, statement: TextClause) -> dict[str, Any]:
    sql = str(statement.compile(dialect=dialect()))  # type: ignore[no-untyped-call]  # no types
    await owner.execute(f"PREPARE explained AS {sql}")
    nulls = ", ".join(["NULL"] * await owner.fetchval(PARAMETERS))
    execute = f"EXECUTE explained({nulls})" if nulls else "EXECUTE explained"
    [plan] = json.loads(await owner.fetchval(f"EXPLAIN (FORMAT JSON) {execute}"))
    await owner.execute("DEALLOCATE explained")
    top: dict[str, Any] = plan["Plan"]
    return top


async def walks(door: Door, found: Mapping[str, TextClause]) -> dict[str, list[str]]:
    """The statements that read something from end to end, and what: `Seq Scan on notice`, ...

    Between an index in the order asked for and one by the condition, with a sort, the planner
    has no ground to choose over empty tables. So a statement walks if it does so with index
    scans, and with bitmap scans only, which always have a condition.
    """
    by_index, by_bitmap = await plans(door, found), await plans(door, found, BITMAPS_ONLY)
    return {
        name: walked
        for name in found
        if (walked := _walked(by_index[name])) and _walked(by_bitmap[name])
    }


def _walked(plan: dict[str, Any]) -> list[str]:
    return [
        f"{node['Node Type']} on {node.get('Relation Name') or node.get('Index Name')}"
        for node in _nodes(plan)
        if node["Node Type"] == "Seq Scan"
        or (node["Node Type"] in INDEX_READS and "Index Cond" not in node)
    ]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
