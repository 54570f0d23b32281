"""What a service is made of, and the commands that every service has.

    python -m services.<name> api | worker | migrate
    python -m services.<name> dead-letters list | show | replay | drop | resume
    python -m services.<name> accept-gap TOPIC PARTITION
    python -m services.<name> unknown-types

A `Service` is a value, not a base class: its parts are functions and tables of the
service's own rooms, put together in its `__main__`.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import typer
import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy import MetaData, text

from shared import (
    db,
    jobs,
    letters_cli,
    logs,
    metrics,
    ops,
    positions,
    run,
    stores,
    tracing,
)
from shared.batch import Batches
from shared.clock import Clock
from shared.consumer import Consumer
from shared.dead_letters import count_open
from shared.erasure import Tombstones
from shared.errors import Fatal
from shared.http.app import create_app
from shared.http.context import Caused, Context
from shared.jobs import Job
from shared.keys import KeyRing
from shared.outbox import Bell
from shared.relay import Relay
from shared.settings import Settings
from shared.watermark import Watermark
from shared.world import Handler, World

log = structlog.get_logger()

OUTBOX_STATE = text("""
    SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM outbox
""")
UNKNOWN_TYPES = text("""
    SELECT type, source, count, last_seen_at FROM unknown_type WHERE consumer = :consumer
    ORDER BY last_seen_at DESC
""")

Task = run.Task


@dataclass(frozen=True)
class Service:
    """One service's parts. `extra` are more tasks for its worker, such as notify's sender."""

    settings: type[Settings]
    name: str
    handler: Handler
    routers: tuple[Any, ...]
    caused: Caused
    metadata: MetaData
    migrations: Path
    jobs: tuple[Job, ...] = ()
    intake: bool = False
    extra: tuple[Callable[[Any, World], Task], ...] = ()


def world_of(settings: Settings) -> World:
    """The process's surroundings; says loudly when the clock has been moved."""
    try:
        clock = Clock.parse(settings.clock)
    except ValueError as error:
        raise Fatal(str(error)) from error
    if settings.clock:
        log.warning("the business clock is moved", clock=clock.describe())
    tombstones = Tombstones.read(settings.erasure_secret_file)
    return World(settings, stores.load(settings.stores_file), clock, tombstones)


def spare_the_collector() -> None:
    """Modules live for ever, and a batch's thousands of short-lived objects have no cycles.

    A batch of a thousand events holds over 50,000 of them until it ends: whoever looks through
    the young ones meanwhile looks through them all, and finds nothing.
    """
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)


async def api(service: Service, settings: Settings) -> None:
    """Serve HTTP until SIGTERM."""
    spare_the_collector()
    world = world_of(settings)
    engine = db.connect(settings)
    hot = await db.hot_pool(settings)
    bell = Bell(settings)
    context = Context(
        settings=settings,
        engine=engine,
        hot=hot,
        clock=world.clock,
        stores=world.stores,
        keys=KeyRing(settings.keys_file),
        tombstones=world.tombstones,
        caused=service.caused,
        bell=bell,
    )
    app = create_app(service.name, service.routers, context, intake=service.intake)
    postgres = partial(_answers, engine)

    async def reached(stop: asyncio.Event) -> None:
        await db.reach("postgresql", postgres, stop)
        await stop.wait()

    ops_app = ops.create_ops(world, {"postgres": postgres}, postgres)
    await run.together(
        reached,
        lambda stop: ops.serve(stop, app, settings.http_host, settings.http_port),
        lambda stop: ops.serve(stop, ops_app, settings.http_host, settings.ops_port),
        bell.run,
    )
    await hot.close()
    await engine.dispose()


async def worker(service: Service, settings: Settings) -> None:
    """Consume, relay and run the jobs until SIGTERM."""
    spare_the_collector()
    world = world_of(settings)
    engine = db.connect(settings, pool_max=max(3, settings.database_pool_max - 1))
    relay = Relay(settings)
    consumer = Consumer(Batches(engine, service.handler, world), relay)
    checks = {
        "postgres": lambda: _answers(engine),
        "kafka": lambda: _kafka(consumer),
        "batch": lambda: _moving(consumer),
    }
    ops_app = ops.create_ops(world, checks, lambda: _collect(engine, settings))
    await run.together(
        consumer.run,
        relay.run,
        lambda stop: jobs.run(
            stop, (*jobs.BACKBONE, *service.jobs), engine, world, Watermark(consumer)
        ),
        lambda stop: ops.serve(stop, ops_app, settings.http_host, settings.ops_port),
        *(make(engine, world) for make in service.extra),
    )
    await engine.dispose()


