"""Recommend's tables: the schema's one truth, which the migration is checked against.

`source` and `event_id` say which event made a row what it is. They compare by code point,
as in Python, so that the newest of two events is the same one wherever they are compared.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    desc,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL

METADATA = MetaData()
CODE_POINT = Text(collation="C")


def _stamp() -> tuple[Column[object], ...]:
    return (
        Column("changed_at", DateTime(timezone=True), nullable=False),
        Column("source", CODE_POINT, nullable=False),
        Column("event_id", CODE_POINT, nullable=False),
    )


# `skus` are those of `variants`, in their order; `stores` empty: shown in all.
PRODUCT = Table(
    "product",
    METADATA,
    Column("product_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # product, content
    Column("withdrawn", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("category", ARRAY(Text), nullable=False),  # the path from the root
    Column("brand", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("image_url", Text, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("variants", JSONB, nullable=False),
    Column("skus", ARRAY(Text), nullable=False),
    Column("stores", ARRAY(Text), nullable=False),
    Column("published_at", DateTime(timezone=True)),
    *_stamp(),
    Index("product_event", "event_id"),
)

# `product_id` only where the offer says it; else the catalogue knows whose variant it is.
OFFER = Table(
    "offer",
    METADATA,
    Column("sku", Text, primary_key=True),
    Column("store", Text, primary_key=True),
    Column("product_id", Text),
    Column("currency", Text, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("list_price_minor", BigInteger),
    Column("stock", Integer),  # null: not counted, always there
    Column("on_sale_from", DateTime(timezone=True)),
    Column("on_sale_until", DateTime(timezone=True)),
    Column("withdrawn", Boolean, nullable=False),
    *_stamp(),
    Index("offer_product", "product_id", postgresql_where=text("product_id IS NOT NULL")),
    Index("offer_event", "event_id"),
    postgresql_with={"fillfactor": "80"},
)

# `interactions` as `interactions.py` makes it: read and written whole, never searched.
HISTORY = Table(
    "history",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("interactions", Text, nullable=False),
    postgresql_with={"fillfactor": "70"},
)

# `products`, `units` and `skus` run in step, the product with the highest amount first; empty
# for orders that count for nothing: test orders, and what was all cancelled or returned.
ORDER_SEEN = Table(
    "order_seen",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("bought_at", DateTime(timezone=True), nullable=False),
    Column("products", ARRAY(Text), nullable=False),
    Column("units", ARRAY(Integer), nullable=False),
    Column("skus", ARRAY(Text), nullable=False),
    *_stamp(),
    Index("order_seen_customer", "customer_id", desc("bought_at")),
    Index("order_seen_event", "event_id"),
    postgresql_with={"fillfactor": "80"},
)

# Only orders of two products and more: others say nothing of what goes together.
PURCHASE = Table(
    "purchase",
    METADATA,
    Column("product_id", Text, primary_key=True),
    Column("bought_at", DateTime(timezone=True), primary_key=True),
    Column("order_id", Text, primary_key=True),
)

# Shared by all customers: changed only by increments, last in a transaction and in key order.
# `changes` counts the changes of baskets with this product. `stale_since` is the time of the
# first of them that `also_bought` does not know yet, null where it knows all.
POPULARITY = Table(
    "popularity",
    METADATA,
    Column("product_id", Text, primary_key=True),
    Column("orders", Integer, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("views", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
    Column("stale_since", DateTime(timezone=True)),
    Index("popularity_top", desc("orders"), desc("views"), "product_id"),
    Index("popularity_stale", "stale_since", postgresql_where=text("stale_since IS NOT NULL")),
    postgresql_with={"fillfactor": "70"},
)

# `others`, `orders` (how many of the recent orders held both) and `scores` run in step.
ALSO_BOUGHT = Table(
    "also_bought",
    METADATA,
    Column("product_id", Text, primary_key=True),
    Column("others", ARRAY(Text), nullable=False),
    Column("orders", ARRAY(Integer), nullable=False),
    Column("scores", ARRAY(REAL), nullable=False),
    Column("built_at", DateTime(timezone=True), nullable=False),
)
