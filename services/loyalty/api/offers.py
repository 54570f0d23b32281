"""Offers at the checkout: what an order was promised is claimed, counted once paid, or freed.

    POST   /v1/offers/claims              take what was quoted, exactly, or nothing
    GET    /v1/offers/claims/{order_id}
    DELETE /v1/offers/claims/{order_id}   the order is not placed after all
    GET    /v1/offers/{id}/budget         what has come of an offer that has a budget

A claim is the checkout's server's business; a storefront quotes (`POST /v1/quotes`). Its
order's own events count it or free it, and so does time.
"""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, model_validator

from services.loyalty.api.carts import CartAsked
from services.loyalty.api.definitions import Name, routes
from services.loyalty.promotions.claims import Claim, Promised
from services.loyalty.promotions.offers import Budget, Gift, Offer
from services.loyalty.promotions.quoting import Nearest, Quoted
from services.loyalty.promotions.stacking import UNUSED, GiftGiven, Verdict
from services.loyalty.store import claims as store
from services.loyalty.store import definitions
from services.loyalty.work import claiming
from services.loyalty.work.claiming import Asking
from shared.errors import NotFound
from shared.events.fields import Id
from shared.http import audit
from shared.http.auth import needs
from shared.http.context import Body, Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/offers", tags=["offers"])
OFFERS = routes(Offer, "offers")
WITHIN_REACH = frozenset({"", "spend", "pieces", "beaten", "nothing_left"})
"""Reasons that another cart would change."""
OFFERS_MAX = 100
"""On one order: more than ever apply together."""
CHECKOUT = needs("loyalty:write")


class GiftView(BaseModel):
    """`times` one of the choices, as the customer likes."""

    times: int
    choices: tuple[Gift, ...]

    @classmethod
    def of(cls, gift: GiftGiven | None) -> "GiftView | None":
        return cls(times=gift.times, choices=gift.choices) if gift else None


class OfferView(BaseModel):
    """What is said of one offer. Without a `reason` it applies."""

    offer_id: str
    version: int
    name: str
    applies: bool
    reason: str
    beaten_by: str
    level: int
    discount_minor: int
    by_line: dict[str, int]
    gift: GiftView | None

    @classmethod
    def of(cls, verdict: Verdict) -> "OfferView":
        return cls(
            offer_id=verdict.offer.id,
            version=verdict.offer.version,
            name=verdict.offer.body.name,
            applies=not verdict.reason,
            reason=verdict.reason,
            beaten_by=verdict.beaten_by,
            level=verdict.level,
            discount_minor=verdict.discount_minor,
            by_line=dict(verdict.by_line),
            gift=GiftView.of(verdict.gift),
        )


class NearestView(BaseModel):
    """So much more money, or so many more pieces, of the like of a line, and the offer gives
    `discount_minor` in all; the cart's discount grows by `more_minor`."""

    offer_id: str
    name: str
    like_line_id: str
    missing_minor: int
    missing_pieces: int
    discount_minor: int
    more_minor: int
    gift: GiftView | None

    @classmethod
    def of(cls, near: Nearest) -> "NearestView":
        return cls(
            offer_id=near.offer.id,
            name=near.offer.body.name,
            like_line_id=near.line_id,
            missing_minor=near.missing_minor,
            missing_pieces=near.missing_pieces,
            discount_minor=near.discount_minor,
            more_minor=near.more_minor,
            gift=GiftView.of(near.gift),
        )


class OffersView(BaseModel):
    """What the offers give for a cart: what is off each line, each offer's verdict, and the nearest
    offers not reached, the nearest first."""

    discount_minor: int
    by_line: dict[str, int]
    offers: list[OfferView]
    nearest: list[NearestView]

    @classmethod
    def of(cls, quoted: Quoted, *, every: bool) -> "OffersView":
        """`every` false: without the offers that are not for this customer, such as the staff's."""
        return cls(
            discount_minor=quoted.applied.discount_minor,
            by_line=dict(quoted.applied.by_line),
            offers=[
                OfferView.of(each)
                for each in quoted.applied.verdicts
                if every or each.reason in WITHIN_REACH
            ],
            nearest=[NearestView.of(each) for each in quoted.nearest],
        )


