"""A member's side of rewards: what he can have, taking it, and the coupons that he has.

GET  /v1/accounts/{customer_id}/rewards                what there is, and why not for him
POST /v1/accounts/{customer_id}/rewards/{reward_id}    take one: it costs its points
GET  /v1/accounts/{customer_id}/coupons                his, with their codes
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel

from services.loyalty.api.accounts import members_of
from services.loyalty.benefits.coupons import Coupon
from services.loyalty.benefits.presenting import reward_of
from services.loyalty.benefits.rewards import ASKED_FOR, Reward, Standing, misses
from services.loyalty.books import ledger, lots
from services.loyalty.earning.orders import Terms
from services.loyalty.store import coupons as store
from services.loyalty.store import definitions, hot
from services.loyalty.terms.definitions import Book, DefinitionId, Version
from services.loyalty.work import issuing
from services.loyalty.work.issuing import Ask
from shared import aliases
from shared.errors import NotFound
from shared.events.envelope import CustomerId
from shared.http import paging
from shared.http.auth import caller_of, needs
from shared.http.context import Context, Ctx, context_of
from shared.http.once import once

router = APIRouter(prefix="/v1/accounts/{customer_id}", tags=["rewards"])

READ = needs("loyalty:read", subject="customer_id", storefront=True)
TAKE = needs("loyalty:write", subject="customer_id", storefront=True)
POSITION = paging.Cursor(tuple[AwareDatetime, UUID])


class Worth(BaseModel):
    """What a reward is; money in minor units of `currency`, the base currency."""

    reward_id: str
    kind: str
    name: str
    description: str
    value_minor: int
    percent: int
    value_max_minor: int | None
    currency: str
    product_id: str | None
    sku: str | None
    cause: str
    spend_min_minor: int
    stores: list[str]

    @staticmethod
    def fields(reward_id: str, reward: Reward, currency: str) -> dict[str, Any]:
        shown = {name: getattr(reward, name) for name in SHOWN}
        return shown | {
            "reward_id": reward_id,
            "currency": currency,
            "stores": sorted(reward.stores),
        }


SHOWN = Worth.model_fields.keys() - {"reward_id", "currency", "stores"}


class RewardView(Worth):
    """A reward as one member sees it. `reasons` say why it is not to be had, all of them."""

    points: int
    available: bool
    reasons: list[str]
    points_missing: int
    left: int | None
    """Pieces; null: any number, or a pool of codes that is not counted."""
    ends_at: datetime | None

    @classmethod
    def of(cls, each: Version[Reward], standing: Standing, currency: str) -> "RewardView":
        reward, reasons = each.body, list(misses(each.body, standing))
        return cls(
            **cls.fields(each.id, reward, currency),
            points=reward.points,
            available=not reasons,
            reasons=reasons,
            points_missing=max(0, reward.points - standing.spendable),
            left=standing.left,
            ends_at=reward.ends_at,
        )


class RewardsView(BaseModel):
    """All that can be asked for."""

    spendable: int
    items: list[RewardView]


class CouponView(Worth):
    """A coupon as its owner sees it. `code` is null where there is none to use."""

    issue_id: UUID
    code: str | None
    state: str
    """issued, reserved, used, void or expired."""
    points: int
    issued_at: datetime
    expires_at: datetime | None
    order_id: str | None

    @classmethod
    def of(cls, one: Coupon, reward: Reward, context: Context) -> "CouponView":
        return cls(
            **cls.fields(one.reward_id, reward, context.stores.base_currency),
            issue_id=one.id,
            code=one.code,
            state=one.shown(context.clock.now()),
            points=one.points,
            issued_at=one.issued_at,
            expires_at=one.expires_at,
            order_id=one.order_id,
        )


@router.get("/rewards", openapi_extra=READ)
async def list_rewards(customer_id: CustomerId, request: Request) -> RewardsView:
    """Every reward that may be asked for now, with what keeps this member from it."""
    return await rewards_of(request, customer_id)


async def rewards_of(request: Request, customer_id: str) -> RewardsView:
    """The rewards that may be asked for now, and whether this member can have them."""
    context = context_of(request)
    now = context.clock.now()
    held = await hot.get_purse(context.hot, customer_id, now, pooled=pooled(request))
    spendable = held[0].active if held else 0
    async with context.engine.connect() as conn:
        book = await definitions.book(conn)
        versions = [v for v in book.in_force(Reward, now) if v.body.occasion in ASKED_FOR]
        members = (await aliases.person_of(conn, customer_id)).members
        terms = Terms(book, context.stores)
        known = await issuing.standings(conn, customer_id, members, versions, now=now, terms=terms)
    currency = context.stores.base_currency
    items = [RewardView.of(each, known[each.id].holding(spendable), currency) for each in versions]
    return RewardsView(spendable=spendable, items=items)


@router.post("/rewards/{reward_id}", status_code=201, response_model=CouponView, openapi_extra=TAKE)
async def take(customer_id: CustomerId, reward_id: DefinitionId, request: Request) -> Response:
    """Issue the reward: its price is paid, the points that expire first are spent first."""
    context = context_of(request)
    async with once(request) as tx:
        now = context.clock.now()
        book = await definitions.book(tx.conn)
        version = book.one_in_force(Reward, reward_id, now)
        if version is None:
            raise NotFound("no reward of this id can be had now")
        id_ = _issue_id(request, customer_id, reward_id)
        ask = Ask(
            id=id_,
            customer_id=customer_id,
            version=version,
            cause=ledger.cause_of(ledger.SOURCE, f"coupon/{id_}", now),
            given=caller_of(request).kind == "key",
        )
        coupon = await issuing.issue(
            tx.conn, ask, Terms(book, context.stores), pooled=pooled(request)
        )
        tx.detail = {"issue_id": str(id_), "reward_id": reward_id, "points": coupon.points}
        reward = reward_of(book, coupon)
        return tx.answer(CouponView.of(coupon, reward, context), status=201)


@router.get("/coupons", openapi_extra=READ)
async def list_coupons(
    customer_id: CustomerId,
    context: Ctx,
    request: Request,
    cursor: str = "",
    limit: paging.Limit = 50,
) -> paging.Page[CouponView]:
    """The coupons of all ids of the person, with their codes, newest first."""
    before = POSITION.decode(cursor) or (lots.NEVER, store.LAST_ID)
    async with context.engine.connect() as conn:
        members = await members_of(conn, request, customer_id)
        found = await store.list_of_person(conn, members, before, limit + 1)
        book: Book = await definitions.book(conn)
    views = [CouponView.of(one, reward_of(book, one), context) for one in found]
    return paging.page(views, limit, lambda view: POSITION.encode((view.issued_at, view.issue_id)))


def pooled(request: Request) -> bool:
    """A token of an anonymous id has that id's own only: whoever uses the browser next would
    otherwise have the customer's."""
    caller = caller_of(request)
    return caller.kind == "key" or not caller.sub.startswith("anon:")


def _issue_id(request: Request, customer_id: str, reward_id: str) -> UUID:
    """Of the request and its key, for ever: also when its stored answer is gone. Under the secret
    of erasures: the books name it, and must not lead to the person."""
    key, caller = request.headers.get("idempotency-key", ""), caller_of(request).id
    name = f"coupon\x1f{caller}\x1f{customer_id}\x1f{reward_id}\x1f{key}"
    return UUID(bytes=context_of(request).tombstones.digest(name)[:16], version=4)
