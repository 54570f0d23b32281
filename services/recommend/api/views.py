"""A product to show, as every answer that shows products tells of it."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import Response
from pydantic import BaseModel
from pydantic_core import to_json

from services.recommend.store.hot import Shelved

LIMIT_MAX = 50
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]


class OfferView(BaseModel):
    """What the variant costs: in the store that was asked for, else in the cheapest."""

    store: str
    currency: str
    price_minor: int
    list_price_minor: int | None


class ItemView(BaseModel):
    """`sku` is a variant that can be sold now; null where the platform told of none."""

    product_id: str
    sku: str | None
    name: str
    category: list[str]
    brand: str
    url: str
    image_url: str
    offer: OfferView | None
    score: float


def item(product: Shelved, sku: str | None, **more: Any) -> dict[str, Any]:
    """An ItemView and `more`, unchecked: hot answers are made by hand."""
    offer = product.offer(sku)
    return {
        "product_id": product.product_id,
        "sku": sku,
        "name": product.name,
        "category": product.category,
        "brand": product.brand,
        "url": product.url,
        "image_url": product.image_url,
        "offer": offer
        and {
            "store": offer.store,
            "currency": offer.currency,
            "price_minor": offer.price_minor,
            "list_price_minor": offer.list_price_minor,
        },
        **more,
    }


def answer(body: Mapping[str, Any]) -> Response:
    return Response(to_json(body), media_type="application/json")
