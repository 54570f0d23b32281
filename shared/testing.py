"""For every service's tests: a migrated database of its own, and the public doors.

`Door` gives events to a service as its worker does, by way of `Batches` with fence, claim
and outbox, but without Kafka; `Door.client` is its API with a key. Tests that need the
broker in between run the real worker (`tests/`).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from aiokafka import TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import db, migrate, positions
from shared.batch import Batches
from shared.clock import Clock
from shared.erasure import Tombstones
from shared.events import codec
from shared.events.envelope import Event
from shared.http.app import create_app
from shared.http.context import Context
from shared.keys import RATE_MAX, KeyRing, new_key
from shared.message import Message
from shared.partition import partition_of
from shared.service import Service
from shared.stores import Stores
from shared.world import World

PARTITIONS = 4
SECRET = b"the tests' own erasure secret, 32 bytes and more"

LIST_TABLES = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND relname <> 'alembic_version'
"""
TAKE_OUTBOX = text("""
    WITH taken AS (DELETE FROM outbox RETURNING *) SELECT * FROM taken ORDER BY seq
""")


@dataclass
class Log:
    """Topics in memory: gives events their offsets as a broker would."""

    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    def append(self, event: Event, *, partition: int | None = None) -> Message:
        """The event as the record that it would be."""
        value, headers = codec.encode(event)
        key = event.key.encode()
        place = partition_of(key, PARTITIONS) if partition is None else partition
        stamp = int(max(datetime.now(UTC), event.time).timestamp() * 1000)
        return self.add(Message(event.topic, place, 0, stamp, key, value, tuple(headers)))

    def add(self, message: Message) -> Message:
        """Any record, at the end of its partition."""
        offset = self.ends.get((message.topic, message.partition), 0)
        self.ends[message.topic, message.partition] = offset + 1
        placed = replace(message, offset=offset)
        self.messages.append(placed)
        return placed


class Door:
    """A service with a database of its own."""

    def __init__(self, service: Service, world: World, engine: AsyncEngine) -> None:
        self.service = service
        self.world = world
        self.engine = engine
        self.log = Log()
        self.batches = Batches(engine, service.handler, world)

    async def give(self, *events: Event) -> None:
        """Publish the events to the service, as one batch."""
        await self.handle([self.log.append(event) for event in events])

    async def give_singly(self, *events: Event) -> None:
        """Each event as a batch of its own."""
        for event in events:
            await self.give(event)

    async def handle(self, messages: Sequence[Message]) -> None:
        """Handle records that `log` has placed, from where the database stands."""
        places = {TopicPartition(m.topic, m.partition) for m in messages}
        async with self.engine.begin() as conn:
            await positions.start(conn, self.batches.consumer, dict.fromkeys(places, 0))
        async with self.engine.connect() as conn:
            before = await positions.load(conn, self.batches.consumer, places)
        await self.batches.handle(messages, before)

    async def again(self, *messages: Message) -> None:
        """Deliver records once more, as after a lost position."""
        async with self.engine.begin() as conn:
            for message in messages:
                place = (message.topic, message.partition)
                await positions.accept_gap(conn, self.batches.consumer, *place)
        await self.handle(messages)

    async def published(self) -> list[Event]:
        """Take what waits in the outbox, as the relay would publish it."""
        async with self.engine.begin() as conn:
            rows = (await conn.execute(TAKE_OUTBOX)).all()
        log = Log()
        return [_event(log, row) for row in rows]

    async def query(self, sql: str, **params: Any) -> list[Any]:
        """Rows of a SELECT, to look at what no API shows."""
        async with self.engine.connect() as conn:
            return list((await conn.execute(text(sql), params)).all())

    @asynccontextmanager
    async def client(
        self, *scopes: str, clock: Clock | None = None
    ) -> AsyncIterator[httpx.AsyncClient]:
        """The service's API, called with a server key of these scopes (default: admin)."""
        settings = self.world.settings
        token, line = new_key(scopes=list(scopes) or ["admin"], rate=RATE_MAX)
        file = settings.keys_file
        assert file is not None
        before = json.loads(file.read_text())["keys"] if file.exists() else []  # other clients'
        file.write_text(json.dumps({"keys": [*before, line.model_dump(mode="json")]}))
        hot = await db.hot_pool(settings)
        context = Context(
            settings=settings,
            engine=self.engine,
            hot=hot,
            clock=clock or self.world.clock,
            stores=self.world.stores,
            keys=KeyRing(settings.keys_file),
            tombstones=self.world.tombstones,
            caused=self.service.caused,
        )
        app = create_app(
            self.service.name, self.service.routers, context, intake=self.service.intake
        )
        try:
            async with app.router.lifespan_context(app):
                yield httpx.AsyncClient(
                    transport=httpx.ASGITransport(app),
                    base_url="http://test",
                    headers={"Authorization": f"Bearer {token}"},
                )
        finally:
            await hot.close()


async def empty(owner_url: str) -> None:
    """Take every row out of a service's database: faster than a copy of an empty one."""
    owner = await asyncpg.connect(owner_url)
    try:
        tables = [row[0] for row in await owner.fetch(LIST_TABLES)]
        looks = (f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in tables)  # noqa: S608
        filled = [row[0] for row in await owner.fetch(" UNION ALL ".join(looks))]
        if filled:
            await owner.execute(f"TRUNCATE {', '.join(filled)}")
    finally:
        await owner.close()


def migrator(service: Service, folder: Path) -> Callable[[Any], None]:
    """For conftest's `make_template`: brings a ServiceDatabase to the service's schema."""

    def run(database: Any) -> None:
        settings = settings_for(service, database, folder)
        asyncio.run(migrate.migrate(settings, service.migrations, service.metadata))

    return run


def settings_for(service: Service, database: Any, folder: Path, **more: Any) -> Any:
    """Settings over a ServiceDatabase, with a keys file in `folder`."""
    return service.settings(
        service=service.name,
        database_url=database.url,
        owner_database_url=database.owner_url,
        keys_file=folder / "keys.json",
        **more,
    )


@asynccontextmanager
async def open_door(
    service: Service, settings: Any, *, clock: str = "", stores: Stores | None = None
) -> AsyncIterator[Door]:
    """A Door over a migrated database."""
    engine = db.connect(settings)
    world = World(settings, stores or Stores(), Clock.parse(clock), Tombstones(SECRET))
    yield Door(service, world, engine)
    await engine.dispose()


def _event(log: Log, row: Any) -> Event:
    headers = codec.binary_headers(
        row.id,
        row.source,
        row.type,
        row.time,
        backfill=row.backfill,
        traceparent=row.traceparent,
    )
    stamp = int(datetime.fromisoformat(row.time).timestamp() * 1000)
    key = row.aggregateid.encode()
    message = log.add(Message(row.aggregatetype, 0, 0, stamp, key, row.payload, tuple(headers)))
    event = codec.decode(message)
    assert isinstance(event, Event), "we publish only what we know"
    return event
