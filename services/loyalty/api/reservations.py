"""Points at the checkout: what may be spent, set aside, confirmed once, freed.

    POST /v1/accounts/{customer_id}/redemption-quotes    the most that a cart may take
    POST /v1/accounts/{customer_id}/reservations         set points aside, for a time
    GET  /v1/reservations/{id}
    POST /v1/reservations/{id}/confirm                   all, or a part: the rest is freed
    POST /v1/reservations/{id}/cancel

A checkout that dies after payment need not come back: the order's `points` tender names the
reservation, and its own events confirm or free it. Whoever comes first, there is one effect.
"""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books import ledger
from services.loyalty.books.programme import Redemption, programme_at
from services.loyalty.books.wallet import Wallet
from services.loyalty.spending import announcements, redemption, reservations
from services.loyalty.spending.reservations import Reservation, TimedOut
from services.loyalty.store import definitions
from services.loyalty.store import lots as lot_store
from services.loyalty.store import reservations as store
from services.loyalty.terms.cart import Item
from services.loyalty.work import booking
from shared.errors import NotFound
from shared.events.envelope import CustomerId, Event, Minor
from shared.events.fields import LINES_MAX, Id, Label, Points, StoreId
from shared.http import audit
from shared.http.auth import ROUTE_CHECKS, caller_of, needs, own
from shared.http.context import Body, Context, Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1", tags=["redemption"])

SPEND = needs("loyalty:write", subject="customer_id", storefront=True)
ONE = needs("loyalty:write", subject=ROUTE_CHECKS, storefront=True)
READ_ONE = needs("loyalty:read", subject=ROUTE_CHECKS, storefront=True)
NO_ACCOUNT = "no account: no order of this customer has earned yet"


class CartLine(Body):
    """A line as it would be bought: its total after discounts, in the base currency."""

    total_minor: Minor
    kind: str = "product"
    category: tuple[Label, ...] = ()


Lines = Annotated[tuple[CartLine, ...], Field(max_length=LINES_MAX)]


class QuoteAsked(Body):
    """Which cart."""

    lines: Lines


class QuoteView(BaseModel):
    """The most that may be spent on the cart, and what bounds it."""

    points: int
    amount_minor: int
    currency: str
    limit: str
    spendable: int
    points_min: int
    points_step: int


class Reserve(Body):
    """How many points; with `lines`, the programme's limits of a cart are checked, too."""

    points: Annotated[Points, Field(ge=1)]
    order_id: Id | None = None
    store: StoreId = "default"
    lines: Lines = ()


class Confirm(Body):
    """How many of the reserved points the order takes; absent: all."""

    points: Points | None = None
    order_id: Id | None = None


class ReservationView(BaseModel):
    """`amount_minor`, in `currency`, is what all its points are worth at the checkout; `confirmed`
    is what the order took, and holds what was `given_back`."""

    id: str
    customer_id: str | None
    state: str
    points: int
    amount_minor: int
    currency: str
    confirmed: int
    given_back: int
    order_id: str | None
    expires_at: datetime

    @classmethod
    def of(cls, one: Reservation) -> "ReservationView":
        return cls(
            id=one.id,
            customer_id=one.customer_id,
            state=one.state,
            points=one.points,
            amount_minor=one.amount_minor,
            currency=one.currency,
            confirmed=one.confirmed,
            given_back=one.given_back,
            order_id=one.order_id,
            expires_at=one.expires_at,
        )


@router.post("/accounts/{customer_id}/redemption-quotes", openapi_extra=SPEND)
async def quote(
    customer_id: CustomerId, body: QuoteAsked, context: Ctx, request: Request
) -> QuoteView:
    """How many points may be spent on a cart. Nothing is set aside."""
    now = context.clock.now()
    async with context.engine.begin() as conn:
        wallet = await booking.open_person(
            conn, customer_id, now, wanted=booking.ALL, pooled=_pooled(request)
        )
        rules = await _rules(conn, now)
        spendable = wallet.spendable(now)
        await conn.rollback()
    currency = context.stores.base_currency
    found = redemption.most(_items(body.lines), spendable, rules, currency)
    return QuoteView(
        points=found.points,
        amount_minor=found.amount_minor,
        currency=currency,
        limit=found.limit,
        spendable=spendable,
        points_min=rules.points_min,
        points_step=rules.points_step,
    )


