"""What a cart gets from offers and coupons, and what it would then earn; nothing is written.

    POST /v1/quotes

A storefront asks for its own customer, and for now. A server key asks for anyone, or for
nobody, and for any time: what will a campaign give that has not begun? Of coupons it brings
the customer's own only; a server key whatever code was typed.
"""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.loyalty.api.carts import CartAsked
from services.loyalty.api.offers import OffersView
from services.loyalty.benefits.discounts import Effect
from services.loyalty.benefits.presenting import Shown, Whose
from services.loyalty.earning import snapshots
from services.loyalty.earning.awarding import Awards, award
from services.loyalty.earning.orders import Terms
from services.loyalty.earning.rules import rulebook_at
from services.loyalty.earning.snapshots import RuleVerdict
from services.loyalty.promotions import quoting
from services.loyalty.promotions.quoting import Quoted
from services.loyalty.store import definitions
from services.loyalty.terms.cart import Cart
from services.loyalty.work import claiming
from services.loyalty.work.claiming import Asking
from shared.errors import Forbidden, Reject, Unprocessable
from shared.http import audit
from shared.http.auth import ROUTE_CHECKS, caller_of, needs, own
from shared.http.context import context_of

router = APIRouter(prefix="/v1", tags=["quotes"])


# Dataclasses, and not models: a quote holds hundreds of them, and none needs to be validated.
@dataclass(frozen=True, slots=True)
class RuleView:
    """What a rule says of the whole order: `earned`, or what prevented it on every line."""

    rule_id: str
    version: int
    kind: str
    verdict: str
    points: int
    cut: int
    """How many more it would have been without the cap `cut_by`."""
    cut_by: str

    @classmethod
    def of(cls, one: RuleVerdict) -> "RuleView":
        return cls(
            rule_id=one.rule_id,
            version=one.version,
            kind=one.kind,
            verdict=one.verdict,
            points=one.points,
            cut=one.cut,
            cut_by=one.cut_by,
        )


@dataclass(frozen=True, slots=True)
class LineRuleView:
    """What a rule says of one line: `earned`, or the name of what prevented it."""

    rule_id: str
    version: int
    verdict: str
    basis: int
    """The money that counted, in minor units; for a multiplier, the base points."""
    points: int


@dataclass(frozen=True, slots=True)
class LineView:
    """What one line earns, and every rule's verdict."""

    line_id: str
    points: int
    rules: list[LineRuleView]

    @classmethod
    def of(cls, line_id: str, points: int, found: list[RuleVerdict]) -> "LineView":
        told = [(one, one.of_line(line_id)) for one in found]
        return cls(
            line_id=line_id,
            points=points,
            rules=[
                LineRuleView(
                    rule_id=one.rule_id,
                    version=one.version,
                    verdict=line.verdict,
                    basis=line.basis,
                    points=line.points,
                )
                for one, line in told
            ],
        )


class CouponView(BaseModel):
    """What one code does. `refusal`, if it does nothing: `unknown`, `mistyped`, `expired`, `used`,
    `void`, `reserved`, `not_theirs`, or of this cart `store`, `no_line`, `spend_min` (and how much
    is missing), `stacking`, `nothing_left`. A gift has a `product_id` or a `sku`."""

    code: str
    reward_id: str | None = None
    kind: str | None = None
    refusal: str | None = None
    missing_minor: int = 0
    discount_minor: int = 0
    by_line: dict[str, int] = Field(default_factory=dict)
    product_id: str | None = None
    sku: str | None = None

    @classmethod
    def of(cls, code: str, effect: Effect) -> "CouponView":
        reward = effect.presented.reward
        return cls(
            code=code,
            reward_id=effect.presented.reward_id,
            kind=reward.kind,
            refusal=effect.refusal,
            missing_minor=effect.missing_minor,
            discount_minor=effect.taken_minor,
            by_line=dict(effect.lines),
            product_id=reward.product_id if effect.gives else None,
            sku=reward.sku if effect.gives else None,
        )


