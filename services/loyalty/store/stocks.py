"""What is left of rewards, and the shop's own codes: rows that all members share.

They come last in a transaction, in the order of the rewards' ids, so who takes the last
piece makes others wait no longer than his commit takes.
"""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

LIST_ISSUED = text("""
    SELECT reward_id, issued FROM reward_stock WHERE reward_id = ANY(CAST(:reward_ids AS text[]))
""")
ADD_MISSING = text("""
    INSERT INTO reward_stock (reward_id, issued)
    SELECT id, 0 FROM unnest(CAST(:reward_ids AS text[])) AS wanted (id)
    WHERE NOT EXISTS (SELECT FROM reward_stock WHERE reward_id = wanted.id)
    ORDER BY id
    ON CONFLICT (reward_id) DO NOTHING
""")
LOCK = text("""
    SELECT reward_id, issued FROM reward_stock
    WHERE reward_id = ANY(CAST(:reward_ids AS text[]))
    ORDER BY reward_id
    FOR UPDATE
""")
MOVE = text("""
    UPDATE reward_stock SET issued = reward_stock.issued + new.count
    FROM unnest(CAST(:reward_ids AS text[]), CAST(:counts AS bigint[])) AS new (reward_id, count)
    WHERE reward_stock.reward_id = new.reward_id
""")
GIVE_BACK = text("""
    UPDATE reward_stock SET issued = issued - 1 WHERE reward_id = :reward_id AND issued > 0
""")

LIST_POOLS = text("""
    SELECT wanted.id
    FROM unnest(CAST(:reward_ids AS text[])) AS wanted (id)
    WHERE EXISTS (SELECT FROM code_pool WHERE reward_id = wanted.id AND code IS NOT NULL)
""")
COUNT_FREE = text("""
    SELECT count(*) FROM code_pool WHERE reward_id = :reward_id AND code IS NOT NULL
""")
# Others' codes are stepped over, not waited for. RETURNING the code as it was before.
TAKE_CODES = text("""
    WITH free AS (
        SELECT digest, code FROM code_pool
        WHERE reward_id = :reward_id AND code IS NOT NULL
        ORDER BY digest
        LIMIT :codes_max
        FOR UPDATE SKIP LOCKED
    )
    UPDATE code_pool SET code = NULL FROM free
    WHERE code_pool.digest = free.digest
    RETURNING free.code
""")
# One upload at a time, so that what is not there when it is looked for is not there when it is
# copied: COPY knows no ON CONFLICT.
LOCK_POOLS = text("SELECT pg_advisory_xact_lock(hashtext('loyalty code pools'))")
LIST_KNOWN = text("""
    SELECT digest FROM code_pool WHERE digest = ANY(CAST(:digests AS bytea[]))
    UNION ALL
    SELECT digest FROM coupon WHERE digest = ANY(CAST(:digests AS bytea[]))
""")
POOLED = ("digest", "reward_id", "code")


async def list_issued(conn: AsyncConnection, reward_ids: Iterable[str]) -> dict[str, int]:
    """How many of each have been issued, of those with a stock."""
    rows = await conn.execute(LIST_ISSUED, {"reward_ids": sorted(set(reward_ids))})
    return dict(map(tuple, rows))


async def take(
    conn: AsyncConnection, wanted: Mapping[str, int], stocks: Mapping[str, int]
) -> dict[str, int]:
    """Take up to so many of each reward out of its stock; how many there were to take."""
    ids = sorted(wanted)
    if not ids:
        return {}
    await conn.execute(ADD_MISSING, {"reward_ids": ids})
    rows = await conn.execute(LOCK, {"reward_ids": ids})
    issued: dict[str, int] = dict(map(tuple, rows))
    taken = {id_: max(0, min(wanted[id_], stocks[id_] - issued[id_])) for id_ in ids}
    await conn.execute(MOVE, {"reward_ids": ids, "counts": [taken[id_] for id_ in ids]})
    return taken


async def give_back(conn: AsyncConnection, reward_id: str) -> None:
    """One piece is there again."""
    await conn.execute(GIVE_BACK, {"reward_id": reward_id})


async def list_filled(conn: AsyncConnection, reward_ids: Iterable[str]) -> set[str]:
    """The rewards whose pools hold a code."""
    rows = await conn.execute(LIST_POOLS, {"reward_ids": sorted(set(reward_ids))})
    return set(rows.scalars())


async def count_free(conn: AsyncConnection, reward_id: str) -> int:
    """Codes of a pool that are still to be had: reads them all."""
    found: int = (await conn.execute(COUNT_FREE, {"reward_id": reward_id})).scalar_one()
    return found


async def take_codes(conn: AsyncConnection, reward_id: str, count: int) -> list[str]:
    """Up to so many codes out of the pool."""
    taken = await conn.execute(TAKE_CODES, {"reward_id": reward_id, "codes_max": count})
    return list(taken.scalars())


async def lock_pools(conn: AsyncConnection) -> None:
    await conn.execute(LOCK_POOLS)


async def list_known(conn: AsyncConnection, digests: Collection[bytes]) -> set[bytes]:
    """Those of these codes that are or were in a pool, or are a coupon's."""
    rows = await conn.execute(LIST_KNOWN, {"digests": list(digests)})
    return set(rows.scalars())


async def fill(conn: AsyncConnection, reward_id: str, codes: Mapping[bytes, str]) -> None:
    """Add codes by digest, none of which is known."""
    rows = ((digest, reward_id, code) for digest, code in codes.items())
    await db.copy_rows(conn, "code_pool", POOLED, rows)
