"""Erased is erased: what every service does when profile asks it to forget a person.

A tombstone, an HMAC of the id under a mounted secret, takes the place of the id. The claim
step of every consumer skips and counts events of an erased id up to the time of the
erasure, so a replay of the log brings nobody back; what happens to the same id later
begins a new person. The backbone's own tables are cleared by one function here, the
service's by its `erase`, in one transaction with the receipt `erasure.completed`.

A receipt says what is gone now, and what is *gone by* a date: records in topics with
their retention, backups with theirs.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import aliases, metrics, outbox
from shared.errors import Fatal
from shared.events import codec
from shared.events.envelope import CustomerFact, Event
from shared.events.erasures import ErasureCompleted
from shared.events.profiles import ErasureRequested
from shared.events.registry import KEY_NAMES

TOPICS_GONE_AFTER = timedelta(days=30)  # no topic with personal data is kept longer
BACKUPS_GONE_AFTER = timedelta(days=35)  # docs/runbook.md: how long backups are kept
SECRET_BYTES_MIN = 32
DIGESTS_KEPT = 20_000  # 4 MB: those who shop now

ADD_TOMBSTONES = text("""
    INSERT INTO tombstone (digest, erased_until, request_id)
    SELECT * FROM unnest(
        CAST(:digests AS bytea[]), CAST(:untils AS timestamptz[]), CAST(:requests AS text[])
    )
    ON CONFLICT (digest) DO UPDATE
    SET erased_until = greatest(tombstone.erased_until, excluded.erased_until)
""")
FIND_TOMBSTONES = text("""
    SELECT digest, erased_until FROM tombstone WHERE digest = ANY(CAST(:digests AS bytea[]))
