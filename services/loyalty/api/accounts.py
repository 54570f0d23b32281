"""A person's points: the balance and the history.

A person is all ids that were merged, and any of them may be asked for. One exception: a
storefront's token for an anonymous id sees that id's own points only, since whoever uses
the browser next would otherwise see the customer's.
"""

import json
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from services.loyalty.api.views import JournalView
from services.loyalty.store import hot
from services.loyalty.store import journals as store
from shared import aliases
from shared.errors import NotFound
from shared.events.envelope import CustomerId
from shared.http import paging
from shared.http.auth import caller_of, needs
from shared.http.context import Ctx, context_of

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])

POSITION = paging.Cursor(UUID)
OWN_DATA = needs("loyalty:read", subject="customer_id", storefront=True)


class AccountView(BaseModel):
    """What the person holds, in points. `active` is spendable; below zero it is a debt."""

    customer_id: str
    pending: int
    active: int
    reserved: int


@router.get("/{customer_id}", response_model=AccountView, openapi_extra=OWN_DATA)
async def get_account(customer_id: CustomerId, request: Request) -> Response:
    """The balance, of all ids of the person together."""
    pooled = _sees_all(request, customer_id)
    purse = await hot.get_purse(context_of(request).hot, customer_id, pooled=pooled)
    if purse is None:
        raise NotFound("no account: no order of this customer has earned yet")
    body = {
        "customer_id": customer_id,
        "pending": purse.pending,
        "active": purse.active,
        "reserved": purse.reserved,
    }
    return Response(json.dumps(body), media_type="application/json")


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
        members: tuple[str, ...] = (customer_id,)
        if _sees_all(request, customer_id):
            members = (await aliases.person_of(conn, customer_id)).members
        entries = await store.list_of_person(conn, members, before, limit + 1)
    views = [JournalView.of(entry) for entry in entries]
    return paging.page(views, limit, lambda view: POSITION.encode(view.journal_id))


def _sees_all(request: Request, customer_id: str) -> bool:
    return caller_of(request).kind == "key" or not customer_id.startswith("anon:")
