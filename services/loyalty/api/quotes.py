"""What a cart gets from offers, and what it would then earn; nothing is written.

    POST /v1/quotes

A storefront asks for its own customer, and for now. A server key asks for anyone, or for
nobody, and for any time: what will a campaign give that has not begun?
"""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from services.loyalty import claiming, quoting, snapshots
from services.loyalty.api.carts import CartAsked
from services.loyalty.api.offers import OffersView
from services.loyalty.awarding import Awards, award
from services.loyalty.cart import Cart
from services.loyalty.orders import Terms
from services.loyalty.rules import rulebook_at
from services.loyalty.snapshots import RuleVerdict
from services.loyalty.store import definitions
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


class QuoteView(BaseModel):
    """What the offers give for the cart, and what it earns on what is left to pay. Lines that are
    no product earn nothing."""

    at: datetime
    offers: OffersView
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
        asked = await claiming.ask(conn, cart, customer_id, terms, pooled=_pooled(request))
        used = await claiming.used(conn, asked)
    quoted = quoting.quote(asked.cart, asked.shopper, asked.offers, used)
    cart = quoting.discounted(asked.cart, quoted.applied)
    rulebook = rulebook_at(terms.book, cart.at, context.stores.base_currency)
    try:
        awards = award(cart, asked.shopper, rulebook, asked.counted)
    except Reject as error:
        raise Unprocessable(str(error)) from None
    every = caller_of(request).kind != "storefront"
    view = _view(cart, OffersView.of(quoted, every=every), awards)
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


def _pooled(request: Request) -> bool:
    """Whoever uses the browser next must not see what the customer has."""
    caller = caller_of(request)
    return caller.kind != "storefront" or not caller.sub.startswith("anon:")


def _view(cart: Cart, offers: OffersView, awards: Awards) -> QuoteView:
    found = snapshots.verdicts(awards)
    return QuoteView(
        at=cart.at,
        offers=offers,
        points=awards.points,
        lines=[
            LineView.of(item.line_id, awards.lines[item.line_id], found)
            for item in cart.items
            if item.line_id in awards.lines
        ],
        rules=[RuleView.of(one) for one in found],
    )
