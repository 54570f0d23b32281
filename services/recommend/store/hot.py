"""The storefronts' reads: each one indexed statement, on the hot asyncpg pool.

A product can be sold in a store, or somewhere without one, if it is shown there, is no
content, and one of its variants is on offer now: not withdrawn, within its sale window, and
with stock, where none told counts as enough. A variant without an offer is taken as on
offer, and so is a product of which nothing is known: the platform need not send offers.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg

from services.recommend import interactions
from services.recommend.interactions import Interaction

ORDERS_MAX = 50
"""Newest orders of each id that are read: what is older may be recommended again."""
POPULAR_MAX = 500
"""Most popular products that are looked at for some that can be sold."""

Width = Literal["own", "anonymous", "all"]
"""Whose past is read: of this id alone, of its anonymous ids too, or of the whole person."""

# The past of all members that `width` allows.
GET_PAST = """
    WITH person AS (
        SELECT member
        FROM unnest(
            coalesce((SELECT members FROM alias WHERE customer_id = $1), ARRAY[$1::text])
        ) AS member
        WHERE member = $1 OR $2 = 'all' OR ($2 = 'anonymous' AND member LIKE 'anon:%')
    )
    SELECT
        (SELECT array_agg(history.interactions)
            FROM person JOIN history ON history.customer_id = person.member),
        (SELECT json_agg(json_build_array(
                (extract(epoch FROM recent.bought_at) * 1000000)::bigint, recent.order_id,
                recent.products, recent.skus
            ))::text
            FROM person CROSS JOIN LATERAL (
                SELECT bought_at, order_id, products, skus
                FROM order_seen
                WHERE order_seen.customer_id = person.member
                ORDER BY bought_at DESC
                LIMIT $3
            ) AS recent)
"""
GET_LISTS = """
    SELECT asked.product_id, model.others, model.scores, product.variants::text
    FROM unnest($1::text[]) AS asked (product_id)
    LEFT JOIN also_bought AS model USING (product_id)
    LEFT JOIN product USING (product_id)
"""
GET_LIST = """
    SELECT model.others, model.orders, model.scores
    FROM (VALUES ($1::text)) AS asked (product_id)
    LEFT JOIN also_bought AS model USING (product_id)
    WHERE EXISTS (SELECT FROM product WHERE product.product_id = asked.product_id)
        OR EXISTS (SELECT FROM popularity WHERE popularity.product_id = asked.product_id)
"""

# Of each `wanted` product: its variants that can be sold in the store $2 at the time $3.
_COLUMNS = """
    wanted.product_id, coalesce(product.name, ''), coalesce(product.category, '{}'),
    coalesce(product.brand, ''), coalesce(product.url, ''), coalesce(product.image_url, ''),
    product.variants::text, sold.skus, sold.offers::text
"""
_SOLD = """
    LEFT JOIN product ON product.product_id = wanted.product_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS known,
            array_agg(sku ORDER BY place, sku) FILTER (WHERE sellable) AS skus,
            json_agg(best ORDER BY place, sku) FILTER (WHERE best IS NOT NULL) AS offers
        FROM (
            SELECT variant.sku, min(variant.place) AS place,
                count(offer.sku) = 0 OR bool_or(offer.open) AS sellable,
                (array_agg(offer.told ORDER BY offer.price_minor, offer.store)
                    FILTER (WHERE offer.open))[1] AS best
            FROM (
                SELECT sku, place
                FROM unnest(product.skus) WITH ORDINALITY AS listed (sku, place)
                UNION ALL
                SELECT sku, 1000000 FROM offer
                WHERE offer.product_id = wanted.product_id
                    AND ($2::text IS NULL OR offer.store = $2)
            ) AS variant
            LEFT JOIN LATERAL (
                SELECT o.sku, o.store, o.price_minor,
                    json_build_array(
                        o.sku, o.store, o.currency, o.price_minor, o.list_price_minor
                    )::text AS told,
                    NOT o.withdrawn AND o.stock IS DISTINCT FROM 0
                        AND coalesce(o.on_sale_from <= $3::timestamptz, true)
                        AND coalesce(o.on_sale_until > $3, true) AS open
                FROM offer AS o
                WHERE o.sku = variant.sku AND ($2 IS NULL OR o.store = $2)
                    AND coalesce(o.product_id, wanted.product_id) = wanted.product_id
            ) AS offer ON true
            GROUP BY variant.sku
        ) AS stock
    ) AS sold
    WHERE (product.product_id IS NULL
            OR (NOT product.withdrawn AND product.kind = 'product'
                AND ($2 IS NULL OR product.stores = '{}' OR $2 = ANY(product.stores))))
        AND (sold.known = 0 OR sold.skus IS NOT NULL)