""")
# What waits to be published about the person goes too, but for receipts and the erasure itself,
# and for what follows from newer events: that is of the new person. A key may be a product's.
CLEAR = {
    "outbox": text("""
        DELETE FROM outbox
        WHERE shard = ANY(CAST(:shards AS smallint[])) AND aggregateid = ANY(CAST(:ids AS text[]))
            AND type NOT IN ('erasure.completed', 'erasure.requested')
            AND CAST(time AS timestamptz) <= :until
    """),
    "dead_letter": text("""
        DELETE FROM dead_letter
        WHERE key = ANY(SELECT convert_to(id, 'UTF8') FROM unnest(CAST(:ids AS text[])) AS id)
            AND topic <> ALL(CAST(:others AS text[]))
    """),
    "stored_answer": text("""
        DELETE FROM stored_answer WHERE subject = ANY(CAST(:ids AS text[]))
    """),
}
# Held against the audit's reads, which are written on a connection of their own: what is written
# before it is anonymised here, what is written after it finds the tombstone.
LOCK_AUDIT = text("SELECT pg_advisory_xact_lock(hashtext('erasure'))")
SHARE_AUDIT = text("SELECT pg_advisory_xact_lock_shared(hashtext('erasure'))")
ANONYMISE_AUDIT = text("SELECT forget_audit_subjects(CAST(:ids AS text[]), :mark)")

Erase = Callable[[AsyncConnection, Collection[str]], Awaitable[dict[str, int]]]


class Tombstones:
    """The secret behind the tombstones; the same file for all services."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise Fatal(f"the erasure secret must have at least {SECRET_BYTES_MIN} bytes")
        self._secret = secret
        self.digest = lru_cache(maxsize=DIGESTS_KEPT)(self._digest)

    @classmethod
    def read(cls, path: Path | None) -> "Tombstones":
        if path is None:
            raise Fatal("set REGULARS_ERASURE_SECRET_FILE to a file with 32 or more random bytes")
        try:
            return cls(path.read_bytes().strip())
        except OSError as error:
            raise Fatal(f"REGULARS_ERASURE_SECRET_FILE {path}: {error.strerror}") from error

    def _digest(self, customer_id: str) -> bytes:
        return hmac.digest(self._secret, customer_id.encode(), hashlib.sha256)

    def mark(self, customer_id: str) -> str:
        """What stands in the audit log in place of an erased id."""
        return f"erased:{self.digest(customer_id).hex()[:16]}"

    async def find(
        self, conn: AsyncConnection, customer_ids: Collection[str]
    ) -> dict[str, datetime]:
        """Of these ids, the erased ones, and until when their events are skipped."""
        by_digest = {self.digest(customer_id): customer_id for customer_id in customer_ids}
        rows = await conn.execute(FIND_TOMBSTONES, {"digests": list(by_digest)})
        return {by_digest[digest]: until for digest, until in rows}

    async def alive(self, conn: AsyncConnection, events: Sequence[Event]) -> list[Event]:
        """What is left to handle: nothing that names an erased id up to its erasure but receipts.

        Requests for erasure are settled before, by `settle`. Only events about customers can
        be of an erased one: a product may well have his id.
        """
        told = [(e, _named(e)) for e in events if not isinstance(e.data, ErasureRequested)]
        erased = await self.find(conn, {id_ for _, ids in told for id_ in ids})
        if not erased:
            return [event for event, _ in told]
        return [
            event
            for event, ids in told
            if not any(id_ in erased and event.time <= erased[id_] for id_ in ids)
            or isinstance(event.data, ErasureCompleted)
        ]

    async def settle(
        self, conn: AsyncConnection, service: str, events: Sequence[Event], erase: Erase
    ) -> None:
        """Carry out the erasures among `events`, before the other events are handled."""
        for event in events:
            if isinstance(event.data, ErasureRequested):
                await self._erase(conn, service, event, erase)

    async def _erase(self, conn: AsyncConnection, service: str, event: Event, erase: Erase) -> None:
        # Each member's own copy of the request erases that member: under its key, in its order.
        request: ErasureRequested = event.data
        ids, digest = [request.customer_id], self.digest(request.customer_id)
        await conn.execute(
            ADD_TOMBSTONES,
            {
                "digests": [digest],
                "untils": [request.erased_until],
                "requests": [request.request_id],
            },
        )
        erased = await erase(conn, ids) | await _clear(conn, request)
        await conn.execute(LOCK_AUDIT)
        await conn.execute(ANONYMISE_AUDIT, {"ids": ids, "mark": self.mark(request.customer_id)})
        await aliases.forget(conn, ids)
        metrics.ERASED.inc()
        receipt = ErasureCompleted(
            customer_id=request.customer_id,
            service=service,
            request_id=request.request_id,
            erased={name: count for name, count in erased.items() if count},
            gone_by={
                "topics": event.time + TOPICS_GONE_AFTER,
                "backups": event.time + BACKUPS_GONE_AFTER,
            },
        )
        source = f"regulars/{service}"
        name = f"erasure/{service}"
        follows = codec.follow(event, name, "erasure.completed", receipt, source=source)
        await outbox.enqueue(conn, [follows])


async def _clear(conn: AsyncConnection, request: ErasureRequested) -> dict[str, int]:
    """Rows gone from the backbone's tables."""
    bound: dict[str, dict[str, Any]] = {
        "outbox": {
            "shards": [outbox.shard_of(request.customer_id)],
            "until": request.erased_until,
        },
        "dead_letter": {"others": list(KEY_NAMES)},
    }
    ids = {"ids": [request.customer_id]}
    return {
        table: (await conn.execute(statement, ids | bound.get(table, {}))).rowcount
        for table, statement in CLEAR.items()
    }


def _named(event: Event) -> tuple[str, ...]:
    """The customers' ids in an event: the visitor's, too, who is found to be a customer, and that
    of who was invited."""
    if event.type == "customer.identified":
        return event.key, event.data.anonymous_id
    if event.type == "referral.invited" and event.data.invited_customer_id:
        return event.key, event.data.invited_customer_id
    return (event.key,) if isinstance(event.data, CustomerFact) else ()
