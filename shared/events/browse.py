"""shop.browse.v1: what a visitor did in the shop, mostly under an anonymous id.

Names follow the Segment e-commerce spec V2. Nothing here changes an order or a balance:
a lost browse event costs a recommendation, not money.
"""

from typing import Annotated

from pydantic import Field

from shared.events.envelope import CustomerFact, Minor
from shared.events.fields import (
    Amount,
    Campaign,
    Currency,
    Id,
    Label,
    Part,
    Product,
    ShortCode,
    StoreId,
    Url,
)

TOPIC = "shop.browse.v1"

Products = Annotated[tuple[Product, ...], Field(max_length=1_000)]


class BrowseFact(CustomerFact, use_attribute_docstrings=True):
    """Where and in which visit it happened."""

    store: StoreId
    channel: ShortCode = ""
    """Such as web or app; empty: the store's own."""
    session_id: Annotated[str, Field(max_length=200)] = ""
    """The visit, as the storefront counts visits."""
    url: Url = ""
    referrer: Url = ""
    campaign: Campaign | None = None
    currency: Currency | None = None
    """Of every amount in this event."""


class ProductEvent(BrowseFact, Product):
    """A fact about one product."""

    url: Url = ""


class ProductViewed(ProductEvent):
    """A product's page was opened."""

    list_id: Annotated[str, Field(max_length=200)] = ""
    """The list that it was opened from."""
    recommendation_id: Id | None = None
    """The recommendation that led here, if one did."""


class CategoryViewed(BrowseFact):
    """A category or another list of products was opened."""

    category: Label
    list_id: Annotated[str, Field(max_length=200)] = ""
    products: Products = ()


class ProductsSearched(BrowseFact):
    """A search was made."""

    query: Annotated[str, Field(max_length=500)]
    results: Annotated[int, Field(ge=0, le=10**9)] | None = None
    """How many products it found; 0 is what a merchandiser looks for."""
    products: Products = ()


class CartItem(ProductEvent):
    """A product went into the cart, or out of it; `quantity` says how many pieces."""

    cart_id: Id | None = None
    products: Products = ()
    """The whole cart as it now stands, where the storefront can tell."""


class CheckoutStarted(BrowseFact):
    """The customer began to pay."""

    checkout_id: Id | None = None
    order_id: Id | None = None
    cart_id: Id | None = None
    value_minor: Minor | None = None
    """What the cart would cost, before shipping."""
    shipping_minor: Amount | None = None
    tax_minor: Amount | None = None
    discount_minor: Amount | None = None
    coupon: ShortCode = ""
    products: Products = ()


class WishlistItemAdded(ProductEvent):
    """A product was put on a wish list."""

    wishlist_id: Id | None = None
    wishlist_name: Label = ""


class RecommendedProduct(Part):
    """One place of a recommendation."""

    product_id: Id
    sku: Annotated[str, Field(max_length=200)] = ""
    position: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Place in the list, from 0."""


class RecommendationShown(BrowseFact):
    """Recommended products came into view."""

    recommendation_id: Id
    """From the answer of the recommendation API."""
    placement: ShortCode = ""
    """Where in the shop, such as home or cart."""
    products: Annotated[tuple[RecommendedProduct, ...], Field(max_length=1_000)]
    model_version: ShortCode = ""
    experiment: ShortCode = ""
    variant: ShortCode = ""


class RecommendationClicked(BrowseFact, RecommendedProduct):
    """A recommended product was clicked."""

    recommendation_id: Id
    placement: ShortCode = ""


TYPES: dict[str, type[CustomerFact]] = {
    "product.viewed": ProductViewed,
    "category.viewed": CategoryViewed,
    "products.searched": ProductsSearched,
    "cart.item_added": CartItem,
    "cart.item_removed": CartItem,
    "checkout.started": CheckoutStarted,
    "wishlist.item_added": WishlistItemAdded,
    "recommendation.shown": RecommendationShown,
    "recommendation.clicked": RecommendationClicked,
}
