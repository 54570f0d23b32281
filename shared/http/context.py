"""What a route has at hand: made once by the service's `__main__`, kept on the app."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.clock import Clock
from shared.erasure import Tombstones
from shared.keys import KeyRing
from shared.outbox import Bell
from shared.settings import Settings
from shared.stores import Stores

Caused = Callable[[AsyncConnection, str, str], Awaitable[list[dict[str, Any]]]]
"""What the event `(source, id)` caused in this service: `async (conn, source, id)`."""


@dataclass(frozen=True, slots=True)
class Context:
    """`engine` serves everything, `hot` the hot GETs; `clock` is the business clock.

    After a commit of your own that enqueued events, `bell.ring()`; `once` does it for you.
    """

    settings: Settings
    engine: AsyncEngine
    hot: asyncpg.Pool
    clock: Clock
    stores: Stores
    keys: KeyRing
    tombstones: Tombstones
    caused: Caused
    bell: Bell | None = None  # without one the relay finds what was enqueued by its poll


def context_of(request: Request) -> Context:
    """The context without FastAPI's injection, which hot routes would pay for."""
    context: Context = request.app.state.context
    return context


async def _context(request: Request) -> Context:  # async: a plain def would run in a thread
    return context_of(request)


Ctx = Annotated[Context, Depends(_context)]


class Body(BaseModel):
    """What a caller sends in a write: a field that we do not know is refused, not lost."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
