"""Closes a month: one person prepares its statement, another approves it.

Preparing changes nothing: it sums the month in one snapshot and keeps the statement as a
draft. Approving waits until nothing is being booked (`store/closings.py`), and goes through
only if the draft still sums every journal of the month, and all of them are sealed in the
chain: so what is closed is what was seen, and the chain's head vouches for it. From then on
facts of the month, or of one before, are booked in the next, and refer back.
"""

from datetime import date, datetime
from typing import NamedTuple

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.books import accounting
from services.loyalty.books.accounting import name_of, next_month
from services.loyalty.reporting import closed_month
from services.loyalty.reporting.closed_month import Period, Statement
from services.loyalty.reporting.valuation import policy_at
from services.loyalty.store import closings, definitions, seals, statements
from services.loyalty.store.closings import Closing, Draft
from shared.errors import Conflict, NotFound
from shared.stores import Stores


class MonthNotOver(Conflict):
    """A month can be closed when it is over."""


class MonthClosed(Conflict):
    """This month is closed, and stays so."""


class MonthOutOfTurn(Conflict):
    """Months are closed one after the other."""


class StatementOutdated(Conflict):
    """Something was booked in this month since the statement was prepared."""


class SamePerson(Conflict):
    """Who prepared a closing may not approve it."""


class NotSealedYet(Conflict):
    """The month's last journals are not in the chain yet."""


class Prepared(NamedTuple):
    """A statement, and how many journals it sums."""

    month: date
    statement: Statement
    journals: int


async def prepare(
    engine: AsyncEngine, pool: asyncpg.Pool, month: date, stores: Stores, now: datetime
) -> Prepared:
    """The month's statement as the books stand now; `pool` is where they are summed."""
    zone = accounting.calendar(stores, None).zone
    until = next_month(month)
    if now.astimezone(zone).date() < until:
        raise MonthNotOver(f"{name_of(month)} is over on {until} in {zone}")
    async with engine.connect() as conn:
        last = await closings.get_last_month(conn)
        _check_turn(month, last)
        history = await closings.list_statements(conn, month)
        book = await definitions.book(conn)
    since = month if last else closings.BEGINNING
    moved = await statements.sum_month(pool, month, until, str(zone), since=since)
    # In force at the month's end: what is laid down later does not reach back.
    midnight = datetime(until.year, until.month, 1, tzinfo=zone)
    period = Period(month, zone, stores.base_currency, moved.late_journals)
    policy = policy_at(book, midnight)
    statement = closed_month.draw_up(period, history, moved.opening, moved.flows, policy)
    return Prepared(month, statement, moved.journals)


async def approve(conn: AsyncConnection, month: date, draft_id: int, person: str) -> Closing:
    """Close the month as this draft has it."""
    draft = await get_draft(conn, month, draft_id)
    if draft.prepared_by == person:
        raise SamePerson(f"{person} has prepared draft {draft_id}; let somebody else approve it")
    await closings.close(conn)
    last, until = await closings.get_last_month(conn), next_month(month)
    _check_turn(month, last)
    since = month if last else closings.BEGINNING
    journals = await closings.count_journals(conn, since, until)
    if journals != draft.journals:
        raise StatementOutdated(
            f"draft {draft_id} sums {draft.journals} journals and there are {journals};"
            " prepare the month again"
        )
    if not await closings.is_sealed(conn, until):
        raise NotSealedYet(
            "they are sealed every ten seconds by the worker; send it again, with a new key",
            headers={"Retry-After": "10"},
        )
    sealed = await seals.list_newest(conn, 2**63 - 1, 1)
    block = (sealed[0].block, sealed[0].head) if sealed else (0, bytes(32))
    return await closings.add(conn, draft, block, person)


async def get_draft(conn: AsyncConnection, month: date, draft_id: int) -> Draft:
    """The month's draft of this number; NotFound if there is none."""
    draft = await closings.get_draft(conn, draft_id)
    if draft is None or draft.month != month:
        raise NotFound(f"no draft {draft_id} was prepared for {name_of(month)}")
    return draft


def _check_turn(month: date, last: date | None) -> None:
    if last is None:
        return
    if month <= last:
        raise MonthClosed(f"{name_of(last)} is the last closed month")
    if month != next_month(last):
        raise MonthOutOfTurn(f"close {name_of(next_month(last))} first")
