"""PostgreSQL: the two pools of a process, rows as dataclasses, and which errors will pass.

SQLAlchemy's engine serves everything; hot GETs have an asyncpg pool of their own. Both
take their time-outs from one place. A statement is cut after `statement_timeout_ms`, a
transaction that does nothing after IDLE_TRANSACTION_MS, and any after TRANSACTION_MS: so a
process that was paused in the middle of one does not keep its row locks for ever. The
second alone is not enough: between a statement's preparation and its execution PostgreSQL
calls the session active, and waits.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

import asyncpg
import structlog
from aiokafka.errors import KafkaError
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.settings import Settings

log = structlog.get_logger()

LOCK_TIMEOUT_MS = 3_000
IDLE_TRANSACTION_MS = 10_000
TRANSACTION_MS = 30_000
CONNECT_TIMEOUT_S = 5
RETRY_DELAY_MAX_S = 5.0
POOL_TIMEOUT_S = 2  # then 503 with Retry-After: a queue in front of a full pool only grows

# What says nothing about the statement: connection lost, rolled back by a rival, unknown
# outcome, out of resources, lock not had, operator at work, paused in a transaction.
TRANSIENT_CLASSES = ("08", "53", "57P0")
TRANSIENT_STATES = {"40001", "40P01", "40003", "55P03", "25P03", "25P04"}
TIMED_OUT = {"57014", "25P04"}
# A connection that dies in the middle of an exchange raises either; neither is a PostgresError.
LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError)

T = TypeVar("T")


def dsn(settings: Settings, *, owner: bool = False) -> str:
    """asyncpg's form of the address."""
    url = settings.owner_database_url if owner else settings.database_url
    return str(url or settings.database_url)


def timeouts(settings: Settings) -> dict[str, str]:
    """What every connection is told, as server settings."""
    return {
        "application_name": settings.service,
        "statement_timeout": str(settings.statement_timeout_ms),
        "lock_timeout": str(min(LOCK_TIMEOUT_MS, settings.statement_timeout_ms)),
        "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_MS),
        "transaction_timeout": str(TRANSACTION_MS),
        "timezone": "UTC",
        # A batch's statements are generic by construction (arrays in, arrays out): planning
        # them anew for each batch costs more than a better plan would save.
        "plan_cache_mode": "auto",
    }


def connect(settings: Settings, *, pool_max: int | None = None) -> AsyncEngine:
    return create_async_engine(
        dsn(settings).replace("postgresql://", "postgresql+asyncpg://", 1),
        pool_size=pool_max or settings.database_pool_max,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=False,  # a lost connection is transient: the batch or request is retried
        hide_parameters=True,  # parameters are personal data, and errors are logged
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": settings.statement_timeout_ms / 1000 + 5,
            "server_settings": timeouts(settings),
        },
    )


async def hot_pool(settings: Settings) -> asyncpg.Pool:
    """The pool of the hot GETs: one indexed statement each, `$1` parameters."""
    return await asyncpg.create_pool(
        dsn(settings),
        min_size=0,  # a process starts while PostgreSQL is away, too
        max_size=settings.hot_pool_max,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=settings.statement_timeout_ms / 1000,
        server_settings=timeouts(settings),
        reset=_nothing_to_reset,
    )


async def _nothing_to_reset(_conn: asyncpg.Connection) -> None:
    """A lone SELECT leaves no state behind; asyncpg's own reset is a second round trip."""


async def direct(settings: Settings, **server_settings: str) -> asyncpg.Connection:
    """A connection outside the pools, for session locks and LISTEN."""
    return await asyncpg.connect(
        dsn(settings),
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=settings.statement_timeout_ms / 1000,
        server_settings={**timeouts(settings), **server_settings},
    )


async def reach(name: str, ask: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Ask Kafka or PostgreSQL until it answers, or until stopped."""
    delay_s = 0.2
    while not stop.is_set():
        try:
            await ask()
        except Exception as error:
            if not passes(error):
                raise
            why = type(error).__name__
            log.warning("not reached, again soon", part=name, error=why, sqlstate=sqlstate(error))
        else:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay_s)
        delay_s = min(2 * delay_s, RETRY_DELAY_MAX_S)


async def run(conn: AsyncConnection, sql: TextClause, **params: Any) -> list[Any]:
    """The rows of a statement, by the driver's own call where a transaction is open.

    SQLAlchemy's way around it costs as much again as the exchange with PostgreSQL, and a
    request has a dozen of them.
    """
    pooled: Any = conn.sync_connection
    driver: Any = pooled.connection.driver_connection
    if not driver.is_in_transaction():
        done: Any = await conn.execute(sql, params)
        return list(done) if done.returns_rows else []
    statement, names = _positional(sql)
    return list(await driver.fetch(statement, *(params[name] for name in names)))


@cache
def _positional(sql: TextClause) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1` parameters, and their names in that order."""
    compiled: Any = sql.compile(dialect=dialect())  # type: ignore[no-untyped-call]
    return str(compiled), tuple(compiled.positiontup or ())


async def fetch(
    conn: AsyncConnection, sql: TextClause, into: Callable[..., T], **params: Any
) -> list[T]:
    return [into(*row) for row in await run(conn, sql, **params)]


async def fetch_one(
    conn: AsyncConnection, sql: TextClause, into: Callable[..., T], **params: Any
) -> T | None:
    rows = await fetch(conn, sql, into, **params)
    assert len(rows) <= 1, "fetch_one reads by a unique key"
    return rows[0] if rows else None


async def copy_rows(
    conn: AsyncConnection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Append rows by COPY: half the cost of arrays, for the tables that see every event."""
    driver: Any = (await conn.get_raw_connection()).driver_connection
    assert driver.is_in_transaction(), "something was locked first, so the transaction is open"
    await driver.copy_records_to_table(table, columns=columns, records=rows)


def sqlstate(error: BaseException) -> str:
    """The five characters that PostgreSQL gave, or nothing."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return getattr(origin, "sqlstate", None) or ""


def is_timeout(error: BaseException) -> bool:
    """Whether the statement or transaction took too long: fewer rows may succeed."""
    return sqlstate(error) in TIMED_OUT


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later, unchanged."""
    if isinstance(error, (PoolTimeout, OSError, TimeoutError, *LOST)):
        return True
    if isinstance(error, InterfaceError) or getattr(error, "connection_invalidated", False):
        return True
    if "InvalidCachedStatement" in f"{type(error).__name__} {error}":
        return True  # a migration changed the table under a prepared statement
    state = sqlstate(error)
    return state in TRANSIENT_STATES or state.startswith(TRANSIENT_CLASSES)


def passes(error: BaseException) -> bool:
    """Whether it is Kafka's or PostgreSQL's absence, which passes."""
    return isinstance(error, KafkaError) or is_transient(error)
