"""A bare FastAPI route over an asyncpg pool: one `fetchrow`, no authentication, no metrics."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response

SQL = "SELECT row_to_json(p)::text AS body FROM profile AS p WHERE customer_id = $1"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The pool, as large as our hot pool."""
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=4)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/v1/profiles/{customer_id}")
async def get_profile(customer_id: str, request: Request) -> Response:
    """The customer's row, as JSON that PostgreSQL made."""
    row = await request.app.state.pool.fetchrow(SQL, customer_id)
    if row is None:
        raise HTTPException(404)
    return Response(row["body"], media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning")
