"""shop.catalog.v1 (compacted, key product_id): what is sold, always as a full snapshot.

A null value on the topic withdraws the product that is its key.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.events.envelope import Fact
from shared.events.fields import Attributes, Id, Label, Part, StoreId, Text, Url

TOPIC = "shop.catalog.v1"


class Variant(Part):
    """One thing that can be put in a cart; its price and stock are offers."""

    sku: Id
    name: Label = ""
    attributes: Attributes = Field(default_factory=dict)
    """What sets it apart, such as size and colour."""
    image_url: Url = ""


class ProductSnapshot(Fact, use_attribute_docstrings=True):
    """The whole product as it now stands; what is absent is gone."""

    product_id: Id
    name: Label = ""
    kind: Literal["product", "content"] = "product"
    """`content`: an article or a video that is recommended and not sold."""
    category: Annotated[tuple[Label, ...], Field(max_length=20)] = ()
    """The path from the root, such as ["Home", "Kitchen", "Mugs"]."""
    brand: Label = ""
    description: Text = ""
    attributes: Attributes = Field(default_factory=dict)
    url: Url = ""
    image_url: Url = ""
    variants: Annotated[tuple[Variant, ...], Field(max_length=1_000)] = ()
    stores: Annotated[tuple[StoreId, ...], Field(max_length=1_000)] = ()
    """Stores that show it; empty: all."""
    published_at: AwareDatetime | None = None
    """When it was first shown; new products are found by it."""


class ProductPublished(ProductSnapshot):
    """The product is shown, new or changed."""

    name: Annotated[str, Field(min_length=1, max_length=500)]


class ProductWithdrawn(ProductSnapshot):
    """The product is no longer shown; its history stays."""


TYPES: dict[str, type[Fact]] = {
    "product.published": ProductPublished,
    "product.withdrawn": ProductWithdrawn,
}
