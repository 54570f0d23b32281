"""Joining, leaving, and what a customer is.

GET    /v1/accounts/{customer_id}/membership
POST   /v1/accounts/{customer_id}/membership     join; joining again takes a leaving back
DELETE /v1/accounts/{customer_id}/membership     leave, after the notice period
"""

from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel

from services.loyalty.api.reach import visible
from services.loyalty.members.membership import Joining, State
from services.loyalty.work import joining
from services.loyalty.work.joining import Told
from shared import aliases
from shared.errors import Unprocessable
from shared.events.envelope import CustomerId
from shared.events.fields import ShortCode
from shared.http.auth import caller_of, needs
from shared.http.context import Body, Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/accounts/{customer_id}/membership", tags=["membership"])

OWN = needs("loyalty:write", subject="customer_id", storefront=True)


class Join(Body):
    """What was accepted, where and when."""

    terms_version: ShortCode = ""
    channel: ShortCode = ""
    """Such as web, app, till, tmall."""
    time: AwareDatetime | None = None
    """Absent: now. Only a server key may give another."""


class StayView(BaseModel):
    """From joining to leaving. `credits_from`: orders paid from then on earn."""

    customer_id: str
    joined_at: datetime
    credits_from: datetime
    terms_version: str
    accepted_at: datetime
    channel: str
    asked_at: datetime | None
    leaves_at: datetime | None
    """The first moment at which he is no longer a member, and his points are forfeited."""


class MembershipView(BaseModel):
    """`leaving`: a member still, until `leaves_at`. `terms_version` is the one in force."""

    customer_id: str
    state: State
    mode: str
    terms_version: str
    stay: StayView | None
    """The one that counts; null for a member by earning, and for who never joined."""
    stays: list[StayView]


class JoinedView(MembershipView):
    """What the person is now, and what orders from before earned by it."""

    credited_orders: int
    credited_points: int


@router.get("", openapi_extra=needs("loyalty:read", subject="customer_id", storefront=True))
async def get_membership(customer_id: CustomerId, context: Ctx, request: Request) -> MembershipView:
    """What the person is now, and when he joined and left before."""
    async with context.engine.connect() as conn:
        person = await aliases.person_of(conn, customer_id)
        members = visible(request, person.members)
        return _view(customer_id, await joining.tell(conn, members, context.clock.now()))


@router.post("", openapi_extra=OWN, response_model=JoinedView)
async def join(customer_id: CustomerId, body: Join, request: Request) -> Response:
    """Join; for a member, accept newer terms or take back a leaving."""
    if body.time and caller_of(request).kind == "storefront":
        raise Unprocessable("time: leave it out; it is now")
    context = context_of(request)
    now = context.clock.now()
    wish = Joining(body.terms_version, body.channel, body.time or now)
    async with once(request, body) as tx:
        told, credited = await joining.join(tx.conn, customer_id, wish, now, context.stores)
        tx.detail = {"terms_version": body.terms_version, "channel": body.channel}
        view = _view(customer_id, told)
        joined = JoinedView(
            **dict(view), credited_orders=credited.orders, credited_points=credited.points
        )
        return tx.answer(joined)


@router.delete("", openapi_extra=OWN, response_model=MembershipView)
async def leave(customer_id: CustomerId, request: Request) -> Response:
    """Leave at the end of the notice period; the points are forfeited then."""
    async with once(request) as tx:
        told = await joining.leave(tx.conn, customer_id, context_of(request).clock.now())
        tx.detail = {"state": told.standing.state}
        return tx.answer(_view(customer_id, told))


def _view(customer_id: str, told: Told) -> MembershipView:
    names = StayView.model_fields
    views = {
        id(stay): StayView(**{name: getattr(stay, name) for name in names}) for stay in told.stays
    }
    stay = told.standing.stay
    return MembershipView(
        customer_id=customer_id,
        state=told.standing.state,
        mode=told.terms.mode,
        terms_version=told.terms.terms_version,
        stay=views[id(stay)] if stay else None,
        stays=list(views.values()),
    )