@router.post(
    "/accounts/{customer_id}/reservations",
    status_code=201,
    response_model=ReservationView,
    openapi_extra=SPEND,
)
async def reserve(customer_id: CustomerId, body: Reserve, request: Request) -> Response:
    """Set points aside, the first to expire first."""
    context = context_of(request)
    async with once(request, body) as tx:
        cause = cause_of(request, context)
        wallet = await booking.open_person(
            tx.conn, customer_id, cause.time, wanted=body.points, pooled=_pooled(request)
        )
        if not wallet.accounts:
            raise NotFound(NO_ACCOUNT)
        rules, currency = await _rules(tx.conn, cause.time), context.stores.base_currency
        redemption.check(body.points, _items(body.lines), rules, currency)
        new = Reservation(
            id=str(uuid4()),
            customer_id=customer_id,
            account_ids=(),
            store=body.store,
            points=body.points,
            amount_minor=redemption.worth(body.points, rules, currency),
            currency=currency,
            expires_at=cause.time + timedelta(minutes=rules.reserve_minutes),
            parts=(),
            order_id=body.order_id,
            points_per_unit=rules.points_per_unit,
        )
        made = reservations.open_one(wallet, new, cause)
        await store.add(tx.conn, made)
        await booking.save(tx.conn, wallet, context.stores)
        tx.detail = {"reservation_id": made.id, "points": made.points}
        location = {"Location": f"/v1/reservations/{made.id}"}
        return tx.answer(ReservationView.of(made), status=201, headers=location)


@router.get("/reservations/{reservation_id}", openapi_extra=READ_ONE)
async def get_reservation(reservation_id: str, context: Ctx, request: Request) -> ReservationView:
    """What has become of it."""
    async with context.engine.connect() as conn:
        one = await _find(conn, request, reservation_id)
    return ReservationView.of(one)


@router.post(
    "/reservations/{reservation_id}/confirm",
    response_model=ReservationView,
    openapi_extra=needs("loyalty:write", subject=ROUTE_CHECKS),
)
async def confirm(reservation_id: str, body: Confirm, request: Request) -> Response:
    """Spend what is set aside. Again with the same points it answers the same; else it is refused
    by name, and nothing happens."""
    context = context_of(request)
    async with once(request, body) as tx:
        cause = cause_of(request, context)
        one, wallet = await _open(tx.conn, request, reservation_id)
        points = one.points if body.points is None else body.points
        if one.state == "confirmed" and (points, body.order_id or one.order_id) == (
            one.confirmed,
            one.order_id,
        ):
            return tx.answer(ReservationView.of(one))  # the order's own event was first
        reservations.check_open(one, cause.time, body.order_id)
        after = reservations.confirm(wallet, one, points, body.order_id, cause)
        if after.confirmed:
            wallet.facts.append(announcements.redeemed(after, wallet, cause))
        await store.save(tx.conn, [after])
        await booking.save(tx.conn, wallet, context.stores)
        tx.subject, tx.detail = one.customer_id, {"reservation_id": one.id, "points": points}
        return tx.answer(ReservationView.of(after))


@router.post(
    "/reservations/{reservation_id}/cancel", response_model=ReservationView, openapi_extra=ONE
)
async def cancel(reservation_id: str, request: Request) -> Response:
    """Free what is set aside: to its own lots, with their own dates."""
    context = context_of(request)
    async with once(request) as tx:
        cause = cause_of(request, context)
        one, wallet = await _open(tx.conn, request, reservation_id)
        try:
            reservations.check_open(one, cause.time, None)
        except TimedOut:
            if one.state != "reserved":
                raise  # else the job has not come by: it is freed now
        after = reservations.release(wallet, one, "cancelled", cause)
        await store.save(tx.conn, [after])
        await booking.save(tx.conn, wallet, context.stores)
        tx.subject, tx.detail = one.customer_id, {"reservation_id": one.id}
        return tx.answer(ReservationView.of(after))


def cause_of(request: Request, context: Context) -> Event:
    """The request as the cause of journals: its caller, and the key that repeats carry.

    Of a storefront no more than that: a customer's id in the books could never be erased.
    """
    caller, key = audit.caller_id(request.scope), request.headers["idempotency-key"]
    return ledger.cause_of(f"http/{caller}", key, context.clock.now())


async def _open(
    conn: AsyncConnection, request: Request, reservation_id: str
) -> tuple[Reservation, Wallet]:
    """The reservation with its accounts locked and its lots."""
    wallet = Wallet.open(await store.lock_accounts(conn, reservation_id))
    one = await _find(conn, request, reservation_id)  # as it is under the lock
    wallet.bring(await lot_store.load(conn, [part.lot_id for part in one.parts]))
    return one, wallet


async def _find(conn: AsyncConnection, request: Request, reservation_id: str) -> Reservation:
    one = (await store.load(conn, [reservation_id])).get(reservation_id)
    if one is None or one.customer_id is None:
        raise NotFound("no reservation of this id")
    own(request, one.customer_id)
    return one


async def _rules(conn: AsyncConnection, now: datetime) -> Redemption:
    return programme_at(await definitions.book(conn), now).redemption


def _items(lines: Lines) -> list[Item]:
    return [
        Item(
            str(number),
            1,
            line.total_minor,
            kind="gift_card" if line.kind == "gift_card" else "product",
            category=line.category,
        )
        for number, line in enumerate(lines)
    ]


def _pooled(request: Request) -> bool:
    """A token of an anonymous id spends that id's own points only."""
    caller = caller_of(request)
    return caller.kind == "key" or not caller.sub.startswith("anon:")
