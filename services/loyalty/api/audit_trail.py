"""From any figure in the accounts to its journals, and from each to the event behind it.

For auditors: nothing here names a customer, nor the account that would lead to one. The
document is told where it is an order or a lot; what else may be one could name a person.
"""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.loyalty.api.views import CauseView
from services.loyalty.books.accounting import Day
from services.loyalty.books.ledger import ORDER, AccountKind
from services.loyalty.store import trail as store
from services.loyalty.store.trail import Place, Trace
from shared.errors import Unprocessable
from shared.http import paging
from shared.http.auth import needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])

POSITION = paging.Cursor(Place)
TOLD_SOURCES = frozenset({ORDER, "lot"})
FIRST = UUID(int=0)

KindName = Literal[
    "pending",
    "active",
    "reserved",
    "owed",
    "issued",
    "redeemed",
    "expired",
    "clawed_back",
    "adjusted",
    "opening",
    "donated",
    "settled",
]


class TracePosting(BaseModel):
    """`points` went from the account `debit` to the account `credit`."""

    debit: str
    credit: str
    points: int
    line: str | None
    """Of the order."""
    lot_id: UUID | None


class TraceView(BaseModel):
    """A journal in the accounts."""

    journal_id: UUID
    kind: str
    accounting_date: date
    refers_to: date | None
    """The closed month that it came too late for."""
    event_time: datetime
    recorded_at: datetime
    store: str
    source: str
    document: str | None
    """The order's or lot's id."""
    revision: int
    postings: list[TracePosting]
    cause: CauseView

    @classmethod
    def of(cls, trace: Trace) -> "TraceView":
        return cls(
            journal_id=trace.id,
            kind=trace.kind,
            accounting_date=trace.accounting_date,
            refers_to=trace.refers_to,
            event_time=trace.event_time,
            recorded_at=trace.recorded_at,
            store=trace.store,
            source=trace.source,
            document=trace.document if trace.source in TOLD_SOURCES else None,
            revision=trace.revision,
            postings=[
                TracePosting(
                    debit=posting.debit.name.lower(),
                    credit=posting.credit.name.lower(),
                    points=posting.points,
                    line=posting.line if trace.source == ORDER else None,
                    lot_id=posting.lot_id,
                )
                for posting in trace.postings
            ],
            cause=CauseView(
                source=trace.cause_source,
                id=trace.cause_id,
                topic=trace.cause_topic,
                partition=trace.cause_partition,
                offset=trace.cause_offset,
            ),
        )


@router.get("/journals", openapi_extra=needs("audit:read", "loyalty:read"))
async def list_journals(
    context: Ctx,
    *,
    since: Annotated[Day, Query(alias="from")],
    until: Day,
    account_kind: KindName | None = None,
    cursor: str = "",
    limit: paging.Limit = 50,
) -> paging.Page[TraceView]:
    """The journals of an accounting period, oldest first; `until` is the first day after it.

    A page may be short, or empty, with another to come: go on while there is a `next`.
    """
    if until <= since:
        raise Unprocessable("until: give a day after `from`; it is the first that is left out")
    after = POSITION.decode(cursor) or Place(since, FIRST)
    kind = AccountKind[account_kind.upper()] if account_kind else None
    async with context.engine.connect() as conn:
        found, following = await store.list_after(conn, after, until, kind, limit)
    items = [TraceView.of(trace) for trace in found]
    return paging.Page(items=items, next=POSITION.encode(following) if following else None)
