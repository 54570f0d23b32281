"""Reserve and confirm by hand: bare FastAPI and asyncpg, one transaction each.

The same business as ours, statement by statement, as one would write it: the key claimed, the
account's row locked, its lots by date, the member's stays, the programme's version, the
reservation, the open month held, the balance, the lots, the journal with its postings and its
place in the chain, what is told, the audit row, the stored answer. No authentication, no
scopes, no limits, no merged persons, no expiry, no overdue reservations, no comparison of a
repeated request with the first; it trusts its caller.
"""

import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import asyncpg
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel

from shared import outbox

CLAIM = """
    SELECT pg_try_advisory_xact_lock($1), found.body
    FROM (VALUES (1)) AS request (n)
    LEFT JOIN stored_answer AS found
        ON caller = 'bare' AND method = 'POST' AND path = $2 AND key = $3
"""
ANSWER = """
    INSERT INTO stored_answer
        (caller, method, path, key, fingerprint, status, headers, body, subject)
    VALUES ('bare', 'POST', $1, $2, '', $3, '{}', $4, $5)
"""
AUDIT = """
    INSERT INTO audit (caller, action, subject, request_id, detail)
    VALUES ('bare', $1, $2, $3, $4)
"""
STAYS = """
    SELECT s.* FROM member AS m JOIN membership AS s USING (account_id) WHERE m.customer_id = $1
"""
VERSION = "SELECT seq FROM definition ORDER BY seq DESC LIMIT 1"
HOLD = "SELECT hold_open_month()"
LOCK = """
    SELECT b.account_id FROM member AS m JOIN balance AS b USING (account_id)
    WHERE m.customer_id = $1 FOR UPDATE OF b
"""
LOTS = """
    SELECT id, remaining FROM lot WHERE account_id = $1 AND remaining > 0
    ORDER BY expires_at, earned_at, id LIMIT 1000
"""
RESERVE = """
    INSERT INTO reservation (id, customer_id, account_ids, store, points, amount_minor, currency,
        expires_at, parts, state, confirmed, given_back, step)
    VALUES ($1, $2, $3, 'default', $4, $4, 'EUR', $5, $6, 'reserved', 0, 0, 2)
"""
FIND = "SELECT * FROM reservation WHERE id = $1"
LOCK_ACCOUNT = "SELECT active, reserved FROM balance WHERE account_id = $1 FOR UPDATE"
CONFIRM = "UPDATE reservation SET state = 'confirmed', confirmed = points, step = 3 WHERE id = $1"
MOVE = """
    UPDATE balance SET active = active + $2, reserved = reserved + $3, version = version + 1
    WHERE account_id = $1
"""
TAKE = """
    UPDATE lot SET remaining = remaining - $2, reserved = reserved + $3, used = used + $4
    WHERE id = $1
"""
JOURNAL = """
    INSERT INTO journal (id, account_id, source, document, revision, kind, event_time,
        cause_source, cause_id, cause_topic, cause_partition, cause_offset, store)
    VALUES ($1, $2, 'reservation', $3, $4, $5, $6, 'bare', $7, '', -1, -1, 'default')
"""
UNSEALED = "INSERT INTO unsealed (journal_id) VALUES ($1)"
POSTING = """
    INSERT INTO posting (journal_id, account_id, points, position, debit, credit, line)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
TELL = """
    INSERT INTO outbox (shard, id, aggregatetype, aggregateid, type, payload, source, time,
        backfill, traceparent)
    VALUES ($1, $2, 'crm.loyalty.v1', $3, 'points.redeemed', $4, 'bare', $5, false, '')
