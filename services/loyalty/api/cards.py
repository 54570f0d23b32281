"""A member's card number and code, and who shows one at a till.

    GET  /v1/accounts/{customer_id}/card       the card number, and the code of this minute
    POST /v1/accounts/{customer_id}/card       a new card: the old number and its codes are dead
    POST /v1/accounts/by-code                  whose card or code a till has read

The first look draws the card. Codes follow the machine's clock, not the business clock, as
keys and tokens do. Reading a code spends nothing, so it may be read at several tills while
it is good (`cards.py`).
"""

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.loyalty.members import cards
from services.loyalty.members.cards import CardNumber
from services.loyalty.settings import Settings
from services.loyalty.store import cards as store
from services.loyalty.work import carding, joining, subscribing
from shared import aliases
from shared.erasure import SECRET_BYTES_MIN
from shared.errors import NotFound, Unavailable
from shared.events.envelope import CustomerId
from shared.http import audit
from shared.http.auth import ROUTE_CHECKS, needs
from shared.http.context import Body, Context, Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/accounts", tags=["cards"])


class CardReplaced(NotFound):
    """This card was replaced by another."""


class CodeNotGood(NotFound):
    """This code is not good, or no longer: ask for the one that the app shows now."""


class CardView(BaseModel):
    """What the app shows; fetch it again when `seconds_left` are over."""

    customer_id: str
    card_number: str
    code: str
    seconds_left: int


class Read(Body):
    """What a till has read or its cashier typed: a card number or a member code."""

    code: Annotated[str, Field(min_length=1, max_length=64)]


class Shopper(BaseModel):
    """Who stands at the till. `tier` null: none."""

    customer_id: str
    canonical_id: str
    """The id under which the person is known, if several were merged."""
    tier: str | None
    by: str
    """`card` or `code`."""


@router.get(
    "/{customer_id}/card",
    openapi_extra=needs("loyalty:read", subject="customer_id", storefront=True),
)
async def get_card(customer_id: CustomerId, context: Ctx) -> CardView:
    """The card number, and the code of this minute."""
    secret = _secret(context)
    async with context.engine.begin() as conn:
        card = await carding.card_of(conn, customer_id, context.clock.now())
    shown = cards.show(secret, card.handle, _now())
    return CardView(
        customer_id=customer_id,
        card_number=card.number,
        code=shown.code,
        seconds_left=shown.seconds_left,
    )


class NewCard(BaseModel):
    """The number of the card that takes the old one's place."""

    customer_id: str
    card_number: str


@router.post(
    "/{customer_id}/card",
    status_code=201,
    openapi_extra=needs("loyalty:write", subject="customer_id", storefront=True),
    response_model=NewCard,
)
async def replace_card(customer_id: CustomerId, request: Request) -> Response:
    """Draw a new card; the old number opens nothing any more, nor do codes shown for it."""
    async with once(request) as tx:
        now = context_of(request).clock.now()
        card = await carding.replace(tx.conn, customer_id, now)
        return tx.answer(NewCard(customer_id=customer_id, card_number=card.number), status=201)


@router.post("/by-code", openapi_extra=needs("loyalty:read", subject=ROUTE_CHECKS))
async def find_by_code(body: Read, context: Ctx, request: Request) -> Shopper:
    """Whose card or code it is."""
    secret = _secret(context)
    what = cards.read(body.code)
    async with context.engine.connect() as conn:
        if isinstance(what, CardNumber):
            card = await store.find_by_number(conn, what.number)
        else:
            card = await store.find_by_handle(conn, what.handle)
            if card is None or not cards.is_good(secret, what, _now()):
                raise CodeNotGood
        if card is None:
            raise NotFound("no card has this number")
        if card.dead_at:
            raise CardReplaced
        person = await aliases.person_of(conn, card.customer_id)
        now = context.clock.now()
        await joining.check_member(conn, person.members, now)
        tier = await subscribing.tier_of(conn, card.customer_id, person, now, context.stores)
    audit.read(request.scope, card.customer_id)
    return Shopper(
        customer_id=card.customer_id,
        canonical_id=person.canonical_id,
        tier=tier,
        by="card" if isinstance(what, CardNumber) else "code",
    )


def _secret(context: Context) -> bytes:
    settings = context.settings
    assert isinstance(settings, Settings), "loyalty's own settings"
    return read_secret(settings.member_code_secret_file)


@lru_cache(maxsize=8)
def read_secret(path: Path | None) -> bytes:
    """The secret behind the codes; Unavailable says what to set. A failure is not remembered."""
    how = f"set REGULARS_MEMBER_CODE_SECRET_FILE to a file with {SECRET_BYTES_MIN} random bytes"
    if path is None:
        raise Unavailable(how)
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise Unavailable(f"{how}: {error.strerror}") from error
    if len(secret) < SECRET_BYTES_MIN:
        raise Unavailable(f"{how} or more: it has fewer")
    return secret


def _now() -> datetime:
    return datetime.now(UTC)
