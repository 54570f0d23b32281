"""python -m services.loyalty close-month 2026-10 --by NAME [--approve DRAFT]

The same two steps as over HTTP (`closing.py`), for whoever has a shell and no key: `--by` is
recorded, and the one who approves must be another.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

import asyncpg
import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.loyalty.books.accounting import name_of, parse_month
from services.loyalty.reporting.closed_month import Amounts
from services.loyalty.reporting.statement import SIGNS
from services.loyalty.store import closings
from services.loyalty.store.closings import Closing, Draft
from services.loyalty.work import closing
from shared import db, stores
from shared.clock import Clock
from shared.errors import AppError, Fatal
from shared.http import audit
from shared.settings import Settings


async def run(settings: Settings, month_name: str, person: str, draft_id: int) -> None:
    """Prepare the month, or with a draft approve it; Fatal says why not."""
    try:
        month = parse_month(month_name)
    except ValueError as error:
        raise Fatal(str(error)) from error
    if not person.strip():
        raise Fatal("--by: say who closes; the one who approves is another than who prepares")
    async with _connected(settings) as (engine, pool):
        try:
            if draft_id:
                _tell_closing(await _approve(engine, month, draft_id, f"cli:{person}"))
            else:
                draft = await _prepare(settings, engine, pool, month, f"cli:{person}")
                _tell_draft(draft)
        except AppError as error:
            raise Fatal(f"{error.title} {error.detail}".strip()) from error


async def _prepare(
    settings: Settings, engine: AsyncEngine, pool: asyncpg.Pool, month: date, caller: str
) -> Draft:
    shops, now = stores.load(settings.stores_file), Clock.parse(settings.clock).now()
    done = await closing.prepare(engine, pool, month, shops, now)
    async with engine.begin() as conn:
        draft = await closings.add_draft(conn, month, done.journals, done.statement, caller)
        detail = {"month": name_of(month), "draft": draft.draft}
        await audit.record(conn, caller, "close-month", detail=detail)
    return draft


async def _approve(engine: AsyncEngine, month: date, draft_id: int, caller: str) -> Closing:
    async with engine.begin() as conn:
        done = await closing.approve(conn, month, draft_id, caller)
        detail = {"month": name_of(month), "draft": draft_id}
        await audit.record(conn, caller, "close-month --approve", detail=detail)
    return done


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[tuple[AsyncEngine, asyncpg.Pool]]:
    engine, pool = db.connect(settings, pool_max=1), await db.hot_pool(settings)
    try:
        yield engine, pool
    finally:
        await pool.close()
        await engine.dispose()


def _tell_draft(draft: Draft) -> None:
    total, month = draft.statement.total, name_of(draft.month)
    typer.echo(f"{month}, {draft.journals:,} journals, in {draft.statement.currency}:")
    for name, points, minor in _rows(total.points, total.minor):
        typer.echo(f"  {name:<10} {points:>18,} points {minor:>18,} minor units")
    typer.echo(f"breakage: {total.breakage_points:,} points, {total.breakage_minor:,} minor units")
    typer.echo(
        f"draft {draft.draft}; somebody else approves it with: close-month {month}"
        f" --by NAME --approve {draft.draft}"
    )


def _rows(points: Amounts, minor: Amounts) -> list[tuple[str, int, int]]:
    names = ("opening", "revalued", *SIGNS, "closing")
    return [(name, getattr(points, name), getattr(minor, name)) for name in names]


def _tell_closing(done: Closing) -> None:
    typer.echo(f"{name_of(done.month)} is closed by draft {done.draft}")
    typer.echo(f"head {done.block}:{done.head.hex()}")
    typer.echo(f"statement {done.digest.hex()}")
