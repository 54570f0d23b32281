"""The frozen handler that the backbone is measured with: it must not be tuned.

Each paid order gives points: one posting, the account's balance, one event to publish.
Load, fold, store, as every service does.
"""

from collections.abc import Collection
from pathlib import Path

from fastapi import APIRouter
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import outbox
from shared.events import codec
from shared.events.envelope import Event, derived_id
from shared.events.loyalty import PointsEarned
from shared.service import Service
from shared.settings import Settings
from shared.world import Handler, World

TABLES = MetaData()
Table(
    "account",
    TABLES,
    Column("customer_id", Text, primary_key=True),
    Column("points", BigInteger, nullable=False),
)
Table(
    "posting",
    TABLES,
    Column("id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
)
SCHEMA = (
    "CREATE TABLE account (customer_id text PRIMARY KEY, points bigint NOT NULL)",
    (
        "CREATE TABLE posting (id text PRIMARY KEY, customer_id text NOT NULL,"
        " order_id text NOT NULL, points bigint NOT NULL)"
    ),
)

ADD_MISSING = """
    INSERT INTO account (customer_id, points)
    SELECT id, 0 FROM unnest(CAST({ids} AS text[])) AS id ORDER BY id
    ON CONFLICT DO NOTHING
"""
LOCK_ACCOUNTS = """
    SELECT customer_id, points FROM account WHERE customer_id = ANY(CAST({ids} AS text[]))
    ORDER BY customer_id FOR UPDATE
"""
ADD_POSTINGS = """
    INSERT INTO posting (id, customer_id, order_id, points)
    SELECT * FROM unnest(CAST({ids} AS text[]), CAST({customers} AS text[]),
        CAST({orders} AS text[]), CAST({points} AS bigint[]))
"""
SAVE_ACCOUNTS = """
    UPDATE account SET points = new.points
    FROM unnest(CAST({ids} AS text[]), CAST({points} AS bigint[])) AS new (id, points)
    WHERE account.customer_id = new.id
"""
NAMES = ("ids", "customers", "orders", "points")
BOUND = {name: f":{name}" for name in NAMES}
_ADD_MISSING = text(ADD_MISSING.format_map(BOUND))
_LOCK_ACCOUNTS = text(LOCK_ACCOUNTS.format_map(BOUND))
_ADD_POSTINGS = text(ADD_POSTINGS.format_map(BOUND))
_SAVE_ACCOUNTS = text(SAVE_ACCOUNTS.format_map(BOUND))


def points_of(event: Event) -> int:
    """One point for each whole unit of the currency."""
    points: int = event.data.total_minor // 100
    return points


async def handle(conn: AsyncConnection, events: list[Event], _world: World) -> None:
    """Load, fold, store."""
    ids = sorted({event.key for event in events})
    await conn.execute(_ADD_MISSING, {"ids": ids})
    rows = await conn.execute(_LOCK_ACCOUNTS, {"ids": ids})
    balances = {customer_id: points for customer_id, points in rows}  # noqa: C416
    posted = [(event, derived_id(event, "posting"), points_of(event)) for event in events]
    for event, _, points in posted:
        balances[event.key] += points
    await conn.execute(
        _ADD_POSTINGS,
        {
            "ids": [id_ for _, id_, _ in posted],
            "customers": [event.key for event in events],
            "orders": [event.data.order_id for event in events],
            "points": [points for _, _, points in posted],
        },
    )
    await conn.execute(_SAVE_ACCOUNTS, {"ids": list(balances), "points": list(balances.values())})
    await outbox.enqueue(conn, [earned(*entry) for entry in posted])


def earned(event: Event, posting_id: str, points: int) -> Event:
    """What is published for each order."""
    fact = PointsEarned(
        customer_id=event.key, journal_id=posting_id, points=points, order_id=event.data.order_id
    )
    return codec.follow(event, "earned", "points.earned", fact, source="regulars/loyalty")


async def erase(_conn: AsyncConnection, _ids: Collection[str]) -> dict[str, int]:
    """Nobody is erased in a measurement."""
    return {}


async def caused(_conn: AsyncConnection, _source: str, _id: str) -> list[dict[str, object]]:
    """Nobody asks in a measurement."""
    return []


SERVICE = Service(
    settings=Settings,
    name="loyalty",
    handler=Handler(("shop.orders.v1",), handle, erase),
    routers=(APIRouter(),),
    caused=caused,
    metadata=TABLES,
    migrations=Path(__file__).parent / "migrations",
)