class CouponsView(BaseModel):
    """What the coupons take off of what offers have left: those that are good for the cart in the
    order in which they work, then the others."""

    discount_minor: int
    by_line: dict[str, int]
    coupons: list[CouponView]

    @classmethod
    def of(cls, quoted: Quoted, shown: Shown) -> "CouponsView":
        codes = {one.coupon_id: code for code, one in shown.good.items()}
        by_line = quoted.by_coupons
        return cls(
            discount_minor=sum(by_line.values()),
            by_line=by_line,
            coupons=[
                *(CouponView.of(codes[e.presented.coupon_id], e) for e in quoted.effects),
                *(CouponView(code=code, refusal=name) for code, name in shown.refused.items()),
            ],
        )


class QuoteView(BaseModel):
    """What offers and then coupons give for the cart, and what it earns on what is left to pay.
    Lines that are no product earn nothing."""

    at: datetime
    discount_minor: int
    """Of offers and coupons together, and so is `by_line`."""
    by_line: dict[str, int]
    offers: OffersView
    coupons: CouponsView
    points: int
    lines: list[LineView]
    rules: list[RuleView]


@router.post(
    "/quotes",
    response_model=QuoteView,
    openapi_extra=needs("loyalty:read", subject=ROUTE_CHECKS, storefront=True),
)
async def quote(body: CartAsked, request: Request) -> Response:
    """What would this cart get, and earn?"""
    customer_id = _asker(body, request)
    context = context_of(request)
    cart = body.cart(context.clock.now(), context.stores)
    async with context.engine.connect() as conn:
        terms = Terms(await definitions.book(conn), context.stores)
        asking = Asking(cart, customer_id, body.coupons, _whose(request), _pooled(request))
        asked = await claiming.ask(conn, asking, terms)
        used = await claiming.used(conn, asked)
    coupons = asked.shown.good.values()
    quoted = quoting.quote(asked.cart, asked.shopper, asked.offers, used, coupons)
    cart = quoting.discounted(asked.cart, quoted.by_line)
    rulebook = rulebook_at(terms.book, cart.at, context.stores.base_currency)
    try:
        awards = award(cart, asked.shopper, rulebook, asked.counted)
    except Reject as error:
        raise Unprocessable(str(error)) from None
    every = caller_of(request).kind != "storefront"
    offers, redeemed = OffersView.of(quoted, every=every), CouponsView.of(quoted, asked.shown)
    view = _view(cart, offers, redeemed, quoted.by_line, awards)
    return Response(view.model_dump_json(), media_type="application/json")


def _asker(body: CartAsked, request: Request) -> str:
    """Whom the quote is for; a storefront's is for its own customer, and for now."""
    caller = caller_of(request)
    if caller.kind == "storefront":
        own(request, body.customer_id or caller.sub)
        if body.at:
            raise Forbidden("at: only a server key looks at another time")
        return caller.sub
    if body.customer_id:
        audit.read(request.scope, body.customer_id)
    return body.customer_id or ""


def _whose(request: Request) -> Whose:
    """Of whose coupons may be told; a storefront must learn nothing by trying codes."""
    return "own" if caller_of(request).kind == "storefront" else "any"


def _pooled(request: Request) -> bool:
    """Whoever uses the browser next must not see what the customer has."""
    caller = caller_of(request)
    return caller.kind != "storefront" or not caller.sub.startswith("anon:")


def _view(
    cart: Cart, offers: OffersView, coupons: CouponsView, by_line: dict[str, int], awards: Awards
) -> QuoteView:
    found = snapshots.verdicts(awards)
    return QuoteView(
        at=cart.at,
        discount_minor=sum(by_line.values()),
        by_line=by_line,
        offers=offers,
        coupons=coupons,
        points=awards.points,
        lines=[
            LineView.of(item.line_id, awards.lines[item.line_id], found)
            for item in cart.items
            if item.line_id in awards.lines
        ],
        rules=[RuleView.of(one) for one in found],
    )
