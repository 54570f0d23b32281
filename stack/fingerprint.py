"""One hash for the business state of each service, so that two runs can be compared.

It covers every row of the services' own tables, in no order: equal hashes are equal states,
row for row. Left out is what rightly differs from run to run: the backbone's bookkeeping,
times at which something was recorded, places in the log, ids that are drawn at random
(an account is named by its customer instead), models that a job builds when it can, and how
far a job has come. Of a closed month it covers the statement, by its digest, and not who closed
it, when, after how many drafts and at which block of the chain.
"""

import json
from collections.abc import Mapping
from hashlib import sha256

import asyncpg

BACKBONE = (
    *("alembic_version", "audit", "breaker", "consumer_offset", "dead_letter", "inbox", "job"),
    *("outbox", "stored_answer", "unknown_type"),
    "tombstone",  # its digests are made with the secret of the folder
)
MODELS = ("also_bought",)
SWEPT = ("sweep",)  # how far a job has come
CHAIN = ("seal", "unsealed")  # over what was recorded, when and in what order of commits
DRAFTS = ("closing_draft",)  # a closing that was cut off leaves one; `closing` has the digest
DIFFERING = (
    *("created_at", "recorded_at", "updated_at", "joined_at", "decided_at", "settled_at"),
    *("due_at", "built_at", "stale_since"),
    *("cause_partition", "cause_offset"),
    "account_id",
    "created_by",  # the folder's admin key
    *("draft", "block", "head", "approved_at", "approved_by"),  # of a closing
    "seq",  # numbers go by the order of commits
    "changes",  # recommend's count of changed baskets: two changes in one batch are one
)

TABLES = """
    SELECT relname::text AS name,
        EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = pg_class.oid AND attname = 'account_id' AND relname <> 'member'
        ) AS has_account
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND NOT relname = ANY($1::text[])
    ORDER BY relname
"""
DIGEST = """
    SELECT count(*), coalesce(md5(string_agg(digest, '' ORDER BY digest)), '')
    FROM (SELECT md5(({row} - $1::text[])::text) AS digest FROM "{table}" AS t {join}) AS rows
"""


async def of_database(conn: asyncpg.Connection) -> dict[str, tuple[int, str]]:
    """Rows and hash of each business table."""
    found = {}
    for name, has_account in await conn.fetch(
        TABLES, [*BACKBONE, *MODELS, *SWEPT, *CHAIN, *DRAFTS]
    ):
        row, join = "to_jsonb(t)", ""
        if has_account:
            row = "(to_jsonb(t) || jsonb_build_object('account_of', m.customer_id))"
            join = "LEFT JOIN member AS m ON m.account_id = t.account_id"
        statement = DIGEST.format(row=row, table=name, join=join)
        found[name] = tuple(await conn.fetchrow(statement, list(DIFFERING)))
    return found


async def of_databases(
    databases: Mapping[str, asyncpg.Connection],
) -> dict[str, dict[str, tuple[int, str]]]:
    """By service and table."""
    return {service: await of_database(conn) for service, conn in databases.items()}


def in_one(found: Mapping[str, Mapping[str, tuple[int, str]]]) -> str:
    """One hash of it all."""
    return sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:32]
