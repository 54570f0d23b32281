"""A bare FastAPI route that takes a cart: pydantic, one `fetchrow`, and the sum of the lines."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

SQL = "SELECT amount FROM tally WHERE customer_id = $1 LIMIT 1"


class Line(BaseModel):
    """What the bare route needs of a line."""

    product_id: str
    unit_price_minor: int
    quantity: int


class Asked(BaseModel):
    """What the bare route needs of a cart."""

    customer_id: str
    lines: list[Line]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """A pool of four."""
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=4)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.post("/v1/quotes")
async def quote(body: Asked, request: Request) -> dict[str, int]:
    """One point for each full unit."""
    row = await request.app.state.pool.fetchrow(SQL, body.customer_id)
    total = sum(line.unit_price_minor * line.quantity for line in body.lines)
    return {"points": total // 100, "orders": row["amount"] if row else 0}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning")
