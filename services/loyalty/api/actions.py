"""What a person did beside ordering, and what each rule said of it."""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.loyalty.api.accounts import members_of
from services.loyalty.store import actions as store
from shared.events.envelope import CustomerId
from shared.http.auth import needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])

ACTIONS_MAX = 200


class RuleVerdictView(BaseModel):
    """What one rule said: `earned`, or the name of what prevented it."""

    rule_id: str
    version: int
    verdict: str
    points: int


class ActionView(BaseModel):
    """One thing that was done. `document` names it in the books."""

    kind: str
    thing: str
    document: str
    done_at: datetime
    points: int
    verdicts: list[RuleVerdictView]


class Actions(BaseModel):
    """The newest first, at most 200."""

    items: list[ActionView]


@router.get(
    "/{customer_id}/actions",
    openapi_extra=needs("loyalty:read", subject="customer_id", storefront=True),
)
async def list_actions(customer_id: CustomerId, context: Ctx, request: Request) -> Actions:
    """Registrations, reviews, check-ins and the like, of all ids of the person."""
    async with context.engine.connect() as conn:
        members = await members_of(conn, request, customer_id)
        found = await store.list_of_person(conn, members, ACTIONS_MAX)
    return Actions(
        items=[
            ActionView(
                kind=one.kind,
                thing=one.thing,
                document=one.document,
                done_at=one.done_at,
                points=one.points,
                verdicts=[RuleVerdictView(**verdict) for verdict in one.verdicts],
            )
            for one in found
        ]
    )
