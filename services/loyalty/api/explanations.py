"""Why each line of an order earned what it earned, or did not.

    GET /v1/orders/{order_id}/explanation

As it was decided, by the rules of the day on which the order was placed; nothing is worked
out again.
"""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.loyalty import snapshots
from services.loyalty.api.quotes import LineView, RuleView
from services.loyalty.cart import Item
from services.loyalty.snapshots import RuleVerdict
from services.loyalty.store import decisions as store
from services.loyalty.store import orders as order_store
from shared.errors import NotFound
from shared.http import audit
from shared.http.auth import ROUTE_CHECKS, needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/orders", tags=["orders"])


class OtherLine(BaseModel):
    """A line that earns nothing whatever the rules, such as shipping, and its kind."""

    line_id: str
    kind: str


class ExplanationView(BaseModel):
    """`verdict`: `earns`, or why the order earns nothing; then there may be no decision."""

    order_id: str
    verdict: str
    placed_at: datetime | None
    points: int
    lines: list[LineView]
    other_lines: list[OtherLine]
    rules: list[RuleView]


@router.get("/{order_id}/explanation", openapi_extra=needs("loyalty:read", subject=ROUTE_CHECKS))
async def explain(order_id: str, context: Ctx, request: Request) -> ExplanationView:
    """Every rule's verdict for every line."""
    async with context.engine.connect() as conn:
        state = (await order_store.load(conn, [order_id])).get(order_id)
        if state is None:
            raise NotFound("no order of this id has been seen")
        made = await store.get_made(conn, order_id)
    audit.read(request.scope, state.customer_id)
    placed_at, kept_cart, kept_verdicts = made or (None, None, None)
    found = snapshots.verdicts_from(kept_verdicts or [])
    items: tuple[Item, ...] = ()
    if kept_cart and placed_at:
        items = snapshots.cart_from(kept_cart, order_id, placed_at, context.stores).items
    lines = [_line(i.line_id, found) for i in items if i.kind == "product" and i.quantity]
    told = {line.line_id for line in lines}
    return ExplanationView(
        order_id=order_id,
        verdict=state.verdict,
        placed_at=placed_at,
        points=sum(line.points for line in lines),
        lines=lines,
        other_lines=[
            OtherLine(line_id=item.line_id, kind=item.kind)
            for item in items
            if item.line_id not in told
        ],
        rules=[RuleView.of(one) for one in found],
    )


def _line(line_id: str, found: list[RuleVerdict]) -> LineView:
    points = sum(one.of_line(line_id).points for one in found)
    return LineView.of(line_id, points, found)
