"""Card numbers, and the handles that member codes begin with."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

LIST_LIVE = text("""
    SELECT c.number, c.handle, c.account_id, c.drawn_at, c.dead_at, m.customer_id
    FROM member AS m CROSS JOIN LATERAL (
        SELECT number, handle, account_id, drawn_at, dead_at
        FROM card WHERE card.account_id = m.account_id AND dead_at IS NULL
        LIMIT 1
    ) AS c
    WHERE m.customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY c.drawn_at, c.number
""")
_FIND = """
    SELECT c.number, c.handle, c.account_id, c.drawn_at, c.dead_at, m.customer_id
    FROM card AS c JOIN member AS m USING (account_id)
"""
FIND_BY_NUMBER = text(f"{_FIND} WHERE c.number = :number")
FIND_BY_HANDLE = text(f"{_FIND} WHERE c.handle = :handle")
# Nothing if the number or the handle was drawn before: then draw again.
ADD = text("""
    INSERT INTO card (number, handle, account_id) VALUES (:number, :handle, :account_id)
    ON CONFLICT DO NOTHING
""")
KILL = text("""
    UPDATE card SET dead_at = now()
    WHERE account_id = ANY(CAST(:account_ids AS uuid[])) AND dead_at IS NULL
""")
FORGET = text("""
    DELETE FROM card USING member
    WHERE member.account_id = card.account_id
        AND member.customer_id = ANY(CAST(:customer_ids AS text[]))
""")


@dataclass(frozen=True, slots=True)
class Card:
    """A card and whose it is."""

    number: str
    handle: str
    account_id: UUID
    drawn_at: datetime
    dead_at: datetime | None
    customer_id: str


async def list_live(conn: AsyncConnection, customer_ids: Collection[str]) -> list[Card]:
    """The live cards of these ids, the oldest first: one for each id at most."""
    return await db.fetch(conn, LIST_LIVE, Card, customer_ids=sorted(customer_ids))


async def find_by_number(conn: AsyncConnection, number: str) -> Card | None:
    return await db.fetch_one(conn, FIND_BY_NUMBER, Card, number=number)


async def find_by_handle(conn: AsyncConnection, handle: str) -> Card | None:
    return await db.fetch_one(conn, FIND_BY_HANDLE, Card, handle=handle)


async def add(conn: AsyncConnection, account_id: UUID, number: str, handle: str) -> bool:
    """Whether the card was new; its account is locked and has no other that lives."""
    card = {"number": number, "handle": handle, "account_id": account_id}
    return bool((await conn.execute(ADD, card)).rowcount)


async def kill(conn: AsyncConnection, account_ids: Collection[UUID]) -> int:
    """End the accounts' live cards; how many there were."""
    return (await conn.execute(KILL, {"account_ids": list(account_ids)})).rowcount


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Delete the customers' cards, before their links go; how many there were."""
    return (await conn.execute(FORGET, {"customer_ids": sorted(customer_ids)})).rowcount
