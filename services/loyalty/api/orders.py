"""What one order earned, and every journal that it caused."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.loyalty.api.views import JournalView
from services.loyalty.books.ledger import ORDER
from services.loyalty.books.lines import LineState
from services.loyalty.store import decisions as decision_store
from services.loyalty.store import journals as journal_store
from services.loyalty.store import orders as store
from services.loyalty.store.decisions import Award
from shared.errors import NotFound
from shared.http import audit
from shared.http.auth import ROUTE_CHECKS, needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/orders", tags=["orders"])


class AwardView(BaseModel):
    """What one rule gave a line, of what money (or, a multiplier, of how many base points)."""

    rule_id: str
    rule_version: int
    basis: int
    points: int
    inputs: dict[str, Any]

    @classmethod
    def of(cls, award: Award) -> "AwardView":
        return cls(
            rule_id=award.rule_id,
            rule_version=award.rule_version,
            basis=award.basis_minor,
            points=award.points,
            inputs=award.inputs,
        )


class LineView(BaseModel):
    """One line that may earn: its award, where those points are now, and how it was decided."""

    line_id: str
    basis_minor: int
    awarded: int
    pending: int
    active: int
    taken_back: int
    rules: list[AwardView]

    @classmethod
    def of(cls, line_id: str, line: LineState, awards: list[Award]) -> "LineView":
        return cls(
            line_id=line_id,
            basis_minor=line.basis_minor,
            awarded=line.awarded,
            pending=line.pending,
            active=line.active,
            taken_back=line.awarded - line.pending - line.active,
            rules=[AwardView.of(award) for award in awards if award.rule_id],
        )


class OrderView(BaseModel):
    """An order at the last revision seen. `customer_id` is null when he was erased."""

    order_id: str
    customer_id: str | None
    store: str
    revision: int
    last_type: str
    last_event_time: datetime
    verdict: str
    """`earns`, or why the order earns nothing."""
    pending: int
    active: int
    lines: list[LineView]
    journals: list[JournalView]


@router.get("/{order_id}", openapi_extra=needs("loyalty:read", subject=ROUTE_CHECKS))
async def get_order(order_id: str, context: Ctx, request: Request) -> OrderView:
    """What the order earned, line by line, and what it booked."""
    async with context.engine.connect() as conn:
        state = (await store.load(conn, [order_id])).get(order_id)
        if state is None:
            raise NotFound("no order of this id has been seen")
        awards = await decision_store.list_awards(conn, order_id)
        entries = await journal_store.list_of_document(conn, ORDER, order_id)
    audit.read(request.scope, state.customer_id)
    return OrderView(
        order_id=order_id,
        customer_id=state.customer_id,
        store=state.store,
        revision=state.revision,
        last_type=state.type,
        last_event_time=state.time,
        verdict=state.verdict,
        pending=sum(line.pending for line in state.lines.values()),
        active=sum(line.active for line in state.lines.values()),
        lines=[
            LineView.of(line_id, line, awards.get(line_id, []))
            for line_id, line in sorted(state.lines.items())
        ],
        journals=[JournalView.of(entry) for entry in entries],
    )
