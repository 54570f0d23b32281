"""Why each line of an order earned what it earned, or did not.

    GET /v1/orders/{order_id}/explanation

As it was decided, by the rules of the day on which the order was placed; nothing is worked
out again. An order that was brought from another system was decided there: the explanation
names the batch, and what each line had earned by the file.
"""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.loyalty.api.quotes import LineRuleView, LineView, RuleView
from services.loyalty.arrivals import opening
from services.loyalty.books.lines import Lines
from services.loyalty.earning import snapshots
from services.loyalty.earning.snapshots import RuleVerdict
from services.loyalty.store import decisions as store
from services.loyalty.store import orders as order_store
from services.loyalty.terms.cart import Item
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
    import_id: int | None
    """The batch that brought the order: its lines say `imported`, and no rule here was asked."""
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
    if state.import_id is not None:
        lines, items = _imported(state.import_id, state.lines), ()
    told = {line.line_id for line in lines}
    return ExplanationView(
        order_id=order_id,
        verdict=state.verdict,
        import_id=state.import_id,
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


def _imported(import_id: int, lines: Lines) -> list[LineView]:
    """What each line had earned elsewhere, under the name that the batch has among rules."""
    name = opening.rule_id_of(import_id)
    return [
        LineView(
            line_id=line_id,
            points=line.awarded,
            rules=[LineRuleView(name, 1, "imported", line.basis_minor, line.awarded)],
        )
        for line_id, line in sorted(lines.items())
    ]