"""


class Reserve(BaseModel):
    points: int


class View(BaseModel):
    id: str
    state: str
    points: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The pool, as large as our engine's."""
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=4)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.post("/v1/accounts/{customer_id}/reservations", status_code=201)
async def reserve(customer_id: str, body: Reserve, request: Request) -> Response:
    """Set points aside."""
    now, id_ = datetime.now(UTC), str(uuid.uuid4())
    async with request.app.state.pool.acquire() as db, db.transaction():
        if known := await claim(db, request):
            return Response(known, 201, media_type="application/json")
        account_id = await db.fetchval(LOCK, customer_id)
        if account_id is None:
            raise HTTPException(404)
        parts, left = [], body.points
        for lot in await db.fetch(LOTS, account_id):
            if take := min(left, lot["remaining"]):
                parts.append((lot["id"], take))
                left -= take
        if left:
            raise HTTPException(409)
        await db.fetch(STAYS, customer_id)
        await db.fetchval(VERSION)
        held = json.dumps([[str(lot), points] for lot, points in parts])
        until = now + timedelta(minutes=30)
        await db.execute(RESERVE, id_, customer_id, [account_id], body.points, until, held)
        await db.fetchval(HOLD)
        await db.execute(MOVE, account_id, -body.points, body.points)
        for lot, points in parts:
            await db.execute(TAKE, lot, points, points, 0)
        await post(db, account_id, id_, parts, kind="reserve")
        view = View(id=id_, state="reserved", points=body.points)
        return await answer(db, request, view, 201, customer_id)


@app.post("/v1/reservations/{id_}/confirm")
async def confirm(id_: str, request: Request) -> Response:
    """Spend them."""
    async with request.app.state.pool.acquire() as db, db.transaction():
        if known := await claim(db, request):
            return Response(known, media_type="application/json")
        found = await db.fetchrow(FIND, id_)
        if found is None:
            raise HTTPException(404)
        account_id = found["account_ids"][0]
        balance = await db.fetchrow(LOCK_ACCOUNT, account_id)
        found = await db.fetchrow(FIND, id_)
        if found["state"] != "reserved":
            raise HTTPException(409)
        points = found["points"]
        parts = [(uuid.UUID(lot), points) for lot, points in json.loads(found["parts"])]
        await db.execute(CONFIRM, id_)
        await db.fetchval(HOLD)
        await db.execute(MOVE, account_id, 0, -points)
        for lot, share in parts:
            await db.execute(TAKE, lot, 0, -share, share)
        journal = await post(db, account_id, id_, parts, kind="redeem")
        customer_id = found["customer_id"]
        told = {
            "customer_id": customer_id,
            "journal_id": str(journal),
            "points": points,
            "balance": {"active": balance["active"], "reserved": balance["reserved"] - points},
            "amount_minor": points,
            "currency": "EUR",
            "reservation_id": id_,
        }
        now, shard = datetime.now(UTC).isoformat(), outbox.shard_of(customer_id)
        payload = json.dumps(told).encode()
        await db.execute(TELL, shard, str(uuid.uuid4()), customer_id, payload, now)
        view = View(id=id_, state="confirmed", points=points)
        return await answer(db, request, view, 200, customer_id)


async def claim(db: Any, request: Request) -> bytes | None:
    """Hold the request's key; the answer it got before, if it is a repeat."""
    key = request.headers["idempotency-key"]
    lock = int.from_bytes(sha256(key.encode()).digest()[:8], signed=True)
    free: bool
    known: bytes | None
    free, known = await db.fetchrow(CLAIM, lock, request.url.path, key)
    if not free:
        raise HTTPException(409)
    return known


async def answer(db: Any, request: Request, view: View, status: int, customer_id: str) -> Response:
    """Keep it for repeats, with who asked for what."""
    key, body = request.headers["idempotency-key"], view.model_dump_json().encode()
    detail = json.dumps({"reservation_id": view.id, "points": view.points})
    await db.execute(AUDIT, request.url.path, customer_id, str(uuid.uuid4()), detail)
    await db.execute(ANSWER, request.url.path, key, status, body, customer_id)
    return Response(body, status, media_type="application/json")


async def post(db: Any, account_id: Any, id_: str, parts: Any, *, kind: str) -> uuid.UUID:
    """The journal and its postings; its id."""
    journal, now, step = uuid.uuid4(), datetime.now(UTC), 1 if kind == "reserve" else 2
    await db.execute(JOURNAL, journal, account_id, id_, step, kind, now, str(uuid.uuid4()))
    await db.execute(UNSEALED, journal)
    sides = (2, 3) if kind == "reserve" else (3, 12)
    for position, (lot, points) in enumerate(parts):
        await db.execute(POSTING, journal, account_id, points, position, *sides, str(lot))
    return journal


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning")