"""
GET_SHELF = f"""
    SELECT {_COLUMNS}
    FROM unnest($1::text[]) WITH ORDINALITY AS wanted (product_id, place)
    {_SOLD}
    ORDER BY wanted.place
    LIMIT $4
"""  # noqa: S608  constants of ours
GET_POPULAR = f"""
    SELECT {_COLUMNS}
    FROM (
        SELECT product_id, orders, views
        FROM popularity
        WHERE orders > 0 OR views > 0
        ORDER BY orders DESC, views DESC, product_id
        LIMIT {POPULAR_MAX}
    ) AS wanted
    {_SOLD}
        AND wanted.product_id <> ALL($1::text[])
    ORDER BY wanted.orders DESC, wanted.views DESC, wanted.product_id
    LIMIT $4
"""  # noqa: S608

HOT = {
    "GET_PAST": GET_PAST,
    "GET_LISTS": GET_LISTS,
    "GET_LIST": GET_LIST,
    "GET_SHELF": GET_SHELF,
    "GET_POPULAR": GET_POPULAR,
}

Variants = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Offer:
    """What one sku costs, in the cheapest of the stores that were asked for."""

    sku: str
    store: str
    currency: str
    price_minor: int
    list_price_minor: int | None


@dataclass(frozen=True, slots=True)
class Shelved:
    """A product that can be sold now: `skus` are those that can, `offers` what they cost."""

    product_id: str
    name: str
    category: Sequence[str]
    brand: str
    url: str
    image_url: str
    _variants: str | None
    _skus: Sequence[str] | None
    _offers: str | None

    @property
    def skus(self) -> Sequence[str]:
        return self._skus or ()

    @property
    def variants(self) -> Variants:
        return _parsed(self._variants)

    def offer(self, sku: str | None) -> Offer | None:
        """The offer of this sku; None where none is known."""
        offers = json.loads(self._offers or "[]")
        return next((Offer(*told) for told in map(json.loads, offers) if told[0] == sku), None)


@dataclass(frozen=True, slots=True)
class Listed:
    """One product's list, and its variants."""

    product_id: str
    others: Sequence[str]
    scores: Sequence[float]
    variants: Variants


@dataclass(frozen=True, slots=True)
class Where:
    """Where and when it is to be sold; `store` None: anywhere."""

    store: str | None
    at: datetime


async def get_past(pool: asyncpg.Pool, customer_id: str, width: Width) -> list[Interaction]:
    """What the person looked at and bought, in no order; empty for who is not known."""
    histories, orders = await pool.fetchrow(GET_PAST, customer_id, width, ORDERS_MAX)
    past = [each for history in histories or () for each in interactions.read(history)]
    for time_us, order_id, products, skus in json.loads(orders or "[]"):
        past += [
            Interaction(time_us, "", order_id, "buy", product_id, sku)
            for product_id, sku in zip(products, skus, strict=True)
        ]
    return past


async def get_lists(pool: asyncpg.Pool, product_ids: Collection[str]) -> list[Listed]:
    """What is bought together with each of these products, as far as it is known."""
    rows = await pool.fetch(GET_LISTS, list(product_ids))
    return [Listed(row[0], row[1] or (), row[2] or (), _parsed(row[3])) for row in rows]


async def get_list(
    pool: asyncpg.Pool, product_id: str
) -> tuple[Sequence[str], Sequence[int], Sequence[float]] | None:
    """Others, orders in common and scores, best first; None for a product never heard of."""
    row = await pool.fetchrow(GET_LIST, product_id)
    return (row[0] or (), row[1] or (), row[2] or ()) if row else None


async def get_shelf(
    pool: asyncpg.Pool, product_ids: Sequence[str], where: Where, limit: int
) -> list[Shelved]:
    """The first of these products that can be sold, in the order given."""
    rows = await pool.fetch(GET_SHELF, product_ids, where.store, where.at, limit)
    return [Shelved(*row) for row in rows]


async def get_popular(
    pool: asyncpg.Pool, without: Collection[str], where: Where, limit: int
) -> list[Shelved]:
    """The products with most orders, then most views, that can be sold."""
    rows = await pool.fetch(GET_POPULAR, list(without), where.store, where.at, limit)
    return [Shelved(*row) for row in rows]


def _parsed(variants: str | None) -> Variants:
    parsed: Variants = json.loads(variants or "[]")
    return parsed
