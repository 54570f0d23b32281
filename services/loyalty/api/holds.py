"""Earning that waits for somebody to look: the list, and the decision.

Auditors see what waits, but not whose it is, nor what was written about it in free words.
"""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from services.loyalty.api import definitions as definition_routes
from services.loyalty.api.adjustments import DecisionBody
from services.loyalty.api.reach import sees_people
from services.loyalty.books.adjusting import check_text
from services.loyalty.earning.limits import EarningLimits, Hold, HoldState
from services.loyalty.earning.orders import Terms
from services.loyalty.store import definitions
from services.loyalty.store import holds as store
from services.loyalty.work import holding
from shared.http import audit, paging
from shared.http.auth import ROUTE_CHECKS, caller_of, needs
from shared.http.context import Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/held", tags=["held"])
LIMITS = definition_routes.routes(EarningLimits, "earning-limits")

POSITION = paging.Cursor(tuple[datetime, str])
FIRST = (datetime.min.replace(tzinfo=UTC), "")


class ExcessView(BaseModel):
    """One limit, and what was found above it."""

    limit: str
    allowed: int
    found: int


class HoldView(BaseModel):
    """An order whose points are pending until somebody decides, and what was decided.

    `customer_id` is null when he was erased, and for a key without `loyalty:read`."""

    order_id: str
    customer_id: str | None
    points: int
    excesses: list[ExcessView]
    inputs: dict[str, Any]
    held_at: datetime
    state: HoldState
    decided_by: str | None
    decided_at: datetime | None
    comment: str

    @classmethod
    def of(cls, hold: Hold) -> "HoldView":
        return cls.model_validate(hold, from_attributes=True)


@router.get("", openapi_extra=needs("audit:read", "loyalty:read"))
async def list_held(
    context: Ctx, request: Request, cursor: str = "", limit: paging.Limit = 50
) -> paging.Page[HoldView]:
    """What waits, the longest first."""
    after = POSITION.decode(cursor) or FIRST
    async with context.engine.connect() as conn:
        found = await store.list_held(conn, after, limit + 1)
    views = [HoldView.of(each) for each in found]
    if sees_people(request):
        audit.read(request.scope, None)
    else:
        views = [view.model_copy(update={"customer_id": None, "comment": ""}) for view in views]
    return paging.page(views, limit, lambda view: POSITION.encode((view.held_at, view.order_id)))


@router.post(
    "/{order_id}/release",
    response_model=HoldView,
    openapi_extra=needs("loyalty:admin", subject=ROUTE_CHECKS),
)
async def release(order_id: str, body: DecisionBody, request: Request) -> Response:
    """The points become active when they would have."""
    return await _decide(order_id, body, request, "released")


@router.post(
    "/{order_id}/decline",
    response_model=HoldView,
    openapi_extra=needs("loyalty:admin", subject=ROUTE_CHECKS),
)
async def decline(order_id: str, body: DecisionBody, request: Request) -> Response:
    """The points are taken back, and the order earns nothing any more."""
    return await _decide(order_id, body, request, "declined")


async def _decide(
    order_id: str, body: DecisionBody, request: Request, state: HoldState
) -> Response:
    check_text(body.comment)
    context, caller = context_of(request), caller_of(request).id
    async with once(request, body) as tx:
        terms = Terms(await definitions.book(tx.conn), context.stores)
        decided = holding.Decided(state, caller, context.clock.now(), body.comment)
        after = await holding.decide(tx.conn, order_id, decided, terms)
        tx.subject = after.customer_id
        tx.detail = {"order_id": order_id, "state": state, "points": after.points}
        return tx.answer(HoldView.of(after))
