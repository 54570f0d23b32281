"""One effect and one answer for one Idempotency-Key.

    async with once(request, body) as tx:
        ...                                        # everything with tx.conn
        return tx.answer(View(...), status=201)    # inside: stored with the effect

The transaction commits before the answer leaves. The answer is stored in it, so a caller
that never got it sends the same request again and gets the same answer, marked
`Idempotent-Replayed: true`, with no second effect. A refusal (a 4xx that the route raises)
undoes the work, and is stored in a transaction after it: what was refused stays refused under
its key. 401, 429 and every 5xx are not stored, for they say nothing of the request. If the
caller is gone or the time is up, the transaction has committed or rolled back whole.

A key names one request of one caller. Two at once: one works, the other gets 409 and
Retry-After. The same key with another query or body: 422. Answers are kept for 30 days
(`shared/jobs.py`); what must hold for ever (money) has a business key of its own besides.

Source: draft-ietf-httpapi-idempotency-key-header-07 (the field and its status codes).
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.errors import AppError, BadRequest, Conflict, Unprocessable
from shared.http import audit, problems
from shared.http.auth import caller_of
from shared.http.context import context_of

KEY_FORM = re.compile(r"[!-~]{1,255}")
WAIT, SOON = "wait, then send the same again", {"Retry-After": "1"}
NOT_STORED = {401, 429}  # about the caller's credentials and pace, not about the request

# One round trip. An answer that is committed between the look and the lock is not seen here; it
# is found when this request's own answer is stored, and then nothing of it has happened.
CLAIM = text("""
    SELECT pg_try_advisory_xact_lock(:lock), found.fingerprint, found.status, found.headers,
        found.body
    FROM (VALUES (1)) AS request (n) LEFT JOIN stored_answer AS found
        ON caller = :caller AND method = :method AND path = :path AND key = :key
""")
_STORE = """
    INSERT INTO stored_answer
        (caller, method, path, key, fingerprint, status, headers, body, subject)
    VALUES (:caller, :method, :path, :key, :fingerprint, :status, CAST(:headers AS jsonb), :body,
            :subject)
    ON CONFLICT DO NOTHING
    RETURNING key
"""
STORE_ANSWER = text(_STORE)
# One round trip for both: every write pays it while it holds its customer's lock.
AUDIT_AND_STORE = text(f"WITH recorded AS ({audit.RECORD_ONE}) {_STORE}")


class Replayed(Exception):
    """Not an error: the answer that this request got before."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def replay(_request: Request, error: Exception) -> Response:
    """For Starlette's table of exception handlers."""
    assert isinstance(error, Replayed)
    return error.response


class InProgress(Conflict):
    """A request with this Idempotency-Key is being worked on."""


class KeyReused(Unprocessable):
    """This Idempotency-Key belongs to another request."""


@dataclass(slots=True)
class Tx:
    """The transaction of one write. `subject` and `detail` go into its audit row."""

    conn: AsyncConnection
    subject: str | None
    detail: dict[str, Any] = field(default_factory=dict)
    response: Response | None = None

    def answer(
        self,
        model: BaseModel | None = None,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """The response of this write, now and for every repeat of it."""
        content = model.model_dump_json() if model else b""
        media_type = "application/json" if model else None
        self.response = Response(content, status, headers, media_type)
        return self.response


@asynccontextmanager
async def once(request: Request, body: BaseModel | None = None) -> AsyncIterator[Tx]:
    """A transaction that has one effect for one Idempotency-Key; see the module."""
    names = _names(request)
    fingerprint = _fingerprint(request, body)
    context, caller = context_of(request), caller_of(request)
    tx: Tx | None = None
    try:
        async with context.engine.begin() as conn:
            await _claim(conn, names, fingerprint)
            tx = Tx(conn, request.scope.get("subject") or caller.sub or None)
            yield tx
            assert tx.response, "the route must return tx.answer(...) inside the block"
            row = audit.change(request, subject=tx.subject, detail=tx.detail)
            if not await db.run(conn, AUDIT_AND_STORE, **row, **_answer(tx, names, fingerprint)):
                raise InProgress(WAIT, headers=SOON)
    except AppError as error:
        if tx is None or isinstance(error, InProgress) or not _is_kept(error):
            raise
        tx.response = problems.answer(error)
        async with context.engine.begin() as conn:
            # The key was free for a moment: whoever took it has said what its answer is.
            await _claim(conn, names, fingerprint)
            await db.run(conn, STORE_ANSWER, **_answer(tx, names, fingerprint))
        raise
    if context.bell:
        context.bell.ring()


def _is_kept(refusal: AppError) -> bool:
    return refusal.status < 500 and refusal.status not in NOT_STORED


def _names(request: Request) -> dict[str, str]:
    key = request.headers.get("idempotency-key", "")
    if not KEY_FORM.fullmatch(key):
        raise BadRequest(
            "send an Idempotency-Key header of 1 to 255 visible characters, new for each"
            " request and the same when you repeat one"
        )
    scope = request.scope
    return {
        "caller": caller_of(request).id,
        "method": scope["method"],
        "path": scope["path"],
        "key": key,
    }


def _fingerprint(request: Request, body: BaseModel | None) -> bytes:
    # Only what was sent: a field that a later release adds must not make repeats look new.
    content = body.model_dump_json(exclude_unset=True) if body else ""
    parts = (request.scope["path"].encode(), request.scope["query_string"], content.encode())
    return sha256(b"\0".join(parts)).digest()


async def _claim(conn: AsyncConnection, names: dict[str, str], fingerprint: bytes) -> None:
    """Hold the key until the transaction ends; raises if it is in use or was used."""
    lock = sha256(f"{names['caller']}\0{names['key']}".encode()).digest()[:8]
    [claimed] = await db.run(conn, CLAIM, lock=int.from_bytes(lock, signed=True), **names)
    free, known, status, headers, body = claimed
    if not free:
        raise InProgress(WAIT, headers=SOON)
    if known is None:
        return
    if known != fingerprint:
        raise KeyReused("it came with another query or body before; use a new key")
    response = Response(body, status)
    response.headers.update(headers)
    response.headers["Idempotent-Replayed"] = "true"
    raise Replayed(response)


def _answer(tx: Tx, names: dict[str, str], fingerprint: bytes) -> dict[str, Any]:
    """What STORE_ANSWER binds."""
    assert tx.response
    headers = {k: v for k, v in tx.response.headers.items() if k != "content-length"}
    return {
        **names,
        "fingerprint": fingerprint,
        "status": tx.response.status_code,
        "headers": json.dumps(headers),
        "body": tx.response.body,
        "subject": tx.subject,
    }
