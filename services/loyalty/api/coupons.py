"""Coupons at the checkout, by the codes that customers type: for servers only.

    POST /v1/coupons/{code}/reserve   for an order, for a time
    POST /v1/coupons/{code}/use       the order has it: once, and again for the same order
    POST /v1/coupons/{code}/free      the order has it not
    POST /v1/coupons/{code}/void      it counts no more; what it cost goes back

What codes take off a cart is told by its quote (`POST /v1/quotes`). A checkout that dies need
not come back: the order's own `coupon`, and its id on what was reserved, use the coupons once
it is paid and give them back if it is cancelled.
"""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import Field

from services.loyalty.api.reservations import cause_of
from services.loyalty.api.rewards import Worth
from services.loyalty.benefits import codes
from services.loyalty.benefits.coupons import Coupon, Deed, Free, Reserve, Use
from services.loyalty.benefits.rewards import Reward
from services.loyalty.store import definitions
from services.loyalty.work import couponing
from shared.events.envelope import CustomerId
from shared.events.fields import Id, Label
from shared.http.auth import needs
from shared.http.context import Body, Context, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/coupons", tags=["coupons"])

WRITE = needs("loyalty:write")
Typed = Annotated[str, Path(max_length=codes.TYPED_MAX)]


class OfOrder(Body):
    """Which order, and whose, where that is known: some coupons are good for their owner only."""

    order_id: Id
    customer_id: CustomerId | None = None


class ReserveAsked(OfOrder):
    """And for how long."""

    minutes: Annotated[int, Field(ge=1, le=1_440)] = 30


class VoidAsked(Body):
    """Why, for the audit log."""

    reason: Label = ""


class CheckoutView(Worth):
    """A coupon as the checkout sees it."""

    issue_id: UUID
    customer_id: str | None
    state: str
    order_id: str | None
    reserved_until: datetime | None
    expires_at: datetime | None

    @classmethod
    def of(cls, one: Coupon, reward: Reward, context: Context) -> "CheckoutView":
        return cls(
            **cls.fields(one.reward_id, reward, context.stores.base_currency),
            issue_id=one.id,
            customer_id=one.customer_id,
            state=one.shown(context.clock.now()),
            order_id=one.order_id,
            reserved_until=one.reserved_until,
            expires_at=one.expires_at,
        )


@router.post("/{code}/reserve", response_model=CheckoutView, openapi_extra=WRITE)
async def reserve(code: Typed, body: ReserveAsked, request: Request) -> Response:
    """Set the coupon aside for the order; again for the same order, it lasts from now."""
    deed = Reserve(body.order_id, timedelta(minutes=body.minutes))
    return await _act(code, deed, body, request)


@router.post("/{code}/use", response_model=CheckoutView, openapi_extra=WRITE)
async def use(code: Typed, body: OfOrder, request: Request) -> Response:
    """The order has the coupon, for good. It need not have been reserved."""
    return await _act(code, Use(body.order_id), body, request)


@router.post("/{code}/free", response_model=CheckoutView, openapi_extra=WRITE)
async def free(code: Typed, body: OfOrder, request: Request) -> Response:
    """The order lets go of what it had reserved. What was used stays used."""
    return await _act(code, Free(body.order_id), body, request)


@router.post("/{code}/void", response_model=CheckoutView, openapi_extra=WRITE)
async def void(code: Typed, body: VoidAsked, request: Request) -> Response:
    """The coupon counts no more; points that were paid for it go back to their own lots."""
    context = context_of(request)
    async with once(request, body) as tx:
        book = await definitions.book(tx.conn)
        one, reward = await couponing.void(
            tx.conn, code, cause_of(request, context), book, context.stores
        )
        tx.subject = one.customer_id
        tx.detail = {"issue_id": str(one.id), "points": one.points, "reason": body.reason}
        return tx.answer(CheckoutView.of(one, reward, context))


async def _act(code: str, deed: Deed, body: OfOrder, request: Request) -> Response:
    context = context_of(request)
    async with once(request, body) as tx:
        book = await definitions.book(tx.conn)
        one, reward = await couponing.act(
            tx.conn, code, deed, cause_of(request, context), book, customer_id=body.customer_id
        )
        tx.subject, tx.detail = one.customer_id, {"issue_id": str(one.id), "state": one.state}
        return tx.answer(CheckoutView.of(one, reward, context))
