"""What to show a person.

A person is all ids that were merged. A server key sees the past of all of them. A
storefront's token never sees more than its own: for an anonymous id, what that id did; for
a customer, also what he did before he was known, but of no other customer that he was
merged with.
"""

from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from services.recommend import ranking
from services.recommend.api.views import ItemView, Limit, answer, item
from services.recommend.ranking import Candidate, Interest
from services.recommend.store import hot
from services.recommend.store.hot import Listed, Where, Width
from shared.events.envelope import CustomerId
from shared.events.fields import StoreId
from shared.http.auth import caller_of, needs
from shared.http.context import Context, context_of

router = APIRouter(prefix="/v1/recommendations", tags=["recommendations"])

SPARE = 20  # candidates beyond the limit, for those that cannot be sold now


class RecommendedView(ItemView):
    """`score` compares within one answer, and is 0 for popular products."""

    reason: Literal["bought_with", "popular"]
    because: str | None
    """The product of the person's past that it is bought with."""


class RecommendationsView(BaseModel):
    """Best first. The storefront names `recommendation_id` when they are shown or clicked."""

    customer_id: str
    recommendation_id: str
    items: list[RecommendedView]


@router.get(
    "/{customer_id}",
    response_model=RecommendationsView,
    openapi_extra=needs("recommend:read", subject="customer_id", storefront=True),
)
async def get_recommendations(
    customer_id: CustomerId, request: Request, limit: Limit = 10, store: StoreId | None = None
) -> Response:
    """What is bought with what the person looked at and bought; then what is popular."""
    context = context_of(request)
    where = Where(store, context.clock.now())
    past = await hot.get_past(context.hot, customer_id, _width(request, customer_id))
    interest = ranking.interest(past)
    items = await _bought_with(context, interest, where, limit) if interest.seeds else []
    if len(items) < limit:
        without = [*interest.bought, *(each["product_id"] for each in items)]
        popular = await hot.get_popular(context.hot, without, where, limit - len(items))
        for product in popular:
            sku = ranking.nearest(product.skus, (), ranking.NOTHING_LIKED)
            items.append(item(product, sku, score=0.0, reason="popular", because=None))
    return answer({"customer_id": customer_id, "recommendation_id": uuid4().hex, "items": items})


async def _bought_with(
    context: Context, interest: Interest, where: Where, limit: int
) -> list[dict[str, Any]]:
    """Candidates that can be sold, each in the variant nearest to those the person chose."""
    lists = await hot.get_lists(context.hot, interest.seeds)
    found = _candidates(interest, lists)[: limit + SPARE]
    if not found:
        return []
    liked = ranking.likes(interest, {known.product_id: known.variants for known in lists})
    by_id = {candidate.product_id: candidate for candidate in found}
    items = []
    for product in await hot.get_shelf(context.hot, list(by_id), where, limit):
        candidate = by_id[product.product_id]
        chosen = interest.chosen.get(product.product_id, "")
        sku = ranking.nearest(product.skus, product.variants, liked, chosen)
        reason = {"reason": "bought_with", "because": candidate.because}
        items.append(item(product, sku, score=round(candidate.score, 6), **reason))
    return items


def _candidates(interest: Interest, lists: list[Listed]) -> list[Candidate]:
    scored = {known.product_id: (known.others, known.scores) for known in lists}
    return ranking.candidates(interest, scored)


def _width(request: Request, customer_id: str) -> Width:
    if caller_of(request).kind == "key":
        return "all"
    return "own" if customer_id.startswith("anon:") else "anonymous"
