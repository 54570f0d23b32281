"""What the simulated shop sells: Fox & Fern (狐与蕨), tea, tableware and stationery.

The table is a file, and fixed, so that every run of the simulator sells the same things;
prices of the Chinese stores follow from the British ones. Products with a common theme are
bought together, which is what a recommender has to find.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shared.events.catalog import ProductPublished, Variant
from shared.events.offers import OfferChanged

CNY_RATE = 0.11
"""Pounds for one yuan, as the shop books it."""

FILE = Path(__file__).with_name("catalogue.csv")
AXES = {
    "": ("", ("",)),
    "grams": ("weight", ("50 g", "100 g", "250 g")),
    "glazes": ("colour", ("celadon", "white", "ink blue")),
    "colours": ("colour", ("moss", "rust", "sand", "indigo")),
    "sizes": ("size", ("A6", "A5")),
}
LARGER_COSTS_PERCENT = {"weight": 60, "size": 30}


@dataclass(frozen=True)
class Product:
    """`price_minor` in pence, of the smallest variant."""

    product_id: str
    name: str
    name_zh: str
    path: tuple[str, ...]
    brand: str
    price_minor: int
    axis: tuple[str, tuple[str, ...]]
    theme: str

    @cached_property
    def skus(self) -> tuple[str, ...]:
        """One for each variant, such as `longjing-100-g`."""
        return tuple(
            f"{self.product_id}-{value.replace(' ', '-')}" if value else self.product_id
            for value in self.axis[1]
        )

    def name_in(self, currency: str) -> str:
        return self.name_zh if currency == "CNY" else self.name

    def variant_of(self, sku: str) -> str:
        return self.axis[1][self.skus.index(sku)]

    def price_of(self, sku: str, currency: str) -> int:
        """In minor units: pence, or fen in whole yuan."""
        more = LARGER_COSTS_PERCENT.get(self.axis[0], 0) * self.skus.index(sku)
        pence = self.price_minor * (100 + more) // 100
        return pence if currency == "GBP" else round(pence / CNY_RATE / 100) * 100


def _read() -> tuple[Product, ...]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Product(
                product_id=row["product_id"],
                name=row["name"],
                name_zh=row["name_zh"],
                path=tuple(row["category"].split(" > ")),
                brand=row["brand"],
                price_minor=int(row["price_minor"]),
                axis=AXES[row["variants"]],
                theme=row["theme"],
            )
            for row in csv.DictReader(file)
        )


PRODUCTS = _read()
THEMES = tuple(dict.fromkeys(product.theme for product in PRODUCTS))
BY_THEME = {theme: [p for p in PRODUCTS if p.theme == theme] for theme in THEMES}
BY_SKU = {sku: product for product in PRODUCTS for sku in product.skus}

ARTICLES = (
    ("brew-gongfu", "How to brew gongfu tea", "gongfu"),
    ("whisk-matcha", "Whisking matcha without lumps", "matcha"),
    ("first-brush", "Your first brush strokes", "brush"),
)


def snapshots() -> Iterator[ProductPublished]:
    """The whole catalogue, articles included."""
    for product in PRODUCTS:
        name, values = product.axis
        yield ProductPublished(
            product_id=product.product_id,
            name=product.name,
            category=product.path,
            brand=product.brand,
            attributes={"name_zh": product.name_zh},
            url=f"https://foxandfern.example/p/{product.product_id}",
            image_url=f"https://foxandfern.example/i/{product.product_id}.jpg",
            variants=tuple(
                Variant(sku=sku, name=value, attributes={name: value} if name else {})
                for sku, value in zip(product.skus, values, strict=True)
            ),
        )
    for article_id, title, theme in ARTICLES:
        yield ProductPublished(
            product_id=article_id,
            name=title,
            kind="content",
            category=("Journal",),
            attributes={"theme": theme},
            url=f"https://foxandfern.example/journal/{article_id}",
        )


def offer(store: str, currency: str, sku: str, stock: int) -> OfferChanged:
    """What the variant costs in the store, and how many there are."""
    product = BY_SKU[sku]
    return OfferChanged(
        store=store,
        sku=sku,
        product_id=product.product_id,
        currency=currency,
        price_minor=product.price_of(sku, currency),
        stock=stock,
    )
