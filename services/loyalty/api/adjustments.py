"""Points given and taken by hand, with a second person above the policy's limits.

Auditors see each of them, but not for whom, nor what was written about it in free words.
"""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel

from services.loyalty.api import definitions as definition_routes
from services.loyalty.api.reach import sees_people
from services.loyalty.books.adjusting import Adjustment, AdjustmentPolicy, State, check_text
from services.loyalty.earning.orders import Terms
from services.loyalty.store import adjustments as store
from services.loyalty.store import definitions
from services.loyalty.work import adjustments
from shared.errors import NotFound, Unprocessable
from shared.events.envelope import CustomerId
from shared.events.fields import Code, Label, SignedPoints, StoreId
from shared.http import audit, paging
from shared.http.auth import ROUTE_CHECKS, caller_of, needs
from shared.http.context import Body, Ctx, context_of
from shared.http.once import Tx, once

router = APIRouter(tags=["adjustments"])
POLICIES = definition_routes.routes(AdjustmentPolicy, "adjustment-policies")

READ = needs("audit:read", "loyalty:read")
READ_ONE = needs("audit:read", "loyalty:read", subject=ROUTE_CHECKS)
POSITION = paging.Cursor(tuple[datetime, UUID])
LAST = (datetime.max.replace(tzinfo=UTC), UUID(int=(1 << 128) - 1))


class AdjustmentBody(Body):
    """What shall be given (above zero) or taken (below zero), and why."""

    points: SignedPoints
    reason: Code
    """One of the policy's reasons."""
    note: Label = ""
    """For whoever looks later; without personal data, for it stays with the books."""
    store: StoreId | None = None
    """Whose programme and day count; absent: the first of the stores file."""
    expires_at: AwareDatetime | None = None
    """Of points that are given; absent: as the programme says."""


class DecisionBody(Body):
    """Why, in a few words without personal data."""

    comment: Label = ""


class AdjustmentView(BaseModel):
    """One adjustment. `customer_id` is null when he was erased. For a key without `loyalty:read` it
    always is, and note and comment are empty: they might name him."""

    id: UUID
    customer_id: str | None
    points: int
    reason: str
    note: str
    store: str
    expires_at: datetime | None
    state: State
    waits_for: list[str]
    """Which limits asked for a second person."""
    inputs: dict[str, Any]
    """What that was decided on."""
    requested_by: str
    requested_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    comment: str

    @classmethod
    def of(cls, kept: Adjustment) -> "AdjustmentView":
        return cls.model_validate(kept, from_attributes=True)

    def of_nobody(self) -> "AdjustmentView":
        return self.model_copy(update={"customer_id": None, "note": "", "comment": ""})


@router.post(
    "/v1/accounts/{customer_id}/adjustments",
    status_code=201,
    response_model=AdjustmentView,
    responses={202: {"model": AdjustmentView, "description": "It waits for a second person"}},
    openapi_extra=needs("loyalty:admin", subject="customer_id"),
)
async def adjust(customer_id: CustomerId, body: AdjustmentBody, request: Request) -> Response:
    """Give or take points: 201 when booked, 202 when a second person has to approve."""
    context, caller = context_of(request), caller_of(request).id
    store_id = body.store or next(iter(context.stores.by_id))
    if store_id not in context.stores.by_id:
        raise Unprocessable("store: give one of the stores file")
    async with once(request, body) as tx:
        asked = Adjustment(
            id=uuid4(),
            customer_id=customer_id,
            points=body.points,
            reason=body.reason,
            note=body.note,
            store=store_id,
            expires_at=body.expires_at,
            state="waiting",
            waits_for=(),
            inputs={},
            requested_by=caller,
            requested_at=context.clock.now(),
        )
        kept = await adjustments.ask(tx.conn, asked, await _terms(tx, request))
        return _answer(tx, kept, 202 if kept.state == "waiting" else 201)


@router.get("/v1/adjustments", openapi_extra=READ)
async def list_adjustments(
    context: Ctx,
    request: Request,
    state: Literal["waiting", "all"] = "waiting",
    cursor: str = "",
    limit: paging.Limit = 50,
) -> paging.Page[AdjustmentView]:
    """Those that wait for a second person, or all; newest first."""
    before = POSITION.decode(cursor) or LAST
    async with context.engine.connect() as conn:
        found = await store.list_newest(conn, before, limit + 1, waiting=state == "waiting")
    views = _shown(request, None, [AdjustmentView.of(each) for each in found])
    return paging.page(views, limit, lambda view: POSITION.encode((view.requested_at, view.id)))


@router.get("/v1/adjustments/{adjustment_id}", openapi_extra=READ_ONE)
async def get_adjustment(adjustment_id: UUID, context: Ctx, request: Request) -> AdjustmentView:
    async with context.engine.connect() as conn:
        found = await store.get(conn, adjustment_id)
    if found is None:
        raise NotFound("no adjustment of this id")
    [view] = _shown(request, found.customer_id, [AdjustmentView.of(found)])
    return view


@router.post(
    "/v1/adjustments/{adjustment_id}/approve",
    response_model=AdjustmentView,
    openapi_extra=needs("loyalty:admin", subject=ROUTE_CHECKS),
)
async def approve(adjustment_id: UUID, body: DecisionBody, request: Request) -> Response:
    """Book one that waits. By another key than the one that asked for it."""
    return await _decide(adjustment_id, body, request, "booked")


@router.post(
    "/v1/adjustments/{adjustment_id}/decline",
    response_model=AdjustmentView,
    openapi_extra=needs("loyalty:admin", subject=ROUTE_CHECKS),
)
async def decline(adjustment_id: UUID, body: DecisionBody, request: Request) -> Response:
    """Let one that waits have no effect. By another key than the one that asked for it."""
    return await _decide(adjustment_id, body, request, "declined")


def _shown(
    request: Request, subject: str | None, views: list[AdjustmentView]
) -> list[AdjustmentView]:
    """As the caller may see them; that he read of somebody is recorded where he did."""
    if not sees_people(request):
        return [view.of_nobody() for view in views]
    audit.read(request.scope, subject)
    return views


async def _decide(id_: UUID, body: DecisionBody, request: Request, state: State) -> Response:
    check_text(body.comment)
    async with once(request, body) as tx:
        seen = await store.get(tx.conn, id_)
        if seen is None:
            raise NotFound("no adjustment of this id")
        decided = adjustments.Decided(
            state, caller_of(request).id, context_of(request).clock.now(), body.comment
        )
        after = await adjustments.decide(tx.conn, seen, decided, await _terms(tx, request))
        return _answer(tx, after, 200)


async def _terms(tx: Tx, request: Request) -> Terms:
    return Terms(await definitions.book(tx.conn), context_of(request).stores)


def _answer(tx: Tx, kept: Adjustment, status: int) -> Response:
    tx.subject = kept.customer_id
    tx.detail = {
        "adjustment": str(kept.id),
        "points": kept.points,
        "reason": kept.reason,
        "state": kept.state,
        "requested_by": kept.requested_by,
    }
    return tx.answer(AdjustmentView.of(kept), status=status)
