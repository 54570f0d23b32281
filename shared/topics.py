"""The topics, and `python -m shared.topics plan | apply`, which makes Kafka agree with them.

`plan` shows what differs; `apply` makes missing topics and changes settings, and may be
run as often as you like. Neither adds partitions to a topic that exists: a key would move
to another partition, and one customer's events would lose their order. To grow, make
`<name>.v2`, let producers switch, drain the old one. All customer topics have the same
number of partitions, so that one customer's events meet in one worker.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console
from rich.table import Table

from shared.errors import Fatal
from shared.events.codec import EVENT_BYTES_MAX
from shared.events.registry import COMPACTED, KEY_NAMES, MODULES
from shared.kafka import client_options

PARTITIONS = 12  # divides by 1, 2, 3, 4, 6 and 12 workers; production 48
RETENTION_DAYS = 14
RETENTION_DAYS_MAX = 30  # every topic holds personal data, which nobody may keep "to be safe"
CREATE_TIMEOUT_S = 30
_DAY_MS = 24 * 60 * 60 * 1000


class KafkaSettings(BaseSettings):
    """How an operator's command reaches Kafka: the same variables as the services'."""

    model_config = SettingsConfigDict(
        env_prefix="REGULARS_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    service: str = "operator"
    kafka_servers: str = "127.0.0.1:19092"
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"] = "PLAINTEXT"
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")
    kafka_ca_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """What aiokafka's clients take."""
        return client_options(self)  # type: ignore[arg-type]  # it reads these fields only

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """A connected admin client."""
        client = AIOKafkaAdminClient(**self.options())
        try:
            await client.start()
            yield client
        finally:
            await client.close()


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be."""

    name: str
    key: str
    partitions: int = PARTITIONS
    replication: int = 1
    retention_days: int = RETENTION_DAYS

    def __post_init__(self) -> None:
        if not 1 <= self.retention_days <= RETENTION_DAYS_MAX:
            raise Fatal(
                f"retention of {self.retention_days} days: the topics are personal data; "
                f"choose 1 to {RETENTION_DAYS_MAX}"
            )
        if not (1 <= self.partitions <= 1_000 and 1 <= self.replication <= 10):
            raise Fatal("partitions: 1 to 1,000; replication: 1 to 10")

    @property
    def configs(self) -> dict[str, str]:
        """Topic settings by Kafka's names."""
        kept_ms = str(self.retention_days * _DAY_MS)
        common = {
            # With the producer's time, history of 2011 would go at the next retention check.
            "message.timestamp.type": "LogAppendTime",
            # A lone record of EVENT_BYTES_MAX, its headers and its batch.
            "max.message.bytes": str(EVENT_BYTES_MAX + 65_536),
            "min.insync.replicas": str(max(1, self.replication - 1)),
            # Kafka deletes and compacts whole segments: daily ones keep the promise to a day.
            "segment.ms": str(_DAY_MS),
        }
        if self.name in COMPACTED:
            # A consumer that was away for less than a retention still meets the withdrawals.
            return common | {"cleanup.policy": "compact", "delete.retention.ms": kept_ms}
        return common | {"cleanup.policy": "delete", "retention.ms": kept_ms}


def topics(
    *, partitions: int = PARTITIONS, replication: int = 1, retention_days: int = RETENTION_DAYS
) -> tuple[Topic, ...]:
    """All topics of the suite."""
    return tuple(
        Topic(
            module.TOPIC,
            KEY_NAMES.get(module.TOPIC, "customer_id"),
            partitions,
            replication,
            retention_days,
        )
        for module in MODULES
    )


@dataclass(frozen=True, slots=True)
class Existing:
    """A topic as Kafka has it; `own` are the settings that are its own, not the broker's."""

    partitions: int
    replication: int
    configs: dict[str, str]
    own: dict[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One difference and what becomes of it."""

    action: Literal["create", "alter", "refuse", "note"]
    topic: Topic
    text: str


def compare(wanted: tuple[Topic, ...], existing: dict[str, Existing]) -> list[Step]:
    """What apply would do, in the topics' order."""
    steps = []
    for topic in wanted:
        have = existing.get(topic.name)
        if have is None:
            text = f"{topic.partitions} partitions, {topic.replication} replicas"
            steps.append(Step("create", topic, text))
            continue
        if have.partitions != topic.partitions:
            steps.append(Step("refuse", topic, _refusal(topic, have)))
        if have.replication != topic.replication:
            text = f"has {have.replication} replicas, wanted {topic.replication}: reassign by hand"
            steps.append(Step("note", topic, text))
        changes = [
            f"{name}: {have.configs.get(name, 'none')} to {value}"
            for name, value in topic.configs.items()
            if have.configs.get(name) != value
        ]
        if changes:
            steps.append(Step("alter", topic, "\n".join(changes)))
    return steps


def _refusal(topic: Topic, have: Existing) -> str:
    base, _, version = topic.name.rpartition(".v")
    if have.partitions > topic.partitions:
        return (
            f"has {have.partitions} partitions, wanted {topic.partitions}: Kafka removes none; "
            f"run with --partitions {have.partitions}"
        )
    return (
        f"has {have.partitions} partitions, wanted {topic.partitions}: more would move keys and "
        f"break each customer's order; keep --partitions {have.partitions}, or make "
        f"{base}.v{int(version) + 1} and drain this one"
    )


async def read(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, Existing]:
    """The topics of these names that exist."""
    present = set(await admin.list_topics())
    found = [item for item in await admin.describe_topics(names) if item["topic"] in present]
    if not found:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, item["topic"]) for item in found]
    entries = {
        resource[3]: resource[4]
        for response in await admin.describe_configs(resources)
        for resource in response.resources
    }
    return {
        item["topic"]: Existing(
            partitions=len(item["partitions"]),
            replication=len(item["partitions"][0]["replicas"]),
            configs={entry[0]: entry[1] for entry in entries[item["topic"]]},
            # The fourth is the source of the value: 1 is the topic's own.
            own={entry[0]: entry[1] for entry in entries[item["topic"]] if entry[3] == 1},
        )
        for item in found
    }


