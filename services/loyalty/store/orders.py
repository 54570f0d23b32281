"""What each order has booked."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.lines import LineState
from services.loyalty.earning.orders import OrderState
from services.loyalty.levels.contributions import Counted
from services.loyalty.levels.tiers import Bucket
from shared import db

LOAD_ORDERS = text("""
    SELECT order_id, customer_id, revision, type, event_time, store, verdict, lines, earned_in,
        activates_at, counted, import_id, hold
    FROM order_state
    WHERE order_id = ANY(CAST(:order_ids AS text[]))
""")
LIST_DUE = text("""
    SELECT order_id FROM order_state WHERE activates_at <= :now ORDER BY activates_at
    LIMIT :orders_max
""")
# Only from the state that was read: another partition may have brought a revision meanwhile, a job
# have made points active, somebody have decided on a hold, or a joining have let the order earn.
SAVE_ORDERS = text("""
    UPDATE order_state
    SET customer_id = new.customer_id, revision = new.revision, type = new.type,
        event_time = new.event_time, store = new.store, verdict = new.verdict,
        lines = new.lines, earned_in = new.earned_in, activates_at = new.activates_at,
        counted = new.counted, import_id = new.import_id, hold = new.hold
    FROM unnest(
        CAST(:order_id AS text[]), CAST(:customer_id AS text[]), CAST(:revision AS bigint[]),
        CAST(:type AS text[]), CAST(:event_time AS timestamptz[]), CAST(:store AS text[]),
        CAST(:verdict AS text[]), CAST(:lines AS jsonb[]), CAST(:earned_in AS uuid[]),
        CAST(:activates_at AS timestamptz[]), CAST(:counted AS jsonb[]),
        CAST(:import_id AS bigint[]), CAST(:hold AS text[]), CAST(:revision_before AS bigint[]),
        CAST(:activates_before AS timestamptz[]), CAST(:hold_before AS text[]),
        CAST(:verdict_before AS text[])
    ) AS new (
        order_id, customer_id, revision, type, event_time, store, verdict, lines, earned_in,
        activates_at, counted, import_id, hold, revision_before, activates_before, hold_before,
        verdict_before
    )
    WHERE order_state.order_id = new.order_id AND order_state.revision = new.revision_before
        AND order_state.activates_at IS NOT DISTINCT FROM new.activates_before
        AND order_state.hold = new.hold_before AND order_state.verdict = new.verdict_before
""")
ORDER_STATE = (
    "order_id",
    "customer_id",
    "revision",
    "type",
    "event_time",
    "store",
    "verdict",
    "lines",
    "earned_in",
    "activates_at",
    "counted",
    "import_id",
    "hold",
)
MOVED = (*ORDER_STATE, "revision_before", "activates_before", "hold_before", "verdict_before")
FORGET_CUSTOMERS = text("""
    UPDATE order_state SET customer_id = NULL, verdict = 'erased', activates_at = NULL
    WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
""")
# Of an order that was brought from elsewhere and has had no event: nothing was decided here.
DROP_IMPORTED = text("""
    DELETE FROM order_state
    WHERE order_id = ANY(CAST(:order_ids AS text[])) AND revision = :revision
""")


class OrderMoved(Exception):
    """Another partition brought a revision of an order while this batch was in hand."""


async def load(conn: AsyncConnection, order_ids: Collection[str]) -> dict[str, OrderState]:
    """The orders known so far, by id."""
    rows = await db.run(conn, LOAD_ORDERS, order_ids=sorted(order_ids))
    return {
        row[0]: OrderState(
            order_id=row[0],
            customer_id=row[1],
            revision=row[2],
            type=row[3],
            time=row[4],
            store=row[5],
            verdict=row[6],
            lines=_lines(row[7]),
            earned_in=row[8],
            activates_at=row[9],
            counted=_counted(row[10]),
            import_id=row[11],
            hold=row[12],
        )
        for row in rows
    }


async def save(
    conn: AsyncConnection, before: Mapping[str, OrderState], states: Collection[OrderState]
) -> None:
    """Write the orders; an error if one is no longer, or no longer not there, as in `before`."""
    new = [_row(state) for state in states if state.order_id not in before]
    moved = [
        (*_row(state), old.revision, old.activates_at, old.hold, old.verdict)
        for state in states
        if (old := before.get(state.order_id))
    ]
    if new:
        await db.copy_rows(conn, "order_state", ORDER_STATE, new)
    if moved:
        columns = map(list, zip(*moved, strict=True))
        saved = await conn.execute(SAVE_ORDERS, dict(zip(MOVED, columns, strict=True)))
        if saved.rowcount != len(moved):
            raise OrderMoved


async def list_due(conn: AsyncConnection, now: datetime, orders_max: int) -> list[str]:
    """The orders of which points have been due the longest."""
    rows = await conn.execute(LIST_DUE, {"now": now, "orders_max": orders_max})
    return list(rows.scalars())


async def drop_imported(conn: AsyncConnection, order_ids: Collection[str], revision: int) -> int:
    """Forget orders that are still as they were brought; how many there were."""
    bound = {"order_ids": sorted(order_ids), "revision": revision}
    return (await conn.execute(DROP_IMPORTED, bound)).rowcount


async def forget(conn: AsyncConnection, customer_ids: Collection[str]) -> int:
    """Take the customers' names from their orders; how many there were."""
    done = await conn.execute(FORGET_CUSTOMERS, {"customer_ids": sorted(customer_ids)})
    return done.rowcount


def _row(state: OrderState) -> tuple[Any, ...]:
    """In the order of ORDER_STATE."""
    return (
        state.order_id,
        state.customer_id,
        state.revision,
        state.type,
        state.time,
        state.store,
        state.verdict,
        to_json(state.lines).decode(),
        state.earned_in,
        state.activates_at,
        to_json([state.counted.day, *state.counted.bucket]).decode() if state.counted else None,
        state.import_id,
        state.hold,
    )


def _lines(booked: dict[str, list[int]]) -> dict[str, LineState]:
    return {line_id: LineState(*line) for line_id, line in booked.items()}


def _counted(kept: list[Any] | None) -> Counted | None:
    return Counted(date.fromisoformat(kept[0]), Bucket(*kept[1:])) if kept else None
