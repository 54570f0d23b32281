"""Paid membership: bought, renewed and refunded term by term.

    GET  /v1/accounts/{customer_id}/subscriptions              what holds, and every term
    POST /v1/accounts/{customer_id}/subscriptions              buy the first or the next term
    POST /v1/accounts/{customer_id}/subscriptions/refunds      give back the unused days

The id of the shop's document is the business key, for ever: the same purchase sent again
under another Idempotency-Key is answered with its term; another one under the same id is a
named conflict.
"""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel

from services.loyalty.api.reach import visible
from services.loyalty.members.subscriptions import (
    PaidTier,
    Purchase,
    Refund,
    State,
    Term,
    paid_tier,
)
from services.loyalty.store import subscriptions as store
from services.loyalty.work import subscribing
from services.loyalty.work.subscribing import Moment
from shared import aliases
from shared.errors import Unprocessable
from shared.events.envelope import CustomerId
from shared.events.fields import Amount, Code, Id, StoreId
from shared.http.auth import needs
from shared.http.context import Body, Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/accounts/{customer_id}/subscriptions", tags=["subscriptions"])

WRITE = needs("loyalty:write", subject="customer_id")


class Buy(Body):
    """A purchase that was paid. `store` decides in which zone days begin."""

    plan_id: Code
    document_id: Id
    time: AwareDatetime | None = None
    """When it was bought; absent: now."""
    store: StoreId | None = None
    paid_minor: Amount | None = None
    """What was paid, if not the plan's price."""


class GiveBack(Body):
    """Which term is refunded, and the document of the refund."""

    term_document_id: Id
    document_id: Id
    time: AwareDatetime | None = None
    """When it was asked for; absent: now."""


class RefundView(BaseModel):
    """`amount_minor` is `paid_minor * days_unused / days`, rounded down to the minor unit."""

    document_id: str
    time: datetime
    days_unused: int
    days: int
    amount_minor: int


class TermView(BaseModel):
    """One month or year that was paid for, and how it stands now."""

    document_id: str
    plan_id: str
    plan_version: int
    state: State
    tier: str
    bought_at: datetime
    starts_at: datetime
    ends_at: datetime
    """The first moment that is no longer paid for."""
    holds_until: datetime
    """With its days of grace."""
    paid_minor: int
    currency: str
    refund: RefundView | None = None

    @classmethod
    def of(cls, term: Term, at: datetime) -> "TermView":
        names = cls.model_fields.keys() - {"state", "refund"}
        return cls(
            state=term.state(at),
            refund=_refund_view(term.refund) if term.refund else None,
            **{name: getattr(term, name) for name in names},
        )


class SubscriptionView(BaseModel):
    """What the person has paid for. `tier` null: nothing holds."""

    customer_id: str
    tier: str | None
    until: datetime | None
    plan_id: str | None
    benefits: dict[str, Any]
    in_grace: bool
    terms: list[TermView]
    """In the order of their starts, refunded and lapsed ones too."""


@router.get("", openapi_extra=needs("loyalty:read", subject="customer_id", storefront=True))
async def get_subscription(
    customer_id: CustomerId, context: Ctx, request: Request
) -> SubscriptionView:
    """What holds now, and the history."""
    async with context.engine.connect() as conn:
        person = await aliases.person_of(conn, customer_id)
        by_id = await store.list_of_people(conn, visible(request, person.members))
    now = context.clock.now()
    terms = sorted((t for own in by_id.values() for t in own), key=lambda t: t.starts_at)
    paid = paid_tier(terms, now)
    return _view(customer_id, paid, [TermView.of(term, now) for term in terms])


@router.post("", status_code=201, openapi_extra=WRITE, response_model=TermView)
async def buy(customer_id: CustomerId, body: Buy, request: Request) -> Response:
    """Buy a term; it begins now, or where the one before it ends."""
    context = context_of(request)
    now = context.clock.now()
    purchase = Purchase(
        body.document_id,
        _past(body.time, now),
        context.stores.get(body.store or "").zone,
        body.paid_minor,
    )
    async with once(request, body) as tx:
        moment = Moment(purchase.at, now, context.stores)
        bought = await subscribing.buy(tx.conn, customer_id, body.plan_id, purchase, moment)
        tx.detail = {"document_id": body.document_id, "plan_id": body.plan_id}
        view = TermView.of(bought.term, now)
        return tx.answer(view, status=201 if bought.is_new else 200)


@router.post("/refunds", openapi_extra=WRITE, response_model=TermView)
async def refund(customer_id: CustomerId, body: GiveBack, request: Request) -> Response:
    """End a term now and give back its unused days; the answer says how much."""
    context = context_of(request)
    now = context.clock.now()
    moment = Moment(_past(body.time, now), now, context.stores)
    async with once(request, body) as tx:
        term = await subscribing.give_back(
            tx.conn, customer_id, body.term_document_id, body.document_id, moment
        )
        assert term.refund, "give_back refunds"
        tx.detail = {
            "document_id": body.document_id,
            "term_document_id": body.term_document_id,
            "amount_minor": term.refund.amount_minor,
        }
        return tx.answer(TermView.of(term, now))


def _past(time: datetime | None, now: datetime) -> datetime:
    if time and time > now:
        raise Unprocessable("time: is in the future; send when it happened, or leave it out")
    return time or now


def _refund_view(told: Refund) -> RefundView:
    return RefundView(
        document_id=told.document_id,
        time=told.at,
        days_unused=told.days_unused,
        days=told.days,
        amount_minor=told.amount_minor,
    )


def _view(customer_id: str, paid: PaidTier | None, terms: list[TermView]) -> SubscriptionView:
    return SubscriptionView(
        customer_id=customer_id,
        tier=paid.tier if paid else None,
        until=paid.until if paid else None,
        plan_id=paid.plan_id if paid else None,
        benefits=dict(paid.benefits) if paid else {},
        in_grace=bool(paid and paid.in_grace),
        terms=terms,
    )
