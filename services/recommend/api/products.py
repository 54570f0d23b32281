"""What is known of a product, and what is bought together with it."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from services.recommend import ranking
from services.recommend.api.views import ItemView, Limit, answer, item
from services.recommend.store import facts, hot, lists
from services.recommend.store.hot import Where
from shared.errors import NotFound
from shared.events.fields import Id, StoreId
from shared.http.auth import ROUTE_CHECKS, needs
from shared.http.context import Ctx, context_of

router = APIRouter(prefix="/v1", tags=["products"])

SERVERS_ONLY = needs("recommend:read")  # sales figures are not for storefronts


class AlsoBoughtItemView(ItemView):
    """`orders`: how many of the product's recent orders held this one too."""

    orders: int


class AlsoBoughtView(BaseModel):
    """What is bought together with the product and can be sold now, best first."""

    product_id: str
    items: list[AlsoBoughtItemView]


class StockView(BaseModel):
    """One variant in one store; `stock` null: not counted."""

    sku: str
    store: str
    currency: str
    price_minor: int
    list_price_minor: int | None
    stock: int | None
    on_sale_from: datetime | None
    on_sale_until: datetime | None
    withdrawn: bool
    changed_at: datetime


class ProductView(BaseModel):
    """What the catalogue says is null for a product that was bought or viewed, but never published.

    `orders`, `units` and `views` are of all times; cancelled and returned pieces are taken out.
    """

    product_id: str
    kind: str | None
    withdrawn: bool | None
    name: str | None
    category: list[str] | None
    brand: str | None
    url: str | None
    image_url: str | None
    attributes: dict[str, Any] | None
    variants: list[dict[str, Any]] | None
    stores: list[str] | None
    published_at: datetime | None
    changed_at: datetime | None
    orders: int
    units: int
    views: int
    offers: list[StockView]


class ModelView(BaseModel):
    """`stale` lists do not know all orders yet, the first of them since `stale_since`."""

    stale: int
    stale_since: datetime | None


@router.get(
    "/products/{product_id}/also-bought",
    response_model=AlsoBoughtView,
    # Nobody's data, so there is nothing to check: open to any storefront.
    openapi_extra=needs("recommend:read", subject=ROUTE_CHECKS, storefront=True),
)
async def get_also_bought(
    product_id: Id, request: Request, limit: Limit = 10, store: StoreId | None = None
) -> Response:
    """Empty for a product that was never bought with another."""
    context = context_of(request)
    known = await hot.get_list(context.hot, product_id)
    if known is None:
        raise NotFound("no such product: neither published, nor bought or viewed")
    by_id = {other: (orders, score) for other, orders, score in zip(*known, strict=True)}
    where = Where(store, context.clock.now())
    items = []
    for product in await hot.get_shelf(context.hot, list(by_id), where, limit) if by_id else ():
        orders, score = by_id[product.product_id]
        sku = ranking.nearest(product.skus, (), ranking.NOTHING_LIKED)
        items.append(item(product, sku, score=round(score, 6), orders=orders))
    return answer({"product_id": product_id, "items": items})


@router.get("/products/{product_id}", openapi_extra=SERVERS_ONLY)
async def get_product(product_id: Id, context: Ctx) -> ProductView:
    """The catalogue's snapshot, the offers of its variants, and how popular it is."""
    async with context.engine.connect() as conn:
        known = await facts.get_product(conn, product_id)
        if known is None:
            raise NotFound("no such product: neither published, nor bought or viewed")
        offers = await facts.list_offers(conn, product_id)
    counts = {name: getattr(known, name) or 0 for name in ("orders", "units", "views")}
    told = {**asdict(known), **counts, "offers": [asdict(offer) for offer in offers]}
    return ProductView.model_validate(told)


@router.get("/models/also-bought", openapi_extra=SERVERS_ONLY)
async def get_model(context: Ctx) -> ModelView:
    """How far the lists are behind the orders."""
    async with context.engine.connect() as conn:
        backlog = await lists.count_stale(conn)
    return ModelView(stale=backlog.products, stale_since=backlog.since)
