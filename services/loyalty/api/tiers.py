"""Which tier somebody has, what it gives him, what is missing, and why.

    GET  /v1/tiers                                              the tiers in force, with benefits
    GET  /v1/accounts/{customer_id}/tier                        the card: of all ids of the person
    GET  /v1/accounts/{customer_id}/tier/days                   what counts, day by day
    GET  /v1/accounts/{customer_id}/tier/history                every change, and why

The card is as of now by the business clock: it does not wait for a job. A storefront's token
for an anonymous id sees that id's own tier only.
"""

from collections.abc import Collection
from datetime import date, datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.api.definitions import routes
from services.loyalty.levels.progress import Progress, Step, progress
from services.loyalty.levels.standing import Source
from services.loyalty.levels.tiers import FIRST_DAY, Benefits, Plans, Tier, TierPlan
from services.loyalty.store import definitions, standings
from services.loyalty.store import tier_history as store
from services.loyalty.work import tiering
from shared import aliases
from shared.errors import NotFound
from shared.events.envelope import CustomerId
from shared.http import paging
from shared.http.auth import ROUTE_CHECKS, caller_of, needs
from shared.http.context import Context, Ctx, context_of

PLANS = routes(TierPlan, "tier-plans")
router = APIRouter(prefix="/v1", tags=["tiers"])

OWN_DATA = needs("loyalty:read", subject="customer_id", storefront=True)
READ = needs("loyalty:read", subject="customer_id")
POSITION = paging.Cursor(int)
LAST = 2**62
NO_TIER = "no tier: there is no tier plan, or no order of this customer has counted yet"


class TiersView(BaseModel):
    """The plan in force today; no tiers: there is none."""

    counter: str | None
    tiers: list[Tier]


class StepView(BaseModel):
    """What is missing for a tier, in the plan's counter; `by` is when it must be there."""

    tier: str
    missing: int
    by: datetime | None

    @classmethod
    def of(cls, step: Step | None) -> "StepView | None":
        return cls(tier=step.tier, missing=step.missing, by=step.by) if step else None


class SourceView(BaseModel):
    """Something that gives a tier; the first one in the list is what counts."""

    source: Source
    tier: str
    until: datetime | None


class CardView(BaseModel):
    """A tier now. `projected` is the tier from `valid_until` on, if nothing more is bought."""

    customer_id: str
    tier: str
    name: str
    benefits: Benefits
    since: datetime | None
    valid_until: datetime | None
    """Null: it cannot be lost."""
    counter: str
    """What is counted: spend_minor, orders or points."""
    counted: int
    counted_from: date
    counted_until: date | None
    """The first day that no longer counts for this period; null: every day counts."""
    to_next: StepView | None
    to_stay: StepView | None
    projected: str
    sources: list[SourceView]

    @classmethod
    def of(cls, customer_id: str, card: Progress, plan: TierPlan) -> "CardView":
        return cls(
            customer_id=customer_id,
            tier=card.tier.code,
            name=card.tier.name,
            benefits=card.tier.benefits,
            since=card.since,
            valid_until=card.valid_until,
            counter=plan.counter,
            counted=card.counter,
            counted_from=card.counted_from,
            counted_until=card.counted_until,
            to_next=StepView.of(card.to_next),
            to_stay=StepView.of(card.to_stay),
            projected=card.projected,
            sources=[
                SourceView(source=rank.source, tier=rank.tier, until=rank.until)
                for rank in card.sources
            ],
        )


class DayView(BaseModel):
    """What the orders of one business day count for, of one id."""

    customer_id: str
    day: date
    spend_minor: int
    orders: int
    points: int


class DaysView(BaseModel):
    """By day, the earliest first."""

    items: list[DayView]


class ToldView(BaseModel):
    """One change of the tier. `document` is the order or grant behind it, if there is one."""

    seq: int
    version: int
    tier: str
    before: str
    direction: str
    reason: str
    at: datetime
    valid_until: datetime | None
    qualifying: int
    document: str
    cause_source: str
    cause_id: str
    recorded_at: datetime


@router.get("/tiers", openapi_extra=needs("loyalty:read", subject=ROUTE_CHECKS, storefront=True))
async def list_tiers(context: Ctx) -> TiersView:
    """The tiers in force, from the lowest, with what each gives."""
    plan = (await plans_now(context)).at(context.clock.now())
    return TiersView(counter=plan.counter if plan else None, tiers=list(plan.tiers) if plan else [])


@router.get("/accounts/{customer_id}/tier", response_model=CardView, openapi_extra=OWN_DATA)
async def get_tier(customer_id: CustomerId, request: Request) -> Response:
    """The card: the tier with its benefits, and what is missing to rise and to stay."""
    card = await card_of(request, customer_id)
    if card is None:
        raise NotFound(NO_TIER)
    return Response(card.model_dump_json(), media_type="application/json")


async def card_of(request: Request, customer_id: str) -> CardView | None:
    """The card as of now; None: there is no tier plan, or nothing has counted yet."""
    context = context_of(request)
    plans, now = await plans_now(context), context.clock.now()
    pooled = _sees_all(request, customer_id)
    found = await standings.get_hot(context.hot, customer_id, now, plans, pooled=pooled)
    card = progress(plans, found.person, now) if found else None
    plan = plans.at(now)
    return CardView.of(customer_id, card, plan) if card and plan else None


@router.get("/accounts/{customer_id}/tier/days", openapi_extra=OWN_DATA)
async def list_days(
    customer_id: CustomerId, context: Ctx, request: Request, since: date = FIRST_DAY
) -> DaysView:
    """What counts for the tier, by day: less whatever was returned of that day's orders."""
    async with context.engine.connect() as conn:
        days = await store.list_days(conn, await _members(conn, request, customer_id), since)
    return DaysView(items=[DayView.model_validate(day, from_attributes=True) for day in days])


@router.get("/accounts/{customer_id}/tier/history", openapi_extra=READ)
async def list_history(
    customer_id: CustomerId,
    context: Ctx,
    request: Request,
    cursor: str = "",
    limit: paging.Limit = 50,
) -> paging.Page[ToldView]:
    """Every change of the tier that was told, the last first, with its reason and cause."""
    before = POSITION.decode(cursor) or LAST
    async with context.engine.connect() as conn:
        members = await _members(conn, request, customer_id)
        told = await store.list_history(conn, members, before, limit + 1)
    views = [ToldView.model_validate(each, from_attributes=True) for each in told]
    return paging.page(views, limit, lambda view: POSITION.encode(view.seq))


async def plans_now(context: Context) -> Plans:
    """The plan's versions, from the hot pool."""
    book = await definitions.hot_book(context.hot, context.engine)
    return tiering.plans_in(book, context.stores)


async def _members(conn: AsyncConnection, request: Request, customer_id: str) -> Collection[str]:
    if not _sees_all(request, customer_id):
        return [customer_id]
    return (await aliases.person_of(conn, customer_id)).members


def _sees_all(request: Request, customer_id: str) -> bool:
    return caller_of(request).kind == "key" or not customer_id.startswith("anon:")
