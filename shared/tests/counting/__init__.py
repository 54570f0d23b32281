"""A service of nothing but the backbone: it counts each customer's events, in order.

`trail` holds the ids in the order in which they were handled, so a test sees what was lost,
doubled or reordered; each event also causes one `notice.suppressed`, for the outbox.
Campaigns named `bug`, `slow` and `hang` are events that the handler cannot handle.
"""

import asyncio
import os
from collections.abc import Collection
from pathlib import Path

from fastapi import APIRouter
from sqlalchemy import Column, Integer, MetaData, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import outbox
from shared.events import codec
from shared.events.envelope import Event
from shared.events.notices import NoticeSuppressed
from shared.service import Service
from shared.settings import Settings
from shared.world import Handler, World

TOPICS = ("shop.orders.v1", "shop.browse.v1", "crm.profiles.v1")
TABLES = MetaData()
Table(
    "tally",
    TABLES,
    Column("customer_id", Text, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("trail", Text, nullable=False),
)

COUNT = text("""
    INSERT INTO tally (customer_id, events, trail)
    SELECT id, cardinality(string_to_array(trail, ' ')), trail
    FROM unnest(CAST(:ids AS text[]), CAST(:trails AS text[])) AS new (id, trail)
    ORDER BY id
    ON CONFLICT (customer_id) DO UPDATE
    SET events = tally.events + excluded.events, trail = tally.trail || ' ' || excluded.trail
""")
FORGET = text("DELETE FROM tally WHERE customer_id = ANY(CAST(:ids AS text[]))")


class Bug(Exception):
    """What a handler raises that was written badly."""


async def handle(conn: AsyncConnection, events: list[Event], _world: World) -> None:
    """Count; the environment's COUNTING_BUG makes a release of which every event fails."""
    trails: dict[str, list[str]] = {}
    for event in events:
        trails.setdefault(event.key, []).append(event.id)
        campaign = getattr(event.data, "campaign", None)
        if os.environ.get("COUNTING_BUG") or (campaign and campaign.name == "bug"):
            raise Bug
        if campaign and campaign.name == "hang":
            await asyncio.sleep(3600)
        if campaign and campaign.name == "slow":
            await conn.execute(text("SELECT pg_sleep(30)"))
    joined = [" ".join(trail) for trail in trails.values()]
    await conn.execute(COUNT, {"ids": list(trails), "trails": joined})
    await outbox.enqueue(conn, [_noticed(event) for event in events])


def _noticed(event: Event) -> Event:
    fact = NoticeSuppressed(
        customer_id=event.key, notice_id=event.id, kind="order", channel="email", reason="test"
    )
    return codec.follow(event, "noticed", "notice.suppressed", fact, source="regulars/notify")


async def erase(conn: AsyncConnection, ids: Collection[str]) -> dict[str, int]:
    """Forget the customers."""
    return {"tally": (await conn.execute(FORGET, {"ids": list(ids)})).rowcount}


async def caused(_conn: AsyncConnection, _source: str, _id: str) -> list[dict[str, object]]:
    """Nothing that anybody could ask for."""
    return []


SERVICE = Service(
    settings=Settings,
    name="profile",
    handler=Handler(TOPICS, handle, erase),
    routers=(APIRouter(),),
    caused=caused,
    metadata=TABLES,
    migrations=Path(__file__).parent / "migrations",
)
