"""Who invited whom, and what came of it: a member's own code and friends; the programme."""

from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.loyalty.api import definitions as definition_routes
from services.loyalty.api.accounts import members_of
from services.loyalty.benefits.codes import digest
from services.loyalty.inviting import referrals
from services.loyalty.inviting.referral_facts import Invitation
from services.loyalty.inviting.referrals import Referral, ReferralProgramme, State
from services.loyalty.store import referral_facts as fact_store
from services.loyalty.store import referrals as store
from services.loyalty.work import people
from services.loyalty.work.people import NOT_KNOWN
from shared.events.envelope import CustomerId
from shared.http.auth import caller_of, needs
from shared.http.context import Context, context_of

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])
PROGRAMMES = definition_routes.routes(ReferralProgramme, "referral-programmes")

REFERRALS_MAX = 200
OWN_CODE = ""
"""The referral id of an invitation that is a member's own code."""


class ReferralView(BaseModel):
    """One friend's. `points` are what this side has of it now; `reason` says why it is not
    awarded, or no longer."""

    id: UUID
    customer_id: str | None
    """The friend, or as `invited_by` the referrer; null for a storefront, and when erased."""
    state: State
    reason: str
    invited_at: datetime | None
    registered_at: datetime | None
    qualified_at: datetime | None
    points: int


class Referrals(BaseModel):
    """The code to hand on, those who brought it back (the newest first, at most 200), and by whom
    he was invited himself. No code for visitors and guests."""

    customer_id: str
    code: str | None
    items: list[ReferralView]
    invited_by: list[ReferralView]


@router.get(
    "/{customer_id}/referrals",
    openapi_extra=needs("loyalty:read", subject="customer_id", storefront=True),
)
async def list_referrals(customer_id: CustomerId, request: Request) -> Referrals:
    """Of all ids of the person. At the first look the id's own code begins to count."""
    context, named = context_of(request), caller_of(request).kind == "key"
    async with context.engine.connect() as conn:
        members = await members_of(conn, request, customer_id)
        brought = await store.list_of_referrer(conn, members, REFERRALS_MAX)
        own = await store.list_of_friends(conn, members)
        account_id = await store.get_shown(conn, customer_id)
    return Referrals(
        customer_id=customer_id,
        code=_code(context, account_id) if account_id else await _show(context, customer_id),
        items=[
            _view(one, one.customer_id if named else None, one.referrer_points) for one in brought
        ],
        invited_by=[
            _view(one, one.referrer_id if named else None, one.friend_points) for one in own
        ],
    )


def _code(context: Context, account_id: UUID) -> str:
    """By the account and the erasure secret: who begins anew after an erasure has another."""
    return referrals.code_of(context.tombstones.digest(f"referral/{account_id}"))


async def _show(context: Context, customer_id: str) -> str | None:
    """The code, which counts from now on; None for visitors and guests."""
    if customer_id.startswith(NOT_KNOWN):
        return None
    async with context.engine.begin() as conn:
        held = await people.hold(conn, customer_id)
        code = _code(context, held.accounts[customer_id].account_id)
        # Since ever: whoever else would claim the same code came later.
        since = datetime(1970, 1, 1, tzinfo=UTC)
        invitation = Invitation(customer_id, OWN_CODE, digest(code), None, since)
        await fact_store.add_invitations(conn, [invitation])
    return code


def _view(one: Referral, other: str | None, points: int) -> ReferralView:
    return ReferralView(
        id=one.id,
        customer_id=other,
        state=one.state,
        reason=one.reason,
        invited_at=one.invited_at,
        registered_at=one.registered_at,
        qualified_at=one.qualified_at,
        points=points,
    )
