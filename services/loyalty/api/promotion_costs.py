"""What offers and coupons cost, month by month.

GET /v1/ledger/promotions?from=&until=   by month, then offers, then coupons' rewards
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.loyalty.api.liability import SUMS
from services.loyalty.benefits.rewards import Reward
from services.loyalty.books.accounting import Day, name_of, parse_month
from services.loyalty.promotions.costs import Kind
from services.loyalty.promotions.offers import Offer
from services.loyalty.promotions.stacking import UNUSED, Use
from services.loyalty.store import claims, definitions, statements, stocks
from services.loyalty.store.statements import Place, Promoted
from services.loyalty.terms.definitions import Book
from shared.errors import Unprocessable
from shared.http import paging
from shared.http.context import Context, Ctx

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])

POSITION = paging.Cursor(Place)
FIRST = Place(date(1, 1, 1), "", "")


class Left(BaseModel):
    """What is left now of an offer's budget, or of a reward's stock; null: there is no bound.
    Below zero where orders were paid after their claim's time."""

    uses: int | None = None
    cost_minor: int | None = None


class PromotionMonth(BaseModel):
    """One offer, or all coupons of one reward, in one month: what remains of it now, of the
    orders that were placed in it. Money is in minor units."""

    month: str
    kind: Kind
    id: str
    name: str
    currency: str
    uses: int
    """Orders, or coupons used; one that was returned counts on, one that was cancelled does not."""
    discount_minor: int
    gifts: int
    gifts_minor: int
    """What the gifts cost the store, at most."""
    points_paid: int
    """What members paid for the coupons."""
    left: Left


Named = Mapping[tuple[Kind, str], tuple[str, Left]]


@router.get("/promotions", openapi_extra=SUMS)
async def list_promotion_costs(
    context: Ctx,
    *,
    since: Annotated[Day, Query(alias="from")],
    until: Day,
    cursor: str = "",
    limit: paging.Limit = 50,
) -> paging.Page[PromotionMonth]:
    """What each offer, and each reward by its coupons, took off the orders of these days."""
    if until <= since:
        raise Unprocessable("until: give a day after `from`; it is the first that is left out")
    after = POSITION.decode(cursor) or FIRST
    found = await statements.sum_promotions(context.hot, since, until, after, limit + 1)
    named = await _named(context, found)
    views = [_view(each, named, context.stores.base_currency) for each in found]
    return paging.page(views, limit, _place)


async def _named(context: Context, found: Iterable[Promoted]) -> Named:
    """What each is called, and what is left of it."""
    ids: dict[Kind, set[str]] = {"offer": set(), "coupon": set()}
    for each in found:
        ids[each.kind].add(each.promotion_id)
    async with context.engine.connect() as conn:
        book = await definitions.book(conn)
        used = await claims.load_budgets(conn, ids["offer"])
        issued = await stocks.list_issued(conn, ids["coupon"])
    named: dict[tuple[Kind, str], tuple[str, Left]] = {}
    for id_ in ids["offer"]:
        named["offer", id_] = _offer(book, id_, used.get(id_, UNUSED))
    for id_ in ids["coupon"]:
        named["coupon", id_] = _reward(book, id_, issued.get(id_, 0))
    return named


def _offer(book: Book, id_: str, use: Use) -> tuple[str, Left]:
    offer = book.versions(Offer, id_)[-1].body
    uses, cost_minor = offer.budget.uses, offer.budget.cost_minor
    return offer.name, Left(
        uses=uses - use.uses if uses else None,
        cost_minor=cost_minor - use.cost_minor if cost_minor else None,
    )


def _reward(book: Book, id_: str, issued: int) -> tuple[str, Left]:
    reward = book.versions(Reward, id_)[-1].body
    return reward.name, Left(uses=None if reward.stock is None else reward.stock - issued)


def _view(each: Promoted, named: Named, currency: str) -> PromotionMonth:
    name, left = named[each.kind, each.promotion_id]
    return PromotionMonth(
        month=name_of(each.month),
        kind=each.kind,
        id=each.promotion_id,
        name=name,
        currency=currency,
        uses=each.uses,
        discount_minor=each.discount_minor,
        gifts=each.gifts,
        gifts_minor=each.gifts_minor,
        points_paid=each.points,
        left=left,
    )


def _place(view: PromotionMonth) -> str:
    return POSITION.encode(Place(parse_month(view.month), view.kind, view.id))
