"""For every service's tests/test_sql.py: which statements would walk a whole table or index.

    async def test_no_statement_walks_a_table(door):
        assert await walks(door, statements(store.accounts, store.lots)) == {}

The plan is the generic one, with sequential scans disabled and over tables of which nothing
is known, so it shows whether an index *can* serve, not what a planner would choose today.
Of a table that it knows to be empty, autovacuum having been there, any plan is as good. An
index that is read without a condition is a walk too: that is what hides behind ORDER BY.
"""

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.testing import Door

PARAMETERS = (
    "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'explained'"
)
FORGET_STATISTICS = """
    SELECT pg_clear_relation_stats('public', relname::text)
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'i', 'I')
"""
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


async def explain(engine: AsyncEngine, statement: TextClause) -> dict[str, Any]:
    """The generic plan; raises what PostgreSQL says of a statement that is wrong."""
    sql = str(statement.compile(dialect=dialect()))  # type: ignore[no-untyped-call]  # no types
    async with engine.connect() as conn:
        raw = (await conn.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        await raw.execute(f"PREPARE explained AS {sql}")
        nulls = ", ".join(["NULL"] * await raw.fetchval(PARAMETERS))
        execute = f"EXECUTE explained({nulls})" if nulls else "EXECUTE explained"
        plan = await raw.fetchval(f"EXPLAIN (FORMAT JSON) {execute}")  # JSON, decoded already
        await raw.execute("DEALLOCATE explained; RESET ALL")
    top: dict[str, Any] = plan[0]["Plan"]
    return top


async def walks(door: Door, found: Mapping[str, TextClause]) -> dict[str, list[str]]:
    """The statements that read something from end to end, and what: `Seq Scan on notice`, ..."""
    owner = await asyncpg.connect(str(door.world.settings.owner_database_url))
    await owner.execute(FORGET_STATISTICS)
    await owner.close()
    walked = {name: _walked(await explain(door.engine, found[name])) for name in found}
    return {name: what for name, what in walked.items() if what}


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
