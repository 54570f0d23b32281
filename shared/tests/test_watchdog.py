"""What the watchdog takes for a stall, and a broker that is slow to answer at the start.

`test_worker.py` has the watchdog end a real worker.
"""

import asyncio
import time
from dataclasses import dataclass, field

import pytest
from aiokafka.errors import KafkaError

from shared import kafka, watchdog
from shared.errors import Fatal
from shared.positions import Position
from shared.settings import Settings
from shared.testing import open_door, settings_for
from shared.tests.counting import SERVICE


@dataclass
class Stuck:
    """A consumer whose client says nothing any more; Kafka and PostgreSQL are real."""

    engine: object
    settings: Settings
    joined: bool
    kafka: object = field(init=False)
    positions: dict[object, Position] = field(default_factory=dict)
    assigned: frozenset[object] = frozenset()
    topics: tuple[str, ...] = ("shop.orders.v1", "shop.customers.v1")
    gone: tuple[str, ...] = ()
    stall_timeout_s: float = 0.5
    progress_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.kafka = self

    def assignment(self) -> frozenset[object]:
        return self.assigned

    def partitions_for_topic(self, name: str) -> set[int] | None:
        return None if name in self.gone else {0}


@pytest.fixture
async def engine_and_settings(counting_template, make_database, infra, tmp_path):
    database = await make_database("counting", template=counting_template.name)
    servers = {"kafka_servers": infra.kafka_servers, "kafka_session_timeout_ms": 1_000}
    settings = settings_for(SERVICE, database, tmp_path, **servers)
    async with open_door(SERVICE, settings) as door:
        yield door.engine, settings


@pytest.mark.parametrize(
    ("joined", "assigned"), [(False, frozenset()), (True, frozenset({"a partition"}))]
)
async def test_one_that_never_gets_its_partitions_is_stuck(
    engine_and_settings, monkeypatch, joined, assigned
):
    monkeypatch.setattr(watchdog, "WATCH_INTERVAL_S", 1.0)
    stuck = Stuck(*engine_and_settings, joined, assigned=assigned)

    with pytest.raises(watchdog.Stalled, match="-1: unknown"):
        await asyncio.wait_for(watchdog.watch(stuck), 30)


async def test_one_without_partitions_is_idle_and_not_stuck(engine_and_settings, monkeypatch):
    monkeypatch.setattr(watchdog, "WATCH_INTERVAL_S", 0.1)
    idle = Stuck(*engine_and_settings, joined=True)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watchdog.watch(idle), 2)


async def test_one_whose_topic_stays_away_ends_and_says_so(engine_and_settings, monkeypatch):
    monkeypatch.setattr(watchdog, "WATCH_INTERVAL_S", 0.1)
    waiting = Stuck(*engine_and_settings, joined=True, gone=("shop.orders.v1",))

    with pytest.raises(watchdog.Stalled, match=r"no such topics any more: \['shop.orders.v1'\]"):
        await asyncio.wait_for(watchdog.watch(waiting), 30)


async def test_nobody_is_stuck_while_kafka_is_away(engine_and_settings, monkeypatch):
    monkeypatch.setattr(watchdog, "WATCH_INTERVAL_S", 0.2)
    engine, settings = engine_and_settings
    away = settings.model_copy(update={"kafka_servers": "127.0.0.1:1"})
    waiting = Stuck(engine, away, joined=False)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watchdog.watch(waiting), 3)


class SlowToAnswer:
    """A broker that takes connections before it knows its topics."""

    def __init__(self, topics: set[str]) -> None:
        self.known = topics
        self.starts = self.asked = 0

    async def start(self) -> None:
        self.starts += 1

    async def stop(self) -> None:
        self.starts -= 1

    async def topics(self) -> set[str]:
        self.asked += 1
        if self.asked < 3:
            raise KafkaError("Unable to get cluster metadata over all known brokers")
        return self.known


async def test_a_broker_that_cannot_say_its_topics_yet_is_asked_again():
    topics, stop = SERVICE.handler.topics, asyncio.Event()
    broker = SlowToAnswer(set(topics))
    await kafka.reach(broker, topics, stop)
    assert (broker.starts, broker.asked) == (1, 3)

    with pytest.raises(Fatal, match=r"shared\.topics apply"):
        await kafka.reach(SlowToAnswer({"shop.orders.v1"}), topics, stop)
