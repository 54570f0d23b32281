"""Coupons at the checkout, by the codes that customers type: for servers only.

    POST /v1/coupons/quotes           what codes take off a cart; nothing is set aside
    POST /v1/coupons/{code}/reserve   for an order, for a time
    POST /v1/coupons/{code}/use       the order has it: once, and again for the same order
    POST /v1/coupons/{code}/free      the order has it not
    POST /v1/coupons/{code}/void      it counts no more; what it cost goes back

A checkout that dies need not come back: the order's own `coupon`, and its id on what was
reserved, use the coupons once it is paid and give them back if it is cancelled.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.loyalty import codes, couponing, coupons
from services.loyalty.api.reservations import cause_of
from services.loyalty.api.rewards import Worth
from services.loyalty.cart import Cart, Item, Kind
from services.loyalty.coupons import Coupon, Deed, Free, Reserve, Use
from services.loyalty.discounts import Effect, Presented, apply
from services.loyalty.rewards import Reward
from services.loyalty.store import coupons as store
from services.loyalty.store import definitions
from shared.errors import Conflict, NotFound
from shared.events.envelope import CustomerId, Minor
from shared.events.fields import LINES_MAX, Amount, Id, Label, Quantity, StoreId
from shared.http.auth import needs
from shared.http.context import Body, Context, Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/coupons", tags=["coupons"])

WRITE = needs("loyalty:write")
CODES_MAX = 20
"""On one order."""

REFUSALS: dict[type[Exception], str] = {
    couponing.NoSuchCoupon: "unknown",
    couponing.CodeMistyped: "mistyped",
    coupons.CouponExpired: "expired",
    coupons.CouponUsed: "used",
    coupons.CouponVoid: "void",
    coupons.CouponReserved: "reserved",
    coupons.NotTheirs: "not_theirs",
}

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


class CartLine(Body):
    """A line as it would be bought: its total after other discounts, in the base currency."""

    line_id: Id
    total_minor: Minor
    quantity: Quantity = 1
    kind: Kind = "product"
    discount_minor: Amount = 0
    product_id: str = ""
    sku: str = ""
    category: tuple[Label, ...] = ()
    brand: Label = ""
    attributes: dict[str, Any] = Field(default_factory=dict)


class QuoteAsked(Body):
    """Which codes, for which cart. `order_id`: what is reserved for it is its own."""

    codes: Annotated[
        tuple[Annotated[str, Field(max_length=codes.TYPED_MAX)], ...], Field(max_length=CODES_MAX)
    ]
    lines: Annotated[tuple[CartLine, ...], Field(max_length=LINES_MAX)]
    store: StoreId = "default"
    order_id: Id | None = None
    customer_id: CustomerId | None = None


class EffectView(BaseModel):
    """What one code does. `refusal`, if it does nothing: `unknown`, `mistyped`, `expired`, `used`,
    `void`, `reserved`, `not_theirs`, or of this cart `store`, `no_line`, `spend_min` (and how much
    is missing), `stacking`, `nothing_left`."""

    code: str
    reward_id: str | None = None
    kind: str | None = None
    refusal: str | None = None
    missing_minor: int = 0
    taken_minor: int = 0
    lines: dict[str, int] = Field(default_factory=dict)
    product_id: str | None = None
    sku: str | None = None

    @classmethod
    def of(cls, code: str, effect: Effect) -> "EffectView":
        reward = effect.presented.reward
        return cls(
            code=code,
            reward_id=effect.presented.reward_id,
            kind=reward.kind,
            refusal=effect.refusal,
            missing_minor=effect.missing_minor,
            taken_minor=effect.taken_minor,
            lines=dict(effect.lines),
            product_id=reward.product_id if effect.gives else None,
            sku=reward.sku if effect.gives else None,
        )


class QuoteView(BaseModel):
    """All codes together, those that work in the order in which they work."""

    currency: str
    taken_minor: int
    coupons: list[EffectView]


@router.post("/quotes", openapi_extra=needs("loyalty:read"))
async def quote(body: QuoteAsked, context: Ctx) -> QuoteView:
    """What these codes take off the cart, line by line. Nothing is set aside."""
    now, order_id = context.clock.now(), body.order_id or ""
    typed = {codes.digest(code): code for code in body.codes}
    refused, presented, names = [], [], {}
    async with context.engine.connect() as conn:
        book = await definitions.book(conn)
        found = await store.load_by_digest(conn, typed)
        for digest, code in typed.items():
            try:
                if (one := found.get(digest)) is None:
                    raise couponing.missing(code)
                reward = couponing.reward_of(book, one)
                if reward.occasion == "member_only":
                    await couponing.check_owner(conn, one, body.customer_id)
                coupons.act(one, Use(order_id), now)
            except (Conflict, NotFound) as refusal:
                refused.append(EffectView(code=code, refusal=REFUSALS[type(refusal)]))
            else:
                names[one.id] = code
                presented.append(Presented(one.id, one.reward_id, reward))
    effects = apply(_cart(body, context, now), presented)
    return QuoteView(
        currency=context.stores.base_currency,
        taken_minor=sum(effect.taken_minor for effect in effects),
        coupons=[EffectView.of(names[e.presented.coupon_id], e) for e in effects] + refused,
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


def _cart(body: QuoteAsked, context: Context, now: datetime) -> Cart:
    return Cart(
        store=body.store,
        at=now,
        zone=context.stores.get(body.store).tz,
        currency=context.stores.base_currency,
        items=tuple(Item(**line.model_dump()) for line in body.lines),
    )
