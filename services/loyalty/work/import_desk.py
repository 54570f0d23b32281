"""Carries out `import` and `compare`, and talks: progress, what is wrong, control totals.

On the screen stands the beginning of a long list, in the --report file all of it. Rows are
named by number, never by what stands in them.
"""

import csv
import getpass
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.loyalty.arrivals.import_fields import Fault
from services.loyalty.arrivals.opening import Stays
from services.loyalty.store import imports as store
from services.loyalty.store.imports import Kept
from services.loyalty.store.journals import Since
from services.loyalty.work import import_back
from services.loyalty.work.comparison import Asked, Comparison, Difference, Totals
from services.loyalty.work.import_back import Undoing
from services.loyalty.work.import_files import Source
from services.loyalty.work.imports import Importer, Report, Step
from shared import db
from shared.errors import Fatal
from shared.service import world_of
from shared.settings import Settings

SHOWN_MAX = 20
BATCHES_SHOWN = 50
OF_POINTS = {"balances", "awards"}
"""The kinds of files whose control total is points; of others it is money."""
NUMBER_MAX = (1 << 63) - 1

console = Console(stderr=True, highlight=False)


class Listing:
    """Lines of which the first are shown, and all are written to a file, if there is one."""

    def __init__(self, path: Path | None, header: Iterable[str]) -> None:
        self.count = 0
        self._file = path.open("w", encoding="utf-8", newline="") if path else None
        self._writer = csv.writer(self._file) if self._file else None
        if self._writer:
            self._writer.writerow(header)

    def add(self, shown: str, *fields: object) -> None:
        self.count += 1
        if self._writer:
            self._writer.writerow(fields)
        if self.count <= SHOWN_MAX:
            console.print(shown, markup=False, soft_wrap=True)
        elif self.count == SHOWN_MAX + 1:
            where = "in the report" if self._writer else "give --report FILE to have them all"
            console.print(f"... and more: {where}", markup=False)

    def close(self) -> None:
        if self._file:
            self._file.close()


