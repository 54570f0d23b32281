"""/v1/orders: what profile knows of an order, for whoever traces one."""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from services.profile.store import orders
from services.profile.store import timeline as timeline_store
from shared.errors import NotFound
from shared.http import audit
from shared.http.auth import ROUTE_CHECKS, needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/orders", tags=["orders"])


class OrderEvent(BaseModel):
    type: str
    time: datetime
    source: str
    id: str


class OrderView(BaseModel):
    """The last revision seen; `*_minor` in `currency`, `base_*` in the platform's.

    `kept` is what is left after cancellations, returns and refunds; an order is `standing`
    while something of it is.
    """

    order_id: str
    customer_id: str
    revision: int
    last_event: str
    time: datetime
    placed_at: datetime
    store: str
    channel: str
    currency: str
    test: bool
    standing: bool
    pieces: int
    units: int
    total_minor: int
    kept_minor: int
    base_total_minor: int | None
    base_kept_minor: int | None
    events: list[OrderEvent] = Field(description="The first 100, in their order.")


@router.get("/{order_id}", openapi_extra=needs("profile:read", subject=ROUTE_CHECKS))
async def get_order(order_id: str, request: Request, context: Ctx) -> OrderView:
    """The order as it now stands."""
    async with context.engine.connect() as conn:
        found = await orders.list_of_order(conn, order_id)
        if not found:
            raise NotFound("no event of this order was seen")
        state = max(found, key=lambda order: order.revision)
        entries = await timeline_store.list_of_order(conn, state.customer_id, order_id)
    audit.read(request.scope, state.customer_id)
    own = {name: getattr(state, name) for name in OrderView.model_fields if hasattr(state, name)}
    events = [OrderEvent(type=e.type, time=e.time, source=e.source, id=e.id) for e in entries]
    return OrderView.model_validate({**own, "last_event": state.type, "events": events})