class ClaimAsked(Body):
    """The cart as it was quoted, and what its offers gave."""

    order_id: Id
    cart: CartAsked
    offers: Annotated[tuple[Promised, ...], Field(min_length=1, max_length=OFFERS_MAX)]

    @model_validator(mode="after")
    def _is_about_to_be_bought(self) -> Self:
        if not self.cart.customer_id:
            raise ValueError("cart.customer_id: say who buys; guest:<order_id> for a guest")
        if self.cart.at:
            raise ValueError("cart.at: a claim is for now; leave it out")
        if self.cart.order_id not in {None, self.order_id}:
            raise ValueError("cart.order_id: it is not order_id; leave it out")
        return self


class GivenView(BaseModel):
    """One offer on the order."""

    offer_id: str
    version: int
    discount_minor: int
    by_line: dict[str, int]
    gift: GiftView | None


class ClaimView(BaseModel):
    """What the order was promised; `by_line` sums up all its offers."""

    order_id: str
    customer_id: str | None
    state: str
    expires_at: datetime
    discount_minor: int
    by_line: dict[str, int]
    offers: list[GivenView]

    @classmethod
    def of(cls, claim: Claim) -> "ClaimView":
        by_line = claim.by_line
        return cls(
            order_id=claim.order_id,
            customer_id=claim.customer_id,
            state=claim.state,
            expires_at=claim.expires_at,
            discount_minor=sum(by_line.values()),
            by_line=by_line,
            offers=[
                GivenView(
                    offer_id=each.offer_id,
                    version=each.version,
                    discount_minor=each.discount_minor,
                    by_line=each.by_line,
                    gift=GiftView.of(each.gift),
                )
                for each in claim.given
            ],
        )


class BudgetView(BaseModel):
    """What has come of the offer since it first had a budget, and what it may come to."""

    offer_id: str
    uses: int
    cost_minor: int
    budget: Budget


@router.post("/claims", response_model=ClaimView, openapi_extra=CHECKOUT)
async def claim(body: ClaimAsked, request: Request) -> Response:
    """Take what was quoted. Another claim of the same order takes this one's place."""
    context = context_of(request)
    async with once(request, body) as tx:
        now = context.clock.now()
        asked = body.cart.model_copy(update={"order_id": body.order_id})
        customer_id = asked.customer_id or ""
        asking = Asking(asked.cart(now, context.stores), customer_id, asked.coupons)
        made = await claiming.claim(tx.conn, asking, body.offers, context.stores)
        tx.subject, tx.detail = customer_id, {"order_id": body.order_id}
        return tx.answer(ClaimView.of(made))


@router.get("/claims/{order_id}", openapi_extra=needs("loyalty:read"))
async def get_claim(order_id: Id, context: Ctx, request: Request) -> ClaimView:
    """What the order was promised, and whether it counts."""
    async with context.engine.connect() as conn:
        found = await store.load(conn, order_id)
    if found is None:
        raise NotFound(claiming.NO_CLAIM)
    if found.customer_id:
        audit.read(request.scope, found.customer_id)
    return ClaimView.of(found)


@router.delete("/claims/{order_id}", response_model=ClaimView, openapi_extra=CHECKOUT)
async def release(order_id: Id, request: Request) -> Response:
    """Free what the order was promised; of a paid order it is counted for ever."""
    async with once(request) as tx:
        found = await claiming.release(tx.conn, order_id)
        tx.subject, tx.detail = found.customer_id, {"order_id": order_id}
        return tx.answer(ClaimView.of(found))


@router.get("/{definition_id}/budget", openapi_extra=needs("audit:read", "loyalty:read"))
async def get_budget(definition_id: Name, context: Ctx) -> BudgetView:
    """What has come of an offer: claims that are open, and orders that were paid."""
    async with context.engine.connect() as conn:
        versions = (await definitions.book(conn)).versions(Offer, definition_id)
        use = (await store.load_budgets(conn, [definition_id])).get(definition_id, UNUSED)
    if not versions:
        raise NotFound("no offer of this id has been laid down")
    return BudgetView(
        offer_id=definition_id,
        uses=use.uses,
        cost_minor=use.cost_minor,
        budget=versions[-1].body.budget,
    )
