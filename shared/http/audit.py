"""Who changed or read whose data: an append-only table, which the service may not rewrite.

A change's row commits with the change. Reads of personal data by server keys are gathered
in memory and written every second and at shutdown, so that a hot GET pays a list's append:
kill -9 loses at most the last second of *read* records, never one of a change. While the
database is away they wait; when READS_MAX wait, reads are refused rather than unrecorded.
What a storefront's customer reads of his own is not recorded.

`detail` holds no personal data: the subject's id is all that names him. A read that is
written after the subject's erasure is written under his mark, whenever it was asked for:
an id that is erased does not come back by somebody's asking for it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from fastapi import Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.types import Scope

from shared import db
from shared.erasure import SHARE_AUDIT, Tombstones
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

FLUSH_EVERY_S = 1.0
FLUSH_ROWS_MAX = 5_000
READS_MAX = 100_000
SUBJECT_LENGTH_MAX = 200  # a longer one is no customer's id, but was asked for

RECORD = text("""
    INSERT INTO audit (at, caller, action, subject, request_id, detail)
    SELECT * FROM unnest(
        CAST(:at AS timestamptz[]), CAST(:callers AS text[]), CAST(:actions AS text[]),
        CAST(:subjects AS text[]), CAST(:request_ids AS text[]), CAST(:details AS jsonb[])
    )
""")

# A change's row, written in one statement with its answer (`once.py`).
RECORD_ONE = """
    INSERT INTO audit (caller, action, subject, request_id, detail)
    VALUES (:audit_caller, :audit_action, :audit_subject, :audit_request_id,
            CAST(:audit_detail AS jsonb))
"""

Row = tuple[datetime, str, str, str | None, str, str]


async def record(
    conn: AsyncConnection,
    caller: str,
    action: str,
    *,
    subject: str | None = None,
    request_id: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """One change, in its transaction; `caller` is a Caller's id, or a command's `cli:<user>`."""
    row = (datetime.now(UTC), caller, action, subject, request_id, json.dumps(detail or {}))
    await _insert(conn, [row])


def change(
    request: Request, *, subject: str | None = None, detail: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What RECORD_ONE binds: the change that `request` asks for."""
    return {
        "audit_caller": caller_id(request.scope),
        "audit_action": action_of(request.scope),
        "audit_subject": subject,
        "audit_request_id": request.scope["request_id"],
        "audit_detail": json.dumps(detail or {}),
    }


async def write(
    conn: AsyncConnection,
    request: Request,
    *,
    subject: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """The change that `request` asks for, in its transaction; of `once`, it is done there."""
    await conn.execute(text(RECORD_ONE), change(request, subject=subject, detail=detail))


def read(scope: Scope, subject: str | None) -> None:
    """A read of personal data, for the next flush. `subject` None: of many, or unknown."""
    reads: Reads = scope["app"].state.reads
    clean = subject[:SUBJECT_LENGTH_MAX] if subject else None
    who, what = caller_id(scope), action_of(scope)
    reads.add((datetime.now(UTC), who, what, clean, scope["request_id"], "{}"))


def action_of(scope: Scope) -> str:
    """Such as `GET /v1/profiles/{customer_id}`."""
    return f"{scope['method']} {scope['route'].path_format}"


def caller_id(scope: Scope) -> str:
    """A key's id; of a storefront no more than that, for its customer is the subject."""
    caller = scope["caller"]
    return caller.id if caller and caller.kind == "key" else "storefront" if caller else "public"


class Reads:
    """The reads not yet written."""

    def __init__(self, engine: AsyncEngine, tombstones: Tombstones) -> None:
        self._engine = engine
        self._tombstones = tombstones
        self._waiting: list[Row] = []

    def add(self, row: Row) -> None:
        if len(self._waiting) >= READS_MAX:
            raise Unavailable("reads cannot be recorded now", headers={"Retry-After": "5"})
        self._waiting.append(row)

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Flush every second, and once more at the end."""
        ending = asyncio.Event()

        async def run() -> None:
            while not ending.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(ending.wait(), FLUSH_EVERY_S)
                await self.flush()

        task = asyncio.create_task(run())
        try:
            yield
        finally:
            ending.set()
            await task

    async def flush(self) -> None:
        """Write what waits; after a failure that will pass, it waits on."""
        left = len(self._waiting)  # what comes meanwhile is for the next flush, or none would end
        while left > 0:
            rows = self._waiting[: min(left, FLUSH_ROWS_MAX)]
            try:
                async with self._engine.begin() as conn:
                    await _insert(conn, await self._masked(conn, rows))
            except Exception as error:
                log.exception("audit of reads cannot be written", rows=len(rows))
                if db.is_transient(error):
                    return
            del self._waiting[: len(rows)]
            left -= len(rows)

    async def _masked(self, conn: AsyncConnection, rows: list[Row]) -> list[Row]:
        """The rows, with the erased among their subjects named by their marks."""
        await conn.execute(SHARE_AUDIT)
        erased = await self._tombstones.find(conn, {row[3] for row in rows if row[3]})
        return [
            (*row[:3], self._tombstones.mark(row[3]), *row[4:]) if row[3] in erased else row
            for row in rows
        ]


async def _insert(conn: AsyncConnection, rows: list[Row]) -> None:
    names = ("at", "callers", "actions", "subjects", "request_ids", "details")
    await conn.execute(RECORD, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
