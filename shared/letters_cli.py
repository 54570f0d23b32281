"""`dead-letters list | show | replay | drop | resume`: what an operator does with burials.

`replay` runs the handler on the stored bytes, in the order in which a key's letters were
buried, each in a transaction of its own: the letter is settled with its effect or not at
all. A key stops at its first letter that fails again.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import breaker, db, dead_letters, inbox
from shared.batch import Batches
from shared.dead_letters import Letter
from shared.errors import Fatal, Reject
from shared.events import codec
from shared.events.envelope import Event
from shared.outbox import shard_of
from shared.settings import Settings
from shared.world import Handler

PAGE = 100

# A row that the broker refused goes back to where it came from.
REQUEUE = text("""
    INSERT INTO outbox (
        shard, id, aggregatetype, aggregateid, type, payload, source, time, backfill, traceparent
    ) VALUES (:shard, :id, :topic, :key, :type, :payload, :source, :time, :backfill, :traceparent)
""")

Burials = Annotated[int, typer.Option(min=0, help="So many it may bury before it is judged again.")]
Do = Callable[[Settings, Handler], Awaitable[None]]


def commands(execute: Callable[[Any], None]) -> typer.Typer:
    """The sub-commands; `execute` gives a function its settings and handler."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list", help="Open and waiting letters, oldest first.")
    def list_(after: int = 0) -> None:
        execute(lambda settings, _: _with(settings, lambda e: _list(e, settings, after)))

    @app.command(help="One letter: reason, headers, and with --bytes its value.")
    def show(
        letter_id: int,
        *,
        value: Annotated[bool, typer.Option("--bytes", help="It may be personal data.")] = False,
    ) -> None:
        execute(lambda settings, _: _with(settings, lambda e: _show(e, letter_id, value=value)))

    @app.command(help="Handle letters again: one with those before it of its key, or all.")
    def replay(
        letter_id: Annotated[int, typer.Argument()] = 0,
        *,
        every: Annotated[bool, typer.Option("--all")] = False,
    ) -> None:
        if not letter_id and not every:
            raise typer.BadParameter("name a letter's id, or --all")
        execute(
            lambda settings, handler: _with(
                settings, lambda e: _replay(e, settings, handler, letter_id)
            )
        )

    @app.command(help="Decide that a letter shall have no effect.")
    def drop(letter_id: int) -> None:
        execute(lambda settings, _: _with(settings, lambda e: _drop(e, letter_id)))

    @app.command(help="Let a stopped worker try again, and bury what is really bad.")
    def resume(*, bury: Burials = 1_000) -> None:
        execute(lambda settings, _: _with(settings, lambda e: _resume(e, settings, bury)))

    return app


