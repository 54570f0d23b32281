"""Brings tiers from elsewhere, with what counted there, and takes them back.

A tier is a grant with the source `imported`; what counted goes to the customer's days, as if
he had bought it here. Taken back, the grant ends, and the days count what they did without.
"""

from collections.abc import Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.arrivals.import_benefits import TierRow
from services.loyalty.arrivals.import_fields import Fault
from services.loyalty.arrivals.opening import Batch, Brought, Stays
from services.loyalty.levels.standing import Grant
from services.loyalty.levels.tiers import Bucket, Plans
from services.loyalty.store import definitions
from services.loyalty.store import imports as store
from services.loyalty.store import members as member_store
from services.loyalty.work import granting, tiering
from services.loyalty.work.granting import Change
from shared.world import World


async def refused(conn: AsyncConnection, world: World, rows: Sequence[TierRow]) -> list[Fault]:
    """Rows with a tier that the plan in force does not have."""
    plan = (await _plans(conn, world)).at(world.clock.now())
    if plan is None:
        what = "there is no tier plan in force; lay one down first: PUT /v1/tier-plans/default"
        return [Fault(row.row, "tier", what) for row in rows]
    what = f"is no tier of the plan in force, which has {', '.join(plan.levels)}"
    return [
        Fault(row.row, "tier", what) for row in rows if row.tier and row.tier not in plan.levels
    ]


async def book(conn: AsyncConnection, batch: Batch, rows: Sequence[TierRow], world: World) -> None:
    """Grant the tiers, and count what counted."""
    await member_store.add_missing(conn, {row.customer_id for row in rows})
    plans = await _plans(conn, world)
    changes = [
        Change(row.customer_id, _grant(batch, row), day=row.counted_on, counts=row.counts)
        for row in rows
    ]
    done = await granting.change(conn, changes, plans, world.clock.now(), "granted")
    brought = [
        Brought(row.row, done.accounts[row.customer_id], None, 0, detail=_detail(row))
        for row in rows
    ]
    await store.add_rows(conn, batch.id, brought)


async def take_back(
    conn: AsyncConnection, batch: Batch, rows: Sequence[Brought], world: World
) -> list[Stays]:
    """End the tiers, and count less; the rows of which that is not possible."""
    owners = await member_store.list_owners(conn, {row.account_id for row in rows})
    erased = [Stays(row, "its customer was erased") for row in rows if row.account_id not in owners]
    own = [row for row in rows if row.account_id in owners]
    changes = []
    for row in own:
        grant_id = batch.name(row.row) if row.detail["tier"] else ""
        day = date.fromisoformat(row.detail["day"]) if row.detail["day"] else None
        counts = Bucket().minus(Bucket(*row.detail["counts"]))
        changes.append(Change(owners[row.account_id], ended=grant_id, day=day, counts=counts))
    if not changes:
        return erased
    plans = await _plans(conn, world)
    done = await granting.change(conn, changes, plans, world.clock.now(), "grant_ended")
    over = [
        Stays(row, "its tier had ended before")
        for row in own
        if row.detail["tier"] and batch.name(row.row) not in done.ended
    ]
    return erased + over


def _grant(batch: Batch, row: TierRow) -> Grant | None:
    if not row.tier:
        return None
    return Grant(batch.name(row.row), "imported", row.tier, batch.at, row.valid_until)


def _detail(row: TierRow) -> dict[str, object]:
    day = row.counted_on.isoformat() if row.counted_on else ""
    return {"tier": row.tier, "day": day, "counts": list(row.counts), "minor": row.minor}


async def _plans(conn: AsyncConnection, world: World) -> Plans:
    return tiering.plans_in(await definitions.book(conn), world.stores)
