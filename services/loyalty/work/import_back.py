"""Takes a batch back, as long as it is not closed: a chunk of rows in a transaction.

What is still there goes back to where it came from; what was spent meanwhile is told, row
by row, and stays. A run that is killed goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.arrivals import opening
from services.loyalty.arrivals.opening import Batch, Brought, Stays
from services.loyalty.store import imports as store
from services.loyalty.store import lots as lot_store
from services.loyalty.store import members as member_store
from services.loyalty.store import orders as order_store
from services.loyalty.store.imports import Kept, Ledger
from services.loyalty.work import booking, import_coupons, import_terms, import_tiers
from services.loyalty.work.imports import CHUNK_ROWS, Importer
from shared.errors import Fatal
from shared.http import audit

OnKept = Callable[[Stays], None]
"""Told of each row that stays."""


@dataclass(frozen=True, slots=True)
class Undoing:
    """One reversal of one batch."""

    importer: Importer
    on_kept: OnKept

    async def run(self, batch_id: int) -> Ledger:
        """Take the batch back; what the ledger says of it afterwards."""
        kept = await self._begin(batch_id)
        done = kept.row_back
        while True:
            async with self.importer.engine.begin() as conn:
                rows = await store.list_rows(conn, batch_id, done, CHUNK_ROWS)
                if not rows:
                    await store.settle(conn, batch_id, "reversed", ["reversing"])
                    return await store.sum_ledger(conn, batch_id)
                try:
                    await store.retreat(conn, batch_id, done, rows[-1].row)
                except store.Moved:
                    raise Fatal(f"batch {batch_id}: another run is at work on it") from None
                await self._chunk(conn, kept, rows)
            done = rows[-1].row
            self.importer.step(len(rows))

    async def _begin(self, batch_id: int) -> Kept:
        kept = await self.importer.get(batch_id)
        states: list[store.State] = ["importing", "open", "reversing"]
        async with self.importer.engine.begin() as conn:
            if not await store.settle(conn, batch_id, "reversing", states):
                raise Fatal(f"batch {batch_id} is {kept.state}; it cannot be taken back any more")
            detail = {"batch": batch_id}
            await audit.record(conn, self.importer.by, "import reverse", detail=detail)
        return kept

    async def _chunk(self, conn: AsyncConnection, kept: Kept, rows: Sequence[Brought]) -> None:
        batch = Batch(kept.id, kept.at)
        if take := _BENEFITS.get(kept.kind):
            for each in await take(conn, batch, rows, self.importer.world):
                self.on_kept(each)
            return
        before = await order_store.load(conn, {row.order_id for row in rows if row.order_id})
        accounts = await member_store.lock_accounts(conn, {row.account_id for row in rows})
        lots = await lot_store.load(conn, [row.lot_id for row in rows if row.lot_id])
        back = opening.take_back(batch, accounts, lots, before, rows)
        await order_store.save(conn, before, back.orders.values())
        await order_store.drop_imported(conn, back.emptied, batch.revision)
        await booking.save(conn, back.wallet, self.importer.world.stores)
        for each in back.kept:
            self.on_kept(each)


_BENEFITS = {
    "tiers": import_tiers.take_back,
    "coupons": import_coupons.take_back,
    "memberships": import_terms.take_back,
}


async def close(importer: Importer, batch_id: int) -> None:
    """From now on the batch stays; Fatal if it is not open."""
    kept = await importer.get(batch_id)
    async with importer.engine.begin() as conn:
        if not await store.settle(conn, batch_id, "closed", ["open"]):
            raise Fatal(f"batch {batch_id} is {kept.state}; only an open one can be closed")
        await audit.record(conn, importer.by, "import close", detail={"batch": batch_id})
