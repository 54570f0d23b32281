"""A person's points: the balance, now and at any time, and the history.

A person is all ids that were merged, and any of them may be asked for. One exception: a
storefront's token for an anonymous id sees that id's own points only, since whoever uses
the browser next would otherwise see the customer's.
"""

import json
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.api.views import JournalView
from services.loyalty.store import hot
from services.loyalty.store import journals as store
from shared import aliases
from shared.errors import BadRequest, NotFound
from shared.events.envelope import CustomerId
from shared.http import paging
from shared.http.auth import caller_of, needs
from shared.http.context import Ctx, context_of

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])

POSITION = paging.Cursor(UUID)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
NO_ACCOUNT = "no account: no order of this customer has earned yet"
OWN_DATA = needs("loyalty:read", subject="customer_id", storefront=True)


class AccountView(BaseModel):
    """What the person holds, in points. `active` is spendable; what is `owed` the next points
    pay."""

    customer_id: str
    pending: int
    active: int
    reserved: int
    owed: int


class CurrentView(AccountView):
    """The same now, and when the next points expire; null: none has a date."""

    next_expiry_at: datetime | None


@router.get("/{customer_id}", response_model=CurrentView, openapi_extra=OWN_DATA)
async def get_account(customer_id: CustomerId, request: Request) -> Response:
    """The balance, of all ids of the person together."""
    pooled = _sees_all(request, customer_id)
    context = context_of(request)
    found = await hot.get_purse(context.hot, customer_id, context.clock.now(), pooled=pooled)
    if found is None:
        raise NotFound(NO_ACCOUNT)
    purse, next_expiry_at = found
    body = {
        "customer_id": customer_id,
        **asdict(purse),
        "next_expiry_at": next_expiry_at.isoformat() if next_expiry_at else None,
    }
    return Response(json.dumps(body), media_type="application/json")


async def account_of(request: Request, customer_id: str) -> CurrentView | None:
    """The balance for an answer that holds more than it; None: no account."""
    pooled, context = _sees_all(request, customer_id), context_of(request)
    found = await hot.get_purse(context.hot, customer_id, context.clock.now(), pooled=pooled)
    if found is None:
        return None
    purse, next_expiry_at = found
    return CurrentView(customer_id=customer_id, **asdict(purse), next_expiry_at=next_expiry_at)


class PastView(AccountView):
    """What the person held at `as_of`, summed from the postings alone."""

    as_of: datetime
    by: store.Since


@router.get("/{customer_id}/balance", openapi_extra=OWN_DATA)
async def get_balance_as_of(
    customer_id: CustomerId,
    as_of: AwareDatetime,
    context: Ctx,
    request: Request,
    by: store.Since = "event",
) -> PastView:
    """The balance at a time: of all that had happened by then, or that was booked by then.

    `by=event` counts what had become true, also if it was heard of later; `by=recorded` what
    the books said at the time. They differ by late events.
    """
    if not EARLIEST <= as_of <= LATEST:
        raise BadRequest("as_of: give a time between the years 1 and 9999 of UTC")
    async with context.engine.connect() as conn:
        members = await members_of(conn, request, customer_id)
        purse = await store.sum_as_of(conn, members, as_of, by)
    if purse is None:
        raise NotFound(NO_ACCOUNT)
    return PastView(customer_id=customer_id, as_of=as_of, by=by, **asdict(purse))


@router.get("/{customer_id}/history", openapi_extra=OWN_DATA)
async def list_history(
    customer_id: CustomerId,
    context: Ctx,
    request: Request,
    cursor: str = "",
    limit: paging.Limit = 50,
) -> paging.Page[JournalView]:
    """The journals of all ids of the person, newest first by the time of their events."""
    before = POSITION.decode(cursor) or store.LAST
    async with context.engine.connect() as conn:
        members = await members_of(conn, request, customer_id)
        entries = await store.list_of_person(conn, members, before, limit + 1)
    views = [JournalView.of(entry) for entry in entries]
    return paging.page(views, limit, lambda view: POSITION.encode(view.journal_id))


async def members_of(conn: AsyncConnection, request: Request, customer_id: str) -> Collection[str]:
    if not _sees_all(request, customer_id):
        return [customer_id]
    return (await aliases.person_of(conn, customer_id)).members


def _sees_all(request: Request, customer_id: str) -> bool:
    return caller_of(request).kind == "key" or not customer_id.startswith("anon:")