async def _with(settings: Settings, do: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    engine = db.connect(settings, pool_max=1)
    try:
        await do(engine)
    finally:
        await engine.dispose()


async def _list(engine: AsyncEngine, settings: Settings, after: int) -> None:
    async with engine.connect() as conn:
        letters = await dead_letters.list_open(conn, settings.consumer_name, after, PAGE)
    for item in letters:
        place = f"{item.topic}/{item.partition}@{item.offset}"
        when = f"{item.buried_at:%Y-%m-%d %H:%M:%S}"
        _say(f"{item.id:>8}  {item.state:<8} {item.direction:<3} {when}  {place}  {item.reason}")
    if len(letters) == PAGE:
        _say(f"more: dead-letters list --after {letters[-1].id}")
    if not letters:
        _say("none")


async def _show(engine: AsyncEngine, letter_id: int, *, value: bool) -> None:
    async with engine.connect() as conn:
        letter = await _found(conn, letter_id)
    _say(f"{letter.topic}/{letter.partition}@{letter.offset}  {letter.state}")
    _say(f"reason: {letter.reason}")
    message = letter.message()
    for name, header in message.headers:
        _say(f"{name}: {header.decode('utf-8', 'replace')}")
    _say(f"value: {len(message.value or b'')} bytes; --bytes shows them")
    if value:
        _say((message.value or b"").decode("utf-8", "replace"))


async def _drop(engine: AsyncEngine, letter_id: int) -> None:
    async with engine.begin() as conn:
        await _found(conn, letter_id)
        if not await dead_letters.settle(conn, letter_id, "dropped"):
            raise Fatal(f"letter {letter_id} is settled already")
    _say(f"{letter_id} dropped; letters waiting behind it go with: dead-letters replay --all")


async def _resume(engine: AsyncEngine, settings: Settings, bury: int) -> None:
    async with engine.begin() as conn:
        held = await breaker.resume(conn, settings.consumer_name, bury)
    told = f"the worker may go on, and bury {bury}; start it again"
    _say(told if held else "it was not stopped")


async def _replay(
    engine: AsyncEngine, settings: Settings, handler: Handler, letter_id: int
) -> None:
    from shared.service import world_of  # noqa: PLC0415  service.py imports this module

    batches = Batches(engine, handler, world_of(settings))
    async with engine.connect() as conn:
        consumer = settings.consumer_name
        if letter_id:
            keys = [(await _found(conn, letter_id)).key]
        else:
            keys = await dead_letters.open_keys(conn, consumer)
    replayed, failed = await replay(batches, keys, until=letter_id)
    _say(f"{replayed} replayed, {failed} failed again")
    if failed:
        raise SystemExit(1)


async def replay(batches: Batches, keys: list[bytes | None], until: int = 0) -> tuple[int, int]:
    """Replay the letters of these keys, up to the id `until` if given: (replayed, failed)."""
    replayed = failed = 0
    for key in keys:
        while True:
            outcome = await _replay_next(batches, key, until)
            if outcome is None:
                break
            if outcome:
                _say(f"failed again: {outcome}")
                failed += 1
                break
            replayed += 1
    return replayed, failed


async def _replay_next(batches: Batches, key: bytes | None, until: int) -> str | None:
    """The oldest letter of a key: None if there is none, "" if it went, else why not."""
    letter_id, reason = 0, ""
    try:
        async with batches.engine.begin() as conn:
            letter = await dead_letters.take(conn, batches.consumer, key)
            if letter is None or (until and letter.id > until):
                return None
            letter_id = letter.id
            if letter.direction == "out":
                await _requeue(conn, letter)
            else:
                await _handle_again(batches, conn, letter)
            await dead_letters.settle(conn, letter.id, "replayed")
    except Reject as error:
        reason = f"Reject: {error}"
    except Exception as error:
        if db.is_transient(error):
            raise Fatal(f"PostgreSQL does not answer; replay again: {error}") from error
        reason = dead_letters.describe(error)
    if reason:
        async with batches.engine.begin() as conn:
            await dead_letters.blame(conn, letter_id, reason)
        return f"{letter_id}: {reason}"
    return ""


async def _handle_again(batches: Batches, conn: AsyncConnection, letter: Letter) -> None:
    event = codec.decode(letter.message())
    if isinstance(event, Event):
        claimed = await inbox.claim(conn, batches.consumer, [event])
        if claimed:
            await batches.effect(conn, claimed)


async def _requeue(conn: AsyncConnection, letter: Letter) -> None:
    message = letter.message()
    headers = {name: value.decode() for name, value in message.headers}
    key = (message.key or b"").decode()
    await conn.execute(
        REQUEUE,
        {
            "shard": shard_of(key),
            "id": letter.event_id,
            "topic": letter.topic,
            "key": key,
            "type": headers["ce_type"],
            "payload": message.value,
            "source": letter.event_source,
            "time": headers["ce_time"],
            "backfill": headers.get("ce_backfill") == "true",
            "traceparent": headers.get("traceparent", ""),
        },
    )


async def _found(conn: AsyncConnection, letter_id: int) -> Letter:
    letter = await dead_letters.get(conn, letter_id)
    if letter is None:
        raise Fatal(f"there is no letter {letter_id}; see: dead-letters list")
    return letter


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
