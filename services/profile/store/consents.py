"""The present answers about consent. Their customer's profile row is the lock."""

from collections.abc import Collection
from dataclasses import fields

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.profile.consent import Answer, Key
from shared import db

FIELDS = [field.name for field in fields(Answer)]

LIST_ANSWERS = text("""
    SELECT customer_id, purpose, channel, state, version, text_version, origin, at, time, source, id
    FROM consent
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY customer_id, purpose, channel
""")

SAVE_ANSWERS = text("""
    INSERT INTO consent (
        customer_id, purpose, channel, state, version, text_version, origin, at, time, source, id
    )
    SELECT * FROM unnest(
        CAST(:customer_id AS text[]), CAST(:purpose AS text[]), CAST(:channel AS text[]),
        CAST(:state AS text[]), CAST(:version AS bigint[]), CAST(:text_version AS text[]),
        CAST(:origin AS text[]), CAST(:at AS timestamptz[]), CAST(:time AS timestamptz[]),
        CAST(:source AS text[]), CAST(:id AS text[])
    )
    ON CONFLICT (customer_id, purpose, channel) DO UPDATE
    SET state = excluded.state, version = excluded.version, text_version = excluded.text_version,
        origin = excluded.origin, at = excluded.at, time = excluded.time,
        source = excluded.source, id = excluded.id
""")


async def load(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[Key, Answer]:
    rows = await db.fetch(conn, LIST_ANSWERS, Answer, customer_ids=sorted(customer_ids))
    return {row.key: row for row in rows}


async def save(conn: AsyncConnection, answers: Collection[Answer]) -> None:
    columns = {name: [getattr(answer, name) for answer in answers] for name in FIELDS}
    await conn.execute(SAVE_ANSWERS, columns)