async def _answers(engine: Any) -> None:
    async with engine.connect() as conn:
        await conn.exec_driver_sql("SELECT 1")


async def _kafka(consumer: Consumer) -> None:
    await consumer.kafka.topics()


async def _moving(consumer: Consumer) -> None:
    if not consumer.healthy:
        raise RuntimeError("a batch is being retried")


async def _collect(engine: Any, settings: Settings) -> None:
    async with engine.connect() as conn:
        pending, oldest_s = (await conn.execute(OUTBOX_STATE)).one()
        metrics.OUTBOX_PENDING.set(pending)
        metrics.OUTBOX_OLDEST.set(oldest_s)
        metrics.DEAD_LETTERS_OPEN.set(await count_open(conn, settings.consumer_name))


def commands(service: Service) -> typer.Typer:
    """The command line of a service."""
    app = typer.Typer(
        no_args_is_help=True, pretty_exceptions_enable=False, help=f"The {service.name} service."
    )

    def role(name: str, start: Callable[[Settings], Coroutine[Any, Any, None]], doc: str) -> None:
        @app.command(name, help=doc)
        def command() -> None:
            execute(service, start, name)

    async def migrated(settings: Settings) -> None:
        from shared import migrate  # noqa: PLC0415  10 MB of Alembic that no worker needs

        await migrate.migrate(settings, service.migrations, service.metadata)

    role("api", lambda settings: api(service, settings), "Serve HTTP until SIGTERM.")
    role("worker", lambda settings: worker(service, settings), "Consume until SIGTERM.")
    role("migrate", migrated, "Bring the database to this release's schema.")

    @app.command("accept-gap", help="Accept that a part of a topic is lost; read from its start.")
    def accept_gap(topic: str, partition: int) -> None:
        execute(service, lambda settings: _accept_gap(settings, topic, partition))

    @app.command("unknown-types", help="Event types that this release skipped, with counts.")
    def unknown_types() -> None:
        execute(service, _unknown_types)

    letters = letters_cli.commands(
        lambda do: execute(service, lambda settings: do(settings, service.handler))
    )
    app.add_typer(letters, name="dead-letters", help="Events that could not be handled.")
    return app


def execute(
    service: Service, do: Callable[[Settings], Coroutine[Any, Any, None]], role: str = ""
) -> None:
    """Read the environment and run; why it ends is one line and exit code 1."""
    settings = _read(service)
    try:
        if role:
            logs.start(settings, role)
            tracing.start(settings)
        uvloop.run(do(settings))
    except Fatal as error:
        if role:
            log.critical("stopped", reason=str(error))
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    except Exception as error:  # its text and a traceback would quote values
        if not role:
            logs.start(settings, "command")
        log.critical("failed", exc_info=error)
        raise SystemExit(1) from None


def _read(service: Service) -> Settings:
    try:
        return service.settings(service=service.name)
    except ValidationError as error:
        for fault in error.errors():
            variable = f"REGULARS_{'_'.join(map(str, fault['loc']))}".upper()
            sys.stderr.write(f"{variable}: {fault['msg']}\n")
    except SettingsError as error:  # what should be JSON and is not
        sys.stderr.write(f"{error}\n")
    raise SystemExit(2)


async def _accept_gap(settings: Settings, topic: str, partition: int) -> None:
    engine = db.connect(settings, pool_max=1)
    async with engine.begin() as conn:
        known = await positions.accept_gap(conn, settings.consumer_name, topic, partition)
    await engine.dispose()
    if not known:
        raise Fatal(f"{settings.consumer_name} has no position in {topic}/{partition}")
    sys.stdout.write(f"{topic}/{partition}: the worker will read from the log's start\n")


async def _unknown_types(settings: Settings) -> None:
    engine = db.connect(settings, pool_max=1)
    async with engine.connect() as conn:
        rows = (await conn.execute(UNKNOWN_TYPES, {"consumer": settings.consumer_name})).all()
    await engine.dispose()
    for type_, source, count, seen in rows:
        sys.stdout.write(f"{count:>10}  {type_}  from {source}  last {seen:%Y-%m-%d %H:%M}\n")
    if not rows:
        sys.stdout.write("none\n")
