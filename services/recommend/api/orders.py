"""What an order counts for here."""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.recommend.baskets import PAIRED_MAX
from services.recommend.store import facts
from shared.errors import NotFound
from shared.events.fields import Id
from shared.http import audit
from shared.http.auth import ROUTE_CHECKS, needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/orders", tags=["orders"])


class CountedView(BaseModel):
    """One product of the order; `pairs`: it counts as bought together with the others."""

    product_id: str
    sku: str | None
    units: int
    pairs: bool


class OrderView(BaseModel):
    """Without what was cancelled or returned; a test order counts for nothing."""

    order_id: str
    customer_id: str
    revision: int
    bought_at: datetime
    changed_at: datetime
    products: list[CountedView]


@router.get("/{order_id}", openapi_extra=needs("recommend:read", subject=ROUTE_CHECKS))
async def get_order(order_id: Id, context: Ctx, request: Request) -> OrderView:
    """The order at the last revision seen, the product with the highest amount first."""
    async with context.engine.connect() as conn:
        order = await facts.get_order(conn, order_id)
    if order is None:
        raise NotFound("no such order: not seen yet, or its customer was erased")
    audit.read(request.scope, order.customer_id)
    lines = zip(order.products, order.skus, order.units, strict=True)
    pairing = PAIRED_MAX if len(order.products) > 1 else 0
    return OrderView(
        order_id=order.order_id,
        customer_id=order.customer_id,
        revision=order.revision,
        bought_at=order.bought_at,
        changed_at=order.changed_at,
        products=[
            CountedView(product_id=id_, sku=sku or None, units=units, pairs=place < pairing)
            for place, (id_, sku, units) in enumerate(lines)
        ],
    )
