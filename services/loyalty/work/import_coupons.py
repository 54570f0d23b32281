"""Brings live coupons from elsewhere, and takes them back.

The code of the other system stays good, until the moment that the file says. What the coupon is
worth is said by the newest version of its reward that is worth what the file says. Taken back, it
is void, and its code is free to be brought once more.
"""

from collections.abc import Sequence
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.arrivals.import_benefits import CouponRow
from services.loyalty.arrivals.import_fields import Fault
from services.loyalty.arrivals.opening import Batch, Brought, Stays
from services.loyalty.benefits.coupons import Coupon, CouponReserved, CouponUsed, Step, Void, act
from services.loyalty.benefits.rewards import Reward
from services.loyalty.books import ledger
from services.loyalty.books.ledger import SOURCE
from services.loyalty.store import coupons as coupon_store
from services.loyalty.store import definitions, stocks
from services.loyalty.store import imports as store
from services.loyalty.store import members as member_store
from services.loyalty.terms.definitions import Book, Version
from shared.world import World


async def refused(conn: AsyncConnection, world: World, rows: Sequence[CouponRow]) -> list[Fault]:
    """Rows whose reward is not there or worth something else, and codes that are here already."""
    book = await definitions.book(conn)
    await stocks.lock_pools(conn)  # nobody uploads one of the codes between this and its writing
    known = await stocks.list_known(conn, {row.digest for row in rows})
    faults = [
        Fault(row.row, "code", "is here already, and a code is good once; leave the row out")
        for row in rows
        if row.digest in known
    ]
    faults += [fault for row in rows if (fault := _mismatch(row, book, world))]
    return faults


async def book(
    conn: AsyncConnection, batch: Batch, rows: Sequence[CouponRow], world: World
) -> None:
    """Write the coupons, each with the first step of its history."""
    customer_ids = {row.customer_id for row in rows}
    await member_store.add_missing(conn, customer_ids)
    accounts = await member_store.lock(conn, customer_ids)
    laid_down, steps, brought = await definitions.book(conn), [], []
    for row in rows:
        coupon = _coupon(batch, row, _versions(row, laid_down, world)[-1])
        steps.append(Step(coupon, "issue", None, batch.deed(row.row, row.store).cause))
        account_id, detail = accounts[row.customer_id].account_id, {"minor": row.minor}
        brought.append(Brought(row.row, account_id, None, 0, detail=detail))
    await coupon_store.add(conn, [step.coupon for step in steps])
    await coupon_store.add_steps(conn, steps)
    await store.add_rows(conn, batch.id, brought)


async def take_back(
    conn: AsyncConnection, batch: Batch, rows: Sequence[Brought], world: World
) -> list[Stays]:
    """Make the coupons void; those that were used, or that a checkout holds, stay."""
    now = world.clock.now()
    coupons = await coupon_store.lock_by_id(conn, [_id(batch, row.row) for row in rows])
    steps, stays = [], []
    for row in rows:
        before = coupons[_id(batch, row.row)]
        try:
            after = act(before, Void(), now)
        except CouponUsed:
            stays.append(Stays(row, "its coupon was used"))
        except CouponReserved:
            stays.append(Stays(row, "a checkout holds its coupon; void it when that is over"))
        else:
            if after is before:
                stays.append(Stays(row, "its coupon was void before"))
            else:
                cause = ledger.cause_of(SOURCE, f"{batch.name(row.row)}/back", now)
                steps.append(Step(after, "void", None, cause))
    await coupon_store.save(conn, [step.coupon for step in steps])
    await coupon_store.add_steps(conn, steps)
    await coupon_store.release(conn, [step.coupon.id for step in steps])
    return stays


def _mismatch(row: CouponRow, laid_down: Book, world: World) -> Fault | None:
    """What is wrong with the reward of a row."""
    versions = laid_down.versions(Reward, row.reward_id)
    if not versions:
        what = "there is no reward of this id; lay it down first: PUT /v1/rewards/{id}"
        return Fault(row.row, "reward_id", what)
    found = _versions(row, laid_down, world)
    if not found:
        what = (
            f"no version of {row.reward_id} that has started is worth this; lay one down that is"
            " (enabled: false, if nobody shall get it any more)"
        )
        return Fault(row.row, "percent" if row.value_minor is None else "value_minor", what)
    reward = found[-1].body
    if reward.kind == "donation" or reward.stock is not None:
        what = "is a donation" if reward.kind == "donation" else "has a stock, which this is not of"
        return Fault(row.row, "reward_id", f"{what}; bring it under another reward")
    return None


def _versions(row: CouponRow, laid_down: Book, world: World) -> list[Version[Reward]]:
    """Those that have started and are worth what the row says, switched off or not."""
    now = world.clock.now()
    found = laid_down.versions(Reward, row.reward_id)
    return [each for each in found if each.starts_at <= now and row.fits(each.body)]


def _coupon(batch: Batch, row: CouponRow, version: Version[Reward]) -> Coupon:
    return Coupon(
        id=_id(batch, row.row),
        customer_id=row.customer_id,
        reward_id=version.id,
        reward_version=version.version,
        issued_at=row.issued_at or batch.at,
        expires_at=row.expires_at,
        code=row.code,
        digest=row.digest,
    )


def _id(batch: Batch, row: int) -> UUID:
    return uuid5(NAMESPACE_OID, f"{SOURCE}/{batch.name(row)}")
