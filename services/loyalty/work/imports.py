"""Brings files from elsewhere into the books: looked at whole first, then a chunk at a time.

A chunk of rows and how far the file has come commit together, so a run that is killed goes
on where it was, and no row has a second effect. Nothing is brought if any row is wrong,
unless the caller says to leave those out. At the end the ledger itself is summed and held
against the file's control totals. Until it is closed, a batch can be taken back.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.loyalty.arrivals import opening
from services.loyalty.arrivals.import_columns import Kind
from services.loyalty.arrivals.import_fields import Fault, Terms
from services.loyalty.arrivals.import_rows import AwardRow, BalanceRow, Control, Row, read
from services.loyalty.arrivals.opening import Batch
from services.loyalty.store import imports as store
from services.loyalty.store import members as member_store
from services.loyalty.store import orders as order_store
from services.loyalty.store.imports import Kept
from services.loyalty.store.scratch import Scratch
from services.loyalty.work import booking, import_coupons, import_terms, import_tiers
from services.loyalty.work.granting import TooManyGrants
from services.loyalty.work.import_files import Source
from shared.errors import Fatal, Reject
from shared.http import audit
from shared.world import World

CHUNK_ROWS = 1_000  # some 100 ms of work: what a kill -9 loses, and how long a member is locked

Step = Callable[[int], None]
"""Told how many rows are done."""


@dataclass(slots=True)
class Report:
    """What a file would bring."""

    control: Control = field(default_factory=Control)
    wrong: int = 0
    """Rows that cannot be taken."""


@dataclass(frozen=True, slots=True)
class Importer:
    """What every step of an import needs."""

    engine: AsyncEngine
    world: World
    by: str
    """Who runs it, for the audit log: `cli:<user>`."""
    step: Step = lambda _: None

    async def look(
        self, source: Source, at: datetime, batch_id: int, on_fault: Callable[[Fault], None]
    ) -> Report:
        """Read the whole file, write nothing. `batch_id`: whose orders are known, and right."""
        report, scratch = Report(), Scratch()
        try:
            for chunk in self._chunks(source, at, scratch, report.control):
                rows, faults = _parted(chunk)
                async with self.engine.connect() as conn:
                    faults += await _refused(conn, self.world, source.kind, rows, batch_id)
                bad = {fault.row for fault in faults}
                for fault in sorted(faults, key=lambda each: each.row):
                    on_fault(fault)
                report.wrong += len(bad)
                for row in rows:
                    if row.row not in bad:
                        report.control.count(row, scratch)
                self.step(len(chunk))
        finally:
            scratch.close()
        return report

    async def begin(self, source: Source, at: datetime, report: Report) -> Kept:
        """A batch for a file that was looked at."""
        control = report.control
        told = {
            "kind": source.kind,
            "file": source.path.name,
            "digest": source.digest(),
            "terms": source.terms(),
            "rows": control.rows,
            "points": control.points,
            "minor": control.minor,
            "customers": control.customers,
            "rows_left_out": report.wrong,
            "at": at,
        }
        try:
            async with self.engine.begin() as conn:
                batch_id = await store.add(conn, told, self.by)
                detail = {"batch": batch_id, "rows": control.rows, "points": control.points}
                await audit.record(conn, self.by, "import begin", detail=detail)
        except store.Begun:
            raise Fatal(f"{source.path.name}: another run has just begun it") from None
        return await self.get(batch_id)

    async def bring(self, source: Source, batch: Kept) -> None:
        """The rows after those that are done."""
        scratch, done = Scratch(), batch.row_done
        try:
            for chunk in self._chunks(source, batch.at, scratch, Control()):
                rows = [row for row in _parted(chunk)[0] if row.row > done]
                if rows:
                    await self._bring(source, batch, rows, done)
                    done = rows[-1].row
                self.step(len(chunk))
        finally:
            scratch.close()

    async def _bring(self, source: Source, kept: Kept, rows: list[Row], done: int) -> None:
        batch = Batch(kept.id, kept.at)
        try:
            async with self.engine.begin() as conn:
                faults = await _refused(conn, self.world, source.kind, rows, kept.id)
                bad = {fault.row for fault in faults}
                good = [row for row in rows if row.row not in bad]
                # Before the members' locks: only a rival run waits for it, and holds none of them.
                await store.advance(conn, kept.id, done, rows[-1].row)
                await _BOOK[source.kind](conn, batch, good, self.world)
        except store.Moved:
            raise Fatal(f"batch {kept.id}: another run is at work on it; let it finish") from None
        except (Reject, TooManyGrants) as error:
            raise Fatal(f"rows {rows[0].row} to {rows[-1].row}: {error}") from None

    async def tie(self, batch_id: int) -> Kept:
        """Hold the ledger against the control totals; Fatal if they differ."""
        async with self.engine.begin() as conn:
            kept = await _found(conn, batch_id)
            rows, minor = await store.sum_rows(conn, batch_id)
            ledger = await store.sum_ledger(conn, batch_id)
            if (rows, ledger.opened, minor) != (kept.rows, kept.points, kept.minor):
                what, theirs, ours = "points", kept.points, ledger.opened
                if theirs == ours:
                    what, theirs, ours = "minor units", kept.minor, minor
                raise Fatal(
                    f"batch {batch_id}: the file has {kept.rows:,} rows and {theirs:,} {what},"
                    f" the ledger {rows:,} and {ours:,}. The file or what it names has"
                    f" changed meanwhile: take it back (import --reverse {batch_id}), begin again"
                )
            await store.settle(conn, batch_id, "open", ["importing"])
            return await _found(conn, batch_id)

    async def get(self, batch_id: int) -> Kept:
        async with self.engine.connect() as conn:
            return await _found(conn, batch_id)

    def _chunks(
        self, source: Source, at: datetime, scratch: Scratch, control: Control
    ) -> Iterator[list[Row | Fault]]:
        source.learn(scratch)
        terms = Terms(
            source.kind, source.mapping, self.world.stores, at, translated=source.ids is not None
        )
        rows = read(source.records(), terms, scratch, control)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            yield chunk


def _parted(chunk: Iterable[Row | Fault]) -> tuple[list[Row], list[Fault]]:
    rows: list[Row] = []
    faults: list[Fault] = []
    for each in chunk:
        if isinstance(each, Fault):
            faults.append(each)
        else:
            rows.append(each)
    return rows, faults


async def _refused(
    conn: AsyncConnection, world: World, kind: Kind, rows: Sequence[Row], batch_id: int
) -> list[Fault]:
    """What only the database knows: who was erased, what is here already, or is not.

    Rows that the batch has brought are not asked again, whatever has become of them since.
    """
    done = await store.list_done(conn, batch_id, [row.row for row in rows]) if batch_id else set()
    rows = [row for row in rows if row.row not in done]
    erased = await world.tombstones.find(conn, {row.customer_id for row in rows})
    faults = [
        Fault(row.row, "customer_id", f"was erased here on {until:%Y-%m-%d}; leave the row out")
        for row in rows
        if (until := erased.get(row.customer_id)) and _time_of(row) <= until
    ]
    awards = [row for row in rows if isinstance(row, AwardRow)]
    known = await order_store.load(conn, {row.order_id for row in awards}) if awards else {}
    for row in awards:
        state = known.get(row.order_id)
        if state and state.revision != opening.revision_of(batch_id):
            what = "is known here already, with what it earned; leave the row out"
            faults.append(Fault(row.row, "order_id", what))
    if refuse := _REFUSE.get(kind):
        faults += await refuse(conn, world, rows)
    return faults


def _time_of(row: Row) -> datetime:
    """When what a row says became true; where nobody knows, the erased do not return."""
    if isinstance(row, BalanceRow):
        return row.earned_at
    if isinstance(row, AwardRow):
        return row.ordered_at
    return row.since or datetime.min.replace(tzinfo=UTC)


async def _book_balances(
    conn: AsyncConnection, batch: Batch, rows: Sequence[BalanceRow], world: World
) -> None:
    customer_ids = {row.customer_id for row in rows}
    await member_store.add_missing(conn, customer_ids)
    accounts = await member_store.lock(conn, customer_ids)
    opened = opening.open_lots(batch, accounts, rows)
    await booking.save(conn, opened.wallet, world.stores)
    await store.add_rows(conn, batch.id, opened.rows)


async def _book_awards(
    conn: AsyncConnection, batch: Batch, rows: Sequence[AwardRow], world: World
) -> None:
    customer_ids = {row.customer_id for row in rows}
    before = await order_store.load(conn, {row.order_id for row in rows})
    await member_store.add_missing(conn, customer_ids)
    accounts = await member_store.lock(conn, customer_ids)
    opened = opening.open_awards(batch, accounts, before, rows)
    await order_store.save(conn, before, opened.orders.values())
    await booking.save(conn, opened.wallet, world.stores)
    await store.add_awards(conn, opened.awards)
    await store.add_rows(conn, batch.id, opened.rows)


_BOOK: dict[str, Callable[[AsyncConnection, Batch, Any, World], Awaitable[None]]] = {
    "balances": _book_balances,
    "awards": _book_awards,
    "tiers": import_tiers.book,
    "coupons": import_coupons.book,
    "memberships": import_terms.book,
}
"""By kind, of whose rows each takes its own."""
_REFUSE: dict[str, Callable[[AsyncConnection, World, Any], Awaitable[list[Fault]]]] = {
    "tiers": import_tiers.refused,
    "coupons": import_coupons.refused,
    "memberships": import_terms.refused,
}


async def _found(conn: AsyncConnection, batch_id: int) -> Kept:
    kept = await store.get(conn, batch_id)
    if kept is None:
        raise Fatal(f"there is no batch {batch_id}; see: import --list")
    return kept
