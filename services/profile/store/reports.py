"""Sums over everybody: the only statements here that read whole tables."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

SUM_PROFILES = text("""
    SELECT p.customer_id LIKE 'guest:%' AS guest,
        count(DISTINCT coalesce(a.canonical_id, p.customer_id)) FILTER (WHERE p.placed_orders > 0),
        coalesce(sum(p.placed_orders), 0)::bigint, coalesce(sum(p.placed_minor), 0)::bigint,
        coalesce(sum(p.orders), 0)::bigint, coalesce(sum(p.units), 0)::bigint,
        coalesce(sum(p.spend_minor), 0)::bigint, coalesce(sum(p.orders_left_out), 0)::bigint
    FROM profile AS p
    LEFT JOIN alias AS a ON a.customer_id = p.customer_id
    GROUP BY 1
""")

SUM_CURRENCIES = text("""
    SELECT customer_id LIKE 'guest:%' AS guest, currency, count(*),
        sum(total_minor)::bigint, count(*) FILTER (WHERE standing), sum(kept_minor)::bigint
    FROM order_state
    WHERE NOT test AND total_minor > 0
    GROUP BY 1, 2
    ORDER BY 1, 2
""")


@dataclass(frozen=True, slots=True)
class Total:
    """Of all customers, or of all guests; money in the base currency."""

    guest: bool
    customers: int = 0
    placed_orders: int = 0
    placed_minor: int = 0
    orders: int = 0
    units: int = 0
    spend_minor: int = 0
    orders_left_out: int = 0


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """The orders in one currency, in that currency."""

    guest: bool
    currency: str
    placed_orders: int
    placed_minor: int
    orders: int
    spend_minor: int


async def sum_profiles(conn: AsyncConnection) -> dict[bool, Total]:
    """By whether they are guests."""
    found = {row.guest: row for row in await db.fetch(conn, SUM_PROFILES, Total)}
    return {guest: found.get(guest) or Total(guest) for guest in (False, True)}


async def sum_currencies(conn: AsyncConnection) -> list[CurrencyTotal]:
    return await db.fetch(conn, SUM_CURRENCIES, CurrencyTotal)