@dataclass(frozen=True, slots=True)
class Desk:
    """One run of a command."""

    report: Path | None = None

    async def bring(
        self, settings: Settings, source: Source, *, dry: bool, skip_wrong: bool
    ) -> None:
        """Look at the file, and bring it, or the rest of it."""
        async with _importer(settings) as importer:
            batch = await _batch_of(importer, source)
            if batch and batch.state != "importing":
                say(f"{source.path.name} is batch {batch.id} already, {batch.state}: nothing to do")
                return
            at = batch.at if batch else importer.world.clock.now()
            report = await self._look(importer, source, at, batch)
            if report.wrong and not skip_wrong:
                raise Fatal(
                    f"{report.wrong:,} rows are wrong, nothing was brought: put them right, or"
                    " leave them out with --skip-wrong"
                )
            if dry or not report.control.rows:
                say("a dry run: nothing was written" if dry else "there is nothing to bring")
                return
            batch = batch or await importer.begin(source, at, report)
            if batch.row_done:
                say(f"batch {batch.id} goes on after row {batch.row_done}")
            with _steps("bringing") as step:
                await replace(importer, step=step).bring(source, batch)
            done = await importer.tie(batch.id)
            say(
                f"batch {done.id} is open: {_tied(done)} of {done.customers:,} customers, as the"
                f" file. Close it (--close {done.id}) or take it back (--reverse {done.id})"
            )

    async def _look(
        self, importer: Importer, source: Source, at: datetime, batch: Kept | None
    ) -> Report:
        listing = Listing(self.report, ("row", "field", "what"))

        def wrong(fault: Fault) -> None:
            listing.add(str(fault), fault.row, fault.field, fault.what)

        try:
            with _steps("looking") as step:
                looker = replace(importer, step=step)
                report = await looker.look(source, at, batch.id if batch else 0, wrong)
        finally:
            listing.close()
        control = report.control
        money = source.kind not in OF_POINTS
        sums = f"{control.minor:,} minor units" if money else f"{control.points:,} points"
        empty = "" if money else f" {control.empty:,} rows without points,"
        say(
            f"{source.path.name}: {control.rows:,} rows, {sums}, {control.customers:,} customers;"
            f"{empty} {report.wrong:,} wrong"
        )
        return report

    async def list(self, settings: Settings) -> None:
        async with _importer(settings) as importer, importer.engine.connect() as conn:
            for kept in await store.list_newest(conn, NUMBER_MAX, BATCHES_SHOWN):
                say(
                    f"{kept.id:>6}  {kept.state:<10} {kept.kind:<9} {kept.rows:>12,} rows"
                    f" {kept.points:>15,} points  {kept.at:%Y-%m-%d %H:%M}  {kept.file}"
                )

    async def close(self, settings: Settings, batch_id: int) -> None:
        async with _importer(settings) as importer:
            await import_back.close(importer, batch_id)
            say(f"batch {batch_id} is closed: it stays")

    async def reverse(self, settings: Settings, batch_id: int) -> None:
        listing = Listing(self.report, ("row", "points", "why"))

        def stays(each: Stays) -> None:
            row, points, why = each.row.row, each.points, each.why
            what = f"{points} points stay" if points else "stays"
            listing.add(f"row {row}: {what}: {why}", row, points, why)

        async with _importer(settings) as importer:
            try:
                with _steps("taking back") as step:
                    undoing = Undoing(replace(importer, step=step), stays)
                    ledger = await undoing.run(batch_id)
            finally:
                listing.close()
        left = ledger.opened - ledger.taken_back
        say(f"batch {batch_id} is reversed: {ledger.taken_back:,} points went back")
        if listing.count and not left:
            say(f"{listing.count:,} rows stay as they are; what they brought is not taken back")
        elif left:
            say(
                f"{left:,} points of {listing.count:,} rows stay with their members. Whoever brings"
                " the file again gives them twice: take them from it, or adjust them"
            )

    async def compare(
        self,
        settings: Settings,
        source: Source,
        *,
        at: datetime | None,
        since: Since | None,
        pending: bool,
    ) -> None:
        """Exit code 1 unless all are equal."""
        columns = ("customer_id", "verdict", "theirs", "ours", "by", "last_journals")
        listing = Listing(self.report, columns)

        def differs(each: Difference) -> None:
            last = " ".join(
                f"{j.kind}:{j.document}:{j.recorded_at:%Y-%m-%d}" for j in each.journals
            )
            fields = (each.customer_id, each.verdict, each.theirs, each.ours, each.by, last)
            shown = f"{each.customer_id}: {each.verdict}: theirs {each.theirs}, ours {each.ours}"
            listing.add(f"{shown} ({each.by:+}) {last}", *fields)

        def wrong(fault: Fault) -> None:
            listing.add(str(fault), "", str(fault), "", "", "", "")

        async with _importer(settings) as importer:
            asked = Asked(source, at or importer.world.clock.now(), since, pending)
            try:
                with _steps("comparing") as step:
                    totals = await Comparison(
                        importer.engine, importer.world, asked, wrong, differs, step
                    ).run()
            finally:
                listing.close()
        _say_totals(totals)
        if not totals.same:
            raise typer.Exit(1)


def say(line: str) -> None:
    typer.echo(line)


def _say_totals(totals: Totals) -> None:
    say(f"equal          {totals.equal:>12,}")
    say(f"differing      {totals.differs:>12,}")
    say(f"missing here   {totals.missing_here:>12,}")
    say(f"missing there  {totals.missing_there:>12,}")
    say(f"wrong rows     {totals.wrong:>12,}")
    say(
        f"points         {totals.theirs:>12,} theirs, {totals.ours:,} ours"
        f" ({totals.ours - totals.theirs:+,})"
    )


def _tied(done: Kept) -> str:
    if done.kind in OF_POINTS:
        return f"the ledger has {done.points:,} points in {done.rows:,} rows"
    return f"here are {done.minor:,} minor units in {done.rows:,} rows"


async def _batch_of(importer: Importer, source: Source) -> Kept | None:
    """The batch that the file is in already; Fatal if it cannot be gone on with."""
    async with importer.engine.connect() as conn:
        batch = await store.find(conn, source.digest())
    if batch and batch.state == "reversing":
        raise Fatal(f"batch {batch.id} is being taken back; end that: import --reverse {batch.id}")
    if batch and batch.terms != source.terms():
        raise Fatal(
            f"{source.path.name} is batch {batch.id} already, read in another way; use the same"
            f" options again, or take it back first: import --reverse {batch.id}"
        )
    return batch


@asynccontextmanager
async def _importer(settings: Settings) -> AsyncIterator[Importer]:
    engine = db.connect(settings, pool_max=1)
    try:
        yield Importer(engine, world_of(settings), f"cli:{getpass.getuser()}")
    finally:
        await engine.dispose()


@contextmanager
def _steps(what: str) -> Iterator[Step]:
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda rows: progress.advance(task, rows)
