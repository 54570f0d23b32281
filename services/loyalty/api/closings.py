"""Closed months: prepared by one person, approved by another, told to whoever may see the books.

    POST /v1/closings                        prepare a month's statement, as a draft
    POST /v1/closings/{month}/approval       close the month as a draft has it
    GET  /v1/closings                        the closed months, newest first
    GET  /v1/closings/{month}?draft=         one with its statement; or a draft of it
    GET  /v1/closings/{month}/vouchers.csv   its vouchers, for the general ledger

A month is written as 2026-10.
"""

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.accounting import MONTH_FORM, name_of, parse_month
from services.loyalty.reporting import vouchers
from services.loyalty.reporting.closed_month import Statement
from services.loyalty.store import closings as store
from services.loyalty.work import closing
from shared.errors import NotFound
from shared.http import paging
from shared.http.auth import caller_of, needs
from shared.http.context import Body, Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/closings", tags=["closings"])

SUMS_MAX_S = 60
POSITION = paging.Cursor(date)
BOOKS = needs("audit:read", "loyalty:read")
MonthName = Annotated[str, Field(pattern=f"^{MONTH_FORM.pattern}$", examples=["2026-10"])]
Month = Annotated[MonthName, Path()]
DraftNumber = Annotated[int, Field(ge=1, le=2**53 - 1)]


class Preparation(Body):
    """Which month to prepare."""

    month: MonthName


class Approval(Body):
    """Which draft to close the month by."""

    draft: DraftNumber


class DraftView(BaseModel):
    """A statement that waits for somebody else's approval."""

    draft: int
    month: str
    journals: int
    """That it sums."""
    prepared_at: datetime
    prepared_by: str
    statement: Statement

    @classmethod
    def of(cls, draft: store.Draft) -> "DraftView":
        return cls(
            draft=draft.draft,
            month=name_of(draft.month),
            journals=draft.journals,
            prepared_at=draft.prepared_at,
            prepared_by=draft.prepared_by,
            statement=draft.statement,
        )


class ClosingView(BaseModel):
    """A closed month, and by what it is held."""

    month: str
    draft: int
    journals: int
    prepared_at: datetime
    prepared_by: str
    approved_at: datetime
    approved_by: str
    block: int
    """The last block of the ledger's chain: it vouches for every journal of the month."""
    head: str
    digest: str
    """SHA-256 of the statement in canonical JSON, in hexadecimal."""
    statement: Statement | None = None
    """Only when one month is asked for."""

    @classmethod
    def of(cls, found: store.Closing, statement: Statement | None = None) -> "ClosingView":
        return cls(
            month=name_of(found.month),
            draft=found.draft,
            journals=found.journals,
            prepared_at=found.prepared_at,
            prepared_by=found.prepared_by,
            approved_at=found.approved_at,
            approved_by=found.approved_by,
            block=found.block,
            head=found.head.hex(),
            digest=found.digest.hex(),
            statement=statement,
        )


@router.post(
    "",
    status_code=201,
    response_model=DraftView,
    openapi_extra=needs("loyalty:admin", seconds_max=SUMS_MAX_S),
)
async def prepare(body: Preparation, request: Request) -> Response:
    """Sum the month, and keep the statement as a draft. The month stays open."""
    context, person = context_of(request), caller_of(request).id
    month, now = parse_month(body.month), context.clock.now()
    done = await closing.prepare(context.engine, context.hot, month, context.stores, now)
    async with once(request, body) as tx:
        draft = await store.add_draft(tx.conn, month, done.journals, done.statement, person)
        tx.detail = {"month": body.month, "draft": draft.draft}
        return tx.answer(DraftView.of(draft), status=201)


@router.post("/{month}/approval", response_model=ClosingView, openapi_extra=needs("loyalty:admin"))
async def approve(month: Month, body: Approval, request: Request) -> Response:
    """Close the month as the draft has it; 409 if it is not, or not any more, the whole month."""
    person = caller_of(request).id
    async with once(request, body) as tx:
        done = await closing.approve(tx.conn, parse_month(month), body.draft, person)
        tx.detail = {"month": month, "draft": body.draft}
        return tx.answer(ClosingView.of(done))


@router.get("", openapi_extra=BOOKS)
async def list_closings(
    context: Ctx, cursor: str = "", limit: paging.Limit = 50
) -> paging.Page[ClosingView]:
    """The closed months, newest first, without their statements."""
    before = POSITION.decode(cursor) or date.max
    async with context.engine.connect() as conn:
        found = await store.list_before(conn, before, limit + 1)
    views = [ClosingView.of(each) for each in found]
    return paging.page(views, limit, lambda view: POSITION.encode(parse_month(view.month)))


@router.get("/{month}", openapi_extra=BOOKS)
async def get_closing(
    month: Month, context: Ctx, draft: DraftNumber | None = None
) -> ClosingView | DraftView:
    """A closed month with its statement; with `draft`, what was prepared of it."""
    async with context.engine.connect() as conn:
        if draft is not None:
            return DraftView.of(await closing.get_draft(conn, parse_month(month), draft))
        found, statement = await _closed(conn, month)
    return ClosingView.of(found, statement)


@router.get("/{month}/vouchers.csv", openapi_extra=BOOKS, response_class=Response)
async def get_vouchers(month: Month, context: Ctx) -> Response:
    """date, account, debit, credit, text: by store, on the finance policy's accounts."""
    async with context.engine.connect() as conn:
        found, statement = await _closed(conn, month)
        earlier = await store.list_statements(conn, found.month)
    before = vouchers.allowances(earlier[-1].books()) if earlier else {}
    entries = vouchers.entries(found.month, statement.books(), before, statement.accounts)
    headers = {"Content-Disposition": f'attachment; filename="vouchers-{month}.csv"'}
    content = vouchers.to_csv(entries, statement.currency)
    return Response(content, media_type="text/csv", headers=headers)


async def _closed(conn: AsyncConnection, month: str) -> tuple[store.Closing, Statement]:
    found = await store.get(conn, parse_month(month))
    if found is None:
        raise NotFound(f"{month} is not closed")
    return found, (await closing.get_draft(conn, found.month, found.draft)).statement