async def plan(kafka: KafkaSettings, wanted: tuple[Topic, ...]) -> list[Step]:
    """What differs; changes nothing."""
    async with kafka.admin() as admin:
        return compare(wanted, await read(admin, [topic.name for topic in wanted]))


async def apply(kafka: KafkaSettings, wanted: tuple[Topic, ...]) -> list[Step]:
    """Make Kafka agree, wait until it does, and return what was done.

    Raises Fatal, with nothing changed, when any difference must not be applied.
    """
    async with kafka.admin() as admin:
        names = [topic.name for topic in wanted]
        existing = await read(admin, names)
        steps = compare(wanted, existing)
        refused = [f"{step.topic.name} {step.text}" for step in steps if step.action == "refuse"]
        if refused:
            raise Fatal("\n".join(("nothing was changed:", *refused)))
        await _create(admin, [step.topic for step in steps if step.action == "create"])
        for topic in (step.topic for step in steps if step.action == "alter"):
            # The request replaces all of a topic's own settings: keep those that are not ours.
            configs = existing[topic.name].own | topic.configs
            resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, configs)
            for response in await admin.alter_configs([resource]):
                _raise_for(topic.name, response.resources[0][0], response.resources[0][1])
        await _wait(admin, wanted)
        return steps


async def _create(admin: AIOKafkaAdminClient, missing: list[Topic]) -> None:
    if not missing:
        return
    response = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.configs)
            for topic in missing
        ],
        timeout_ms=CREATE_TIMEOUT_S * 1000,
    )
    for name, code, message in response.topic_errors:
        if for_code(code).__name__ != "TopicAlreadyExistsError":  # another apply was first
            _raise_for(name, code, message)


def _raise_for(name: str, code: int, message: str | None) -> None:
    if code:
        raise Fatal(f"{name}: {message or for_code(code).__name__}")


async def _wait(admin: AIOKafkaAdminClient, wanted: tuple[Topic, ...]) -> None:
    """A topic that was just made has no leaders for a moment, and refuses records."""
    names = [topic.name for topic in wanted]
    deadline = time.monotonic() + CREATE_TIMEOUT_S
    while True:
        described = await admin.describe_topics(names)
        led = [all(p["leader"] >= 0 for p in item["partitions"]) for item in described]
        if all(led) and all(item["partitions"] for item in described):
            return
        if time.monotonic() > deadline:
            raise Fatal("some partitions have no leader; look at the brokers, then run it again")
        await asyncio.sleep(0.1)


def main(
    action: Annotated[Literal["plan", "apply"], typer.Argument(help="show, or do it")],
    kafka: Annotated[str, typer.Option(help="default: REGULARS_KAFKA_SERVERS")] = "",
    partitions: Annotated[int, typer.Option(help="of each topic; production 48")] = PARTITIONS,
    replication: Annotated[int, typer.Option(help="of each partition; production 3")] = 1,
    retention_days: Annotated[int, typer.Option(max=RETENTION_DAYS_MAX)] = RETENTION_DAYS,
) -> None:
    """Make Kafka's topics agree with the table; exit code 1 where it must not be done."""
    console = Console()
    settings = KafkaSettings()
    if kafka:
        settings = settings.model_copy(update={"kafka_servers": kafka})
    work = plan if action == "plan" else apply
    try:
        wanted = topics(
            partitions=partitions, replication=replication, retention_days=retention_days
        )
        steps = asyncio.run(work(settings, wanted))
    except (Fatal, KafkaError) as error:
        console.print(f"{error or type(error).__name__}", style="red", markup=False)
        raise typer.Exit(1) from None
    table = Table("topic", "key", action, "details")
    for step in steps:
        table.add_row(step.topic.name, step.topic.key, step.action, step.text)
    console.print(table if steps else f"all {len(wanted)} topics are as they should be")
    raise typer.Exit(any(step.action == "refuse" for step in steps))


if __name__ == "__main__":
    typer.run(main)
