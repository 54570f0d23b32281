"""Bare FastAPI routes over an asyncpg pool: one `fetchrow`, and one INSERT with its audit row in
a transaction; no authentication, no Idempotency-Key, no metrics, no merged persons."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

FIND = "SELECT customer_id FROM binding WHERE value = $1 AND issuer = $2 AND type = $3"
ADD = """
    INSERT INTO binding (value, issuer, type, customer_id) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING customer_id
"""
AUDIT = """
    INSERT INTO audit (at, caller, action, subject, request_id, detail)
    VALUES (now(), 'bench', 'bind', $1, '', '{}')
"""


class Bind(BaseModel):
    """As ours."""

    type: str
    issuer: str
    value: str
    customer_id: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The pool, as large as our two together."""
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=8, max_size=8)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/v1/accounts")
async def look_up(type: str, issuer: str, value: str, request: Request) -> dict[str, str]:  # noqa: A002
    """Whom it stands for."""
    row = await request.app.state.pool.fetchrow(FIND, value, issuer, type)
    if row is None:
        raise HTTPException(404)
    return {"customer_id": row["customer_id"]}


@app.post("/v1/accounts/bind")
async def bind(body: Bind, request: Request) -> dict[str, str]:
    """Add it, or tell whose it is."""
    async with request.app.state.pool.acquire() as conn, conn.transaction():
        row = await conn.fetchrow(ADD, body.value, body.issuer, body.type, body.customer_id)
        if row is None:
            row = await conn.fetchrow(FIND, body.value, body.issuer, body.type)
        await conn.execute(AUDIT, body.customer_id)
    return {"customer_id": row["customer_id"]}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning")
