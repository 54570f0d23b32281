"""Seals the books in blocks, every ten seconds; exports them, and checks an export offline.

A journal waits in `unsealed` from its own transaction on, so a block holds what is
committed, whatever the order of commits. The head goes out by the outbox in the block's
transaction.
"""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.loyalty.books import chain
from services.loyalty.books.chain import Broken
from services.loyalty.books.ledger import SOURCE
from services.loyalty.store import seals
from shared import db, outbox
from shared.errors import Fatal
from shared.events import codec
from shared.events.ledger import LedgerSealed
from shared.jobs import Job
from shared.settings import Settings
from shared.world import World

SEAL_EVERY_S = 10.0
BLOCK_MAX = 5_000
SAY_EVERY = 20  # blocks


async def seal(engine: AsyncEngine, world: World) -> None:
    """Seal what waits, a block for each transaction."""
    while await _seal_one(engine, world) == BLOCK_MAX:
        pass


async def _seal_one(engine: AsyncEngine, world: World) -> int:
    async with engine.begin() as conn:
        ids = await seals.take_unsealed(conn, BLOCK_MAX)
        if not ids:
            return 0
        block = chain.seal(await seals.get_last(conn), await seals.list_records(conn, ids))
        await seals.add(conn, block)
        fact = LedgerSealed(
            block=block.number,
            previous=block.previous.hex(),
            head=block.head.hex(),
            journals=len(block.journal_ids),
        )
        name, time = f"seal-{block.number}", world.clock.now()
        event = codec.make("ledger.sealed", fact, id=name, source=SOURCE, time=time)
        await outbox.enqueue(conn, [event])
    return len(ids)


SEAL = Job("seal_ledger", SEAL_EVERY_S, seal)


async def export(settings: Settings, path: Path) -> None:
    """Write every sealed block with its journals, a line each."""
    engine = db.connect(settings, pool_max=1)
    last = blocks = journals = 0
    with path.open("w", encoding="utf-8") as file:
        while True:
            async with engine.connect() as conn:
                found = await seals.get_next(conn, last)
                if found is None:
                    break
                block, sealed_at = found
                records = await seals.list_records(conn, block.journal_ids)
            file.writelines(f"{line}\n" for line in chain.export(block, sealed_at, records))
            last, blocks, journals = block.number, blocks + 1, journals + len(records)
            if blocks % SAY_EVERY == 0:
                typer.echo(f"{blocks:,} blocks, {journals:,} journals ...", err=True)
    await engine.dispose()
    typer.echo(f"{blocks:,} blocks with {journals:,} journals are in {path}", err=True)


def verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    head: Annotated[
        list[str] | None,
        typer.Option(help="a head that was kept elsewhere, such as crm.ledger.v1's: BLOCK:HEAD"),
    ] = None,
) -> None:
    """Check an export of the ledger, offline: exit code 1 if anything was changed."""
    try:
        with file.open(encoding="utf-8") as lines:
            found = chain.verify(lines)
        for kept in head or ():
            _hold_against(kept, found.heads)
    except Broken as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(1) from None
    except (Fatal, UnicodeDecodeError) as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(
        f"unbroken: {found.blocks} blocks, {found.journals:,} journals, {found.postings:,} postings"
    )
    if found.heads:
        typer.echo(f"head {found.blocks}:{found.heads[-1]}")


def _hold_against(kept: str, heads: tuple[str, ...]) -> None:
    number, _, head = kept.partition(":")
    if not number.isdecimal() or not int(number) or not head:
        raise Fatal(f"--head {kept}: give it as BLOCK:HEAD, such as 12:9f86d0...")
    if int(number) > len(heads):
        raise Broken(f"block {number}", f"missing; the export ends with block {len(heads)}")
    if heads[int(number) - 1] != head.lower():
        raise Broken(f"block {number}", "has another head than the one that was kept")
