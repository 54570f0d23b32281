"""Notices over HTTP, for service agents and support: what went out, and what did not and why."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from services.notify.notices import Channel, State
from services.notify.policy import Kind
from services.notify.store import notices as notice_store
from services.notify.store import orders as order_store
from services.notify.store.notices import Row
from shared import aliases
from shared.errors import NotFound
from shared.events.envelope import CustomerId
from shared.events.fields import Id
from shared.http import audit, paging
from shared.http.auth import ROUTE_CHECKS, needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1", tags=["notices"])

POSITION = paging.Cursor(tuple[datetime, UUID])
FIRST = (datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
PENDING = frozenset({"created", "leased"})


class NoticeView(BaseModel):
    """One message to one person; `state` says how far it came, `reason` why not further."""

    notice_id: UUID
    customer_id: str | None
    """Null: the person was erased."""
    kind: Kind
    channel: Channel
    state: State
    reason: str | None
    order_id: str | None
    store: str
    template: str | None
    template_version: str | None
    locale: str | None
    address: str | None
    message_id: str | None
    attempts: int
    event_time: datetime
    created_at: datetime
    due_at: datetime | None
    """When it is looked at next; null: not any more."""
    settled_at: datetime | None

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(_fields(row))


class AttemptView(BaseModel):
    """One try to hand it over; `code` is the provider's, or what kind of failure it was."""

    number: int
    at: datetime
    provider: str
    outcome: str
    code: str
    took_ms: int | None


class NoticeDetail(NoticeView):
    """Also what was decided on, what caused it, and every attempt."""

    cause: dict[str, str] | None
    """The event that it tells of: its `source` and `id`."""
    decision: Mapping[str, Any] | None
    """The last decision, with what it looked at; null: suppressed from the start."""
    tries: list[AttemptView]


class OrderView(BaseModel):
    """What notify knows and did about one order."""

    order_id: str
    customer_id: str
    revision: int
    store: str
    cancelled: bool
    has_contact: bool
    notices: list[NoticeView]


@router.get("/notices", openapi_extra=needs("notify:read", subject="customer_id"))
async def list_notices(
    customer_id: Annotated[CustomerId, Query()],
    context: Ctx,
    cursor: str = "",
    limit: paging.Limit = 50,
) -> paging.Page[NoticeView]:
    """A person's notices under all of his ids, newest first."""
    before = POSITION.decode(cursor) or FIRST
    async with context.engine.connect() as conn:
        person = await aliases.person_of(conn, customer_id)
        rows = await notice_store.list_notices(conn, person.members, before, limit + 1)
    views = [NoticeView.of(row) for row in rows]
    return paging.page(views, limit, lambda v: POSITION.encode((v.event_time, v.notice_id)))


@router.get("/notices/{notice_id}", openapi_extra=needs("notify:read", subject=ROUTE_CHECKS))
async def get_notice(notice_id: UUID, request: Request, context: Ctx) -> NoticeDetail:
    """One notice, with its decision and attempts."""
    async with context.engine.connect() as conn:
        row = await notice_store.get(conn, notice_id)
        tries = await notice_store.list_attempts(conn, notice_id)
    if row is None:
        raise NotFound("no notice of this id")
    audit.read(request.scope, row.customer_id)
    caused = row.cause_source is not None and row.cause_id is not None
    cause = {"source": row.cause_source, "id": row.cause_id} if caused else None
    more = {"cause": cause, "decision": row.decision, "tries": tries}
    return NoticeDetail.model_validate(_fields(row) | more)


@router.get("/orders/{order_id}", openapi_extra=needs("notify:read", subject=ROUTE_CHECKS))
async def get_order(order_id: Id, request: Request, context: Ctx) -> OrderView:
    """The order as notify knows it, and its notices."""
    async with context.engine.connect() as conn:
        order = await order_store.get(conn, order_id)
        rows = await notice_store.list_of_order(conn, order_id)
    if order is None:
        raise NotFound("notify has seen no event of this order")
    audit.read(request.scope, order.customer_id)
    return OrderView(
        order_id=order.order_id,
        customer_id=order.customer_id,
        revision=order.revision,
        store=order.store,
        cancelled=order.cancelled,
        has_contact=order.contact is not None,
        notices=[NoticeView.of(row) for row in rows],
    )


def _fields(row: Row) -> dict[str, Any]:
    names = NoticeView.model_fields.keys() - {"notice_id", "due_at"}
    fields: dict[str, Any] = {name: getattr(row, name) for name in names}
    due_at = row.due_at if row.state in PENDING else None
    return fields | {"notice_id": row.id, "due_at": due_at}
