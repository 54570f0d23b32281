"""Events that could not be handled, kept with their exact bytes and the reason.

A dead letter is a row of the service's own database, committed with the fence, so it is
there exactly once. It does not claim its event's id: after a fix it is replayed through
the same handler, and has its effect then. States:

    open      waits for a fix, then `replay` or `drop`
    waiting   a later event of a quarantined key: it goes when those before it have gone
    replayed  its effect has happened
    dropped   somebody decided that it shall have none

Reasons carry field names and error classes, never values: values are personal data.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.errors import Reject
from shared.events.envelope import Event
from shared.message import Message

REASON_CHARS_MAX = 500

BURY = text("""
    INSERT INTO dead_letter (direction, consumer, topic, partition, log_offset, key, value,
        headers, appended_at, event_source, event_id, reason, state)
    VALUES ('in', :consumer, :topic, :partition, :log_offset, :key, :value,
        CAST(:headers AS jsonb), :appended_at, :event_source, :event_id, :reason, :state)
""")
# Shared by workers, exclusive in a replay: so no event slips in behind the last letter.
GUARD_SHARED = text("SELECT pg_advisory_xact_lock_shared(hashtext('quarantine'), hashtext(:c))")
GUARD = text("SELECT pg_advisory_xact_lock(hashtext('quarantine'), hashtext(:c))")
BLOCKED = text("""
    SELECT DISTINCT key FROM dead_letter
    WHERE consumer = :consumer AND key = ANY(CAST(:keys AS bytea[]))
        AND state IN ('open', 'waiting') AND direction = 'in'
""")
LIST = text("""
    SELECT id, direction, topic, partition, log_offset, state, reason, buried_at
    FROM dead_letter
    WHERE consumer = :consumer AND state IN ('open', 'waiting') AND id > :after
    ORDER BY id LIMIT :letters_max
""")
GET = text("""
    SELECT id, direction, topic, partition, log_offset, key, value, headers, appended_at, state,
        reason, event_source, event_id
    FROM dead_letter WHERE id = :id
""")
# A letter never overtakes an older one of its key.
NEXT = text("""
    SELECT id, direction, topic, partition, log_offset, key, value, headers, appended_at, state,
        reason, event_source, event_id
    FROM dead_letter
    WHERE consumer = :consumer AND state IN ('open', 'waiting')
        AND key IS NOT DISTINCT FROM CAST(:key AS bytea)
    ORDER BY id LIMIT 1
    FOR UPDATE
""")
KEYS = text("""
    SELECT key FROM dead_letter
    WHERE consumer = :consumer AND state IN ('open', 'waiting')
    GROUP BY key ORDER BY min(id)
""")
SETTLE = text("""
    UPDATE dead_letter SET state = :state, settled_at = now()
    WHERE id = :id AND state IN ('open', 'waiting')
""")
BLAME = text("UPDATE dead_letter SET state = 'open', reason = :reason WHERE id = :id")
COUNT = text("""
    SELECT count(*) FROM dead_letter WHERE consumer = :consumer AND state IN ('open', 'waiting')
""")


@dataclass(frozen=True, slots=True)
class Dead:
    """What a batch decided to bury."""

    message: Message
    reason: str
    event: Event | None = None
    state: Literal["open", "waiting"] = "open"


@dataclass(frozen=True, slots=True)
class Listed:
    id: int
    direction: str
    topic: str
    partition: int
    offset: int
    state: str
    reason: str
    buried_at: datetime


@dataclass(frozen=True, slots=True)
class Letter:
    """One stored letter, with its exact bytes."""

    id: int
    direction: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[list[str]]
    appended_at: datetime | None
    state: str
    reason: str
    event_source: str | None
    event_id: str | None

    def message(self) -> Message:
        """The record as it came from Kafka."""
        stamp = int(self.appended_at.timestamp() * 1000) if self.appended_at else 0
        headers = tuple((name, b64decode(value)) for name, value in self.headers)
        return Message(
            self.topic, self.partition, self.offset, stamp, self.key, self.value, headers
        )


def describe(error: BaseException) -> str:
    """An error without its values: a Reject's own words, else class, SQLSTATE, and our line."""
    if isinstance(error, Reject):
        return f"Reject: {error}"[:REASON_CHARS_MAX]
    state = db.sqlstate(error)
    frame = error.__traceback__
    where = ""
    while frame:
        code = frame.tb_frame.f_code
        if "site-packages" not in code.co_filename:
            where = f" at {code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno} {code.co_name}"
        frame = frame.tb_next
    return f"{type(error).__name__}{f' [{state}]' if state else ''}{where}"[:REASON_CHARS_MAX]


async def bury(conn: AsyncConnection, consumer: str, letters: Sequence[Dead]) -> None:
    await conn.execute(BURY, [_row(consumer, dead) for dead in letters])


async def blocked(conn: AsyncConnection, consumer: str, keys: Collection[bytes]) -> set[bytes]:
    """Of these keys, those with letters that are not settled."""
    await conn.execute(GUARD_SHARED, {"c": consumer})
    rows = await conn.execute(BLOCKED, {"consumer": consumer, "keys": list(keys)})
    return set(rows.scalars())


async def list_open(conn: AsyncConnection, consumer: str, after: int, count: int) -> list[Listed]:
    """The next `count` open or waiting letters after the id `after`, oldest first."""
    return await db.fetch(conn, LIST, Listed, consumer=consumer, after=after, letters_max=count)


async def get(conn: AsyncConnection, letter_id: int) -> Letter | None:
    return await db.fetch_one(conn, GET, Letter, id=letter_id)


async def open_keys(conn: AsyncConnection, consumer: str) -> list[bytes | None]:
    return list((await conn.execute(KEYS, {"consumer": consumer})).scalars())


async def take(conn: AsyncConnection, consumer: str, key: bytes | None) -> Letter | None:
    """The oldest unsettled letter of a key, with workers kept from adding to it."""
    await conn.execute(GUARD, {"c": consumer})
    return await db.fetch_one(conn, NEXT, Letter, consumer=consumer, key=key)


async def settle(conn: AsyncConnection, letter_id: int, state: str) -> bool:
    return (await conn.execute(SETTLE, {"id": letter_id, "state": state})).rowcount == 1


async def blame(conn: AsyncConnection, letter_id: int, reason: str) -> None:
    await conn.execute(BLAME, {"id": letter_id, "reason": reason[:REASON_CHARS_MAX]})


async def count_open(conn: AsyncConnection, consumer: str) -> int:
    count: int = (await conn.execute(COUNT, {"consumer": consumer})).scalar_one()
    return count


def _row(consumer: str, dead: Dead) -> dict[str, Any]:
    message = dead.message
    return {
        "consumer": consumer,
        "topic": message.topic,
        "partition": message.partition,
        "log_offset": message.offset,
        "key": message.key,
        "value": message.value,
        "headers": json.dumps([[n, b64encode(v or b"").decode()] for n, v in message.headers]),
        "appended_at": datetime.fromtimestamp(message.timestamp_ms / 1000, UTC),
        "event_source": dead.event.source if dead.event else _header(message, "ce_source"),
        "event_id": dead.event.id if dead.event else _header(message, "ce_id"),
        "reason": dead.reason[:REASON_CHARS_MAX],
        "state": dead.state,
    }


def _header(message: Message, name: str) -> str | None:
    value = next((value for header, value in message.headers if header == name), None)
    return value.decode("utf-8", "replace")[:500].replace("\0", "") if value else None
