"""A bare FastAPI route over an asyncpg pool: loyalty's own balance statement, and nothing else."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from services.loyalty.store.hot import GET_BALANCE


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The pool, as large as our hot pool."""
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=4)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/v1/accounts/{customer_id}")
async def get_account(customer_id: str, request: Request) -> JSONResponse:
    """What the person holds."""
    row = await request.app.state.pool.fetchrow(GET_BALANCE, customer_id, datetime.now(UTC))
    if row is None or not row[0]:
        raise HTTPException(404)
    body = {
        "customer_id": customer_id,
        "pending": row[1],
        "active": row[2],
        "reserved": row[3],
        "owed": row[4],
        "next_expiry_at": row[5].isoformat() if row[5] else None,
    }
    return JSONResponse(body)


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning")
