"""/v1/profiles: who the customer is, and what happened.

A server key sees the person: the union of all ids that were joined. A storefront's token
sees what its own id carried and no more, whatever that was merged with: else whoever holds
the tablet would read the account that was once opened on it.
"""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, JsonValue
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.profile.identity import Link
from services.profile.portrait import portrait
from services.profile.store import consents, hot, identity
from services.profile.store import timeline as timeline_store
from services.profile.timeline import END, Entry, Span, spans
from shared import aliases
from shared.errors import NotFound
from shared.events.envelope import CustomerId
from shared.http import paging
from shared.http.auth import caller_of, needs
from shared.http.context import Ctx, context_of

router = APIRouter(prefix="/v1/profiles", tags=["profiles"])

READ = needs("profile:read", subject="customer_id", storefront=True)
POSITION = paging.Cursor(tuple[datetime, str, str])
NEWEST = (END, "", "")


class ProfileView(BaseModel):
    """A person; money in minor units of `currency`, the platform's base currency."""

    customer_id: str
    canonical_id: str
    members: list[str]
    attributes: dict[str, JsonValue] = Field(description="The shop's own as `custom.<name>`.")
    currency: str
    orders: int = Field(description="Standing: something of them is kept.")
    units: int = Field(description="Pieces kept.")
    spend_minor: int = Field(description="Money kept, after cancellations, returns and refunds.")
    placed_orders: int = Field(description="Ever placed, with a total above zero.")
    placed_minor: int = Field(description="Their totals, as ordered.")
    orders_left_out: int = Field(description="Of these, in a currency with no base amount.")
    first_order_at: datetime | None
    last_order_at: datetime | None
    browse: dict[str, int] = Field(description="Events by type.")
    first_seen_at: datetime | None
    last_seen_at: datetime | None


class EntryView(BaseModel):
    """One event; `customer_id` is the member that carried it."""

    time: datetime
    type: str
    customer_id: str
    source: str
    id: str
    summary: dict[str, JsonValue]

    @classmethod
    def of(cls, entry: Entry) -> "EntryView":
        return cls(
            time=entry.time,
            type=entry.type,
            customer_id=entry.customer_id,
            source=entry.source,
            id=entry.id,
            summary=entry.summary,
        )


class ConsentView(BaseModel):
    """A present answer; where members differ, the one with the newest `at` is the person's."""

    customer_id: str
    purpose: str
    channel: str
    state: str
    version: int
    text_version: str
    source: str
    at: datetime


class ConsentsView(BaseModel):
    consents: list[ConsentView]


@router.get("/{customer_id}", response_model=ProfileView, openapi_extra=READ)
async def get_profile(customer_id: CustomerId, request: Request) -> Response:
    """The person behind this id."""
    context = context_of(request)
    if caller_of(request).kind == "storefront":
        rows = await hot.get_own(context.hot, customer_id)
    else:
        rows = await hot.get_person(context.hot, customer_id)
    if not rows:
        raise NotFound("nothing was heard of this customer")
    answer = portrait(rows, customer_id, context.stores.base_currency)
    return Response(to_json(answer), media_type="application/json")


@router.get("/{customer_id}/timeline", openapi_extra=READ)
async def list_timeline(
    customer_id: CustomerId,
    request: Request,
    context: Ctx,
    cursor: str = "",
    limit: paging.Limit = 50,
) -> paging.Page[EntryView]:
    """What happened, the newest first."""
    before = POSITION.decode(cursor) or NEWEST
    async with context.engine.connect() as conn:
        theirs = await _spans(conn, request, customer_id)
        entries = await timeline_store.list_before(conn, theirs, before, limit + 1)
    if not entries and not cursor:
        raise NotFound("nothing was heard of this customer")
    items = [EntryView.of(entry) for entry in entries]
    return paging.page(
        items, limit, lambda item: POSITION.encode((item.time, item.source, item.id))
    )


@router.get("/{customer_id}/consents", openapi_extra=READ)
async def list_consents(customer_id: CustomerId, request: Request, context: Ctx) -> ConsentsView:
    """The present answers, of all members."""
    async with context.engine.connect() as conn:
        members = await _members(conn, request, customer_id)
        answers = (await consents.load(conn, members)).values()
    return ConsentsView(consents=[_consent(answer) for answer in answers])


async def _members(conn: AsyncConnection, request: Request, customer_id: str) -> tuple[str, ...]:
    """Whose data this caller sees under this id."""
    if caller_of(request).kind == "storefront":
        return (customer_id,)
    return (await aliases.person_of(conn, customer_id)).members


async def _spans(conn: AsyncConnection, request: Request, customer_id: str) -> list[Span]:
    members = await _members(conn, request, customer_id)
    if caller_of(request).kind == "storefront":
        return spans(members, ())
    marked = await identity.list_identified(conn, members)
    links: list[Link] = [found.link for found in marked]
    return spans(members, links, {found.link.member_id for found in marked if found.mark})


def _consent(answer: Any) -> ConsentView:
    return ConsentView(
        customer_id=answer.customer_id,
        purpose=answer.purpose,
        channel=answer.channel,
        state=answer.state,
        version=answer.version,
        text_version=answer.text_version,
        source=answer.origin,
        at=answer.at,
    )
