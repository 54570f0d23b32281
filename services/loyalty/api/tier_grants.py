"""Tiers that are not earned: who is given one, until when, why, and its end.

GET, POST /v1/accounts/{customer_id}/tier-grants
POST /v1/accounts/{customer_id}/tier-grants/{grant_id}/end
"""

from datetime import datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.api.tiers import READ, plans_now
from services.loyalty.levels.standing import Grant
from services.loyalty.levels.tiers import Plans
from services.loyalty.store import definitions, standings
from services.loyalty.work import granting, tiering
from shared.errors import Unprocessable
from shared.events.envelope import CustomerId
from shared.events.fields import Code, Label
from shared.http.auth import needs
from shared.http.context import Body, Context, Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/accounts/{customer_id}/tier-grants", tags=["tiers"])

ADMIN = needs("loyalty:admin", subject="customer_id")


class GrantAsked(Body):
    """Which tier, until when (absent: for ever), and why."""

    tier: Code
    until: AwareDatetime | None = None
    reason: Annotated[Label, Field(min_length=1)]


class EndAsked(Body):
    """Why it ends before its time."""

    reason: Annotated[Label, Field(min_length=1)]


class GrantView(BaseModel):
    """A tier from elsewhere."""

    id: str
    source: str
    tier: str
    starts_at: datetime
    until: datetime | None
    reason: str
    ended_for: str

    @classmethod
    def of(cls, grant: Grant) -> "GrantView":
        return cls(
            id=grant.id,
            source=grant.source,
            tier=grant.tier,
            starts_at=grant.starts_at,
            until=grant.until,
            reason=grant.reason,
            ended_for=grant.ended_for,
        )


class GrantedView(GrantView):
    """The grant, and the tier that the customer has with it."""

    current_tier: str


class EndedView(BaseModel):
    """The tier that the customer has without it."""

    id: str
    current_tier: str


class GrantsView(BaseModel):
    """Those that count, and the last that did."""

    items: list[GrantView]


@router.get("", openapi_extra=READ)
async def list_grants(customer_id: CustomerId, context: Ctx) -> GrantsView:
    """The tiers that are not earned, of all ids of the person."""
    plans = await plans_now(context)
    found = await standings.get_hot(
        context.hot, customer_id, context.clock.now(), plans, pooled=True
    )
    grants = found.person.grants if found else ()
    return GrantsView(items=[GrantView.of(grant) for grant in grants])


@router.post(
    "",
    status_code=201,
    response_model=GrantedView,
    openapi_extra=ADMIN,
)
async def grant(customer_id: CustomerId, body: GrantAsked, request: Request) -> Response:
    """Grant a tier. A higher earned one still counts; the grant ends by itself."""
    now = context_of(request).clock.now()
    if body.until and body.until <= now:
        raise Unprocessable("until: give a time to come, or leave it out")
    new = Grant(str(uuid4()), "manual", body.tier, now, body.until, body.reason)
    async with once(request, body) as tx:
        plans = await _plans_of(tx.conn, context_of(request))
        person = await granting.give(tx.conn, customer_id, new, plans, now)
        tx.detail = {"grant_id": new.id, "tier": new.tier, "until": str(new.until or "")}
        view = GrantView.of(new).model_dump()
        return tx.answer(GrantedView(**view, current_tier=person.standing.tier), status=201)


@router.post(
    "/{grant_id}/end",
    response_model=EndedView,
    openapi_extra=ADMIN,
)
async def end(customer_id: CustomerId, grant_id: str, body: EndAsked, request: Request) -> Response:
    """End a grant now: what else the customer has is then what counts."""
    now = context_of(request).clock.now()
    async with once(request, body) as tx:
        plans = await _plans_of(tx.conn, context_of(request))
        person = await granting.end(
            tx.conn, customer_id, grant_id, plans, now=now, reason=body.reason
        )
        tx.detail = {"grant_id": grant_id, "ended": True}
        return tx.answer(EndedView(id=grant_id, current_tier=person.standing.tier))


async def _plans_of(conn: AsyncConnection, context: Context) -> Plans:
    return tiering.plans_in(await definitions.book(conn), context.stores)
