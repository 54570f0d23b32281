"""Everything that a member's page shows, in one call.

    GET /v1/accounts/{customer_id}/overview

The balance with its next expiry, the tier and what is missing, the newest entries in the
reader's language (Accept-Language), and the rewards that can be had. What a member does not
have is null or empty: the page of who has never bought is a page, too.
"""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.loyalty.api.accounts import OWN_DATA, CurrentView, account_of, members_of
from services.loyalty.api.rewards import RewardsView, rewards_of
from services.loyalty.api.tiers import CardView, card_of
from services.loyalty.books.ledger import points_of
from services.loyalty.members import phrases
from services.loyalty.store import journals
from services.loyalty.store.journals import Entry
from shared.events.envelope import CustomerId
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])

ENTRIES_MAX = 20


class EntryView(BaseModel):
    """One thing that happened to the points; `text` is for the member to read."""

    at: datetime
    kind: str
    text: str
    points: int
    document: str

    @classmethod
    def of(cls, entry: Entry, language: str) -> "EntryView":
        return cls(
            at=entry.event_time,
            kind=entry.kind,
            text=phrases.tell(entry.kind, language),
            points=points_of(entry.postings),
            document=entry.document,
        )


class Overview(BaseModel):
    """A member's page. `account` null: he has earned nothing yet; `tier` null: there is none."""

    customer_id: str
    account: CurrentView | None
    tier: CardView | None
    entries: list[EntryView]
    rewards: RewardsView


@router.get("/{customer_id}/overview", openapi_extra=OWN_DATA)
async def get_overview(customer_id: CustomerId, context: Ctx, request: Request) -> Overview:
    """The member's page in one call."""
    language = phrases.language_of(request.headers.get("accept-language", ""))
    async with context.engine.connect() as conn:
        members = await members_of(conn, request, customer_id)
        found = await journals.list_of_person(conn, members, journals.LAST, ENTRIES_MAX)
    return Overview(
        customer_id=customer_id,
        account=await account_of(request, customer_id),
        tier=await card_of(request, customer_id),
        entries=[EntryView.of(entry, language) for entry in found],
        rewards=await rewards_of(request, customer_id),
    )
