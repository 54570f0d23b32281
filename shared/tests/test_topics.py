"""The topics command against a real broker: makes, corrects, and refuses what would lose order."""

import asyncio
import secrets
from dataclasses import replace

import pytest
import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from shared import topics as under_test
from shared.errors import Fatal
from shared.topics import Existing, KafkaSettings, Topic, apply, compare, plan, topics
from stack.infra import Infra


@pytest.fixture
def kafka(infra: Infra) -> KafkaSettings:
    return KafkaSettings(kafka_servers=infra.kafka_servers)


@pytest.fixture
def topic() -> Topic:
    return Topic(f"test.{secrets.token_hex(4)}.v1", "customer_id", partitions=3)


async def test_apply_makes_topics_and_then_finds_nothing_to_do(
    kafka: KafkaSettings, topic: Topic
) -> None:
    first = await apply(kafka, (topic,))
    second = await apply(kafka, (topic,))

    assert [step.action for step in first] == ["create"]
    assert second == []


async def test_plan_changes_nothing(kafka: KafkaSettings, topic: Topic) -> None:
    assert [step.action for step in await plan(kafka, (topic,))] == ["create"]
    assert [step.action for step in await plan(kafka, (topic,))] == ["create"]


async def test_apply_corrects_a_setting_and_keeps_those_that_are_not_ours(
    kafka: KafkaSettings, topic: Topic
) -> None:
    await apply(kafka, (topic,))
    async with kafka.admin() as admin:
        drifted = topic.configs | {"retention.ms": "1000", "segment.bytes": "10000000"}
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, drifted)
        await admin.alter_configs([resource])
    await asyncio.sleep(0.2)

    steps = await apply(kafka, (topic,))

    assert [(step.action, step.text) for step in steps] == [
        ("alter", "retention.ms: 1000 to 1209600000")
    ]
    await asyncio.sleep(0.2)
    async with kafka.admin() as admin:
        have = (await under_test.read(admin, [topic.name]))[topic.name]
    assert have.own["segment.bytes"] == "10000000"
    assert have.configs["retention.ms"] == topic.configs["retention.ms"]


async def test_partitions_are_never_added_to_a_topic_that_exists(
    kafka: KafkaSettings, topic: Topic
) -> None:
    await apply(kafka, (topic,))
    grown = Topic(topic.name, topic.key, partitions=6, retention_days=7)
    other = Topic(f"{topic.name}.other.v1", topic.key, partitions=6)

    with pytest.raises(Fatal, match=r"break each customer's order.*\.v2"):
        await apply(kafka, (grown, other))

    async with kafka.admin() as admin:
        have = await under_test.read(admin, [topic.name, other.name])
    assert list(have) == [topic.name]  # nothing was changed, the other topic neither
    assert have[topic.name].partitions == 3
    assert have[topic.name].configs["retention.ms"] == topic.configs["retention.ms"]


async def test_the_broker_stamps_records_itself(kafka: KafkaSettings, topic: Topic) -> None:
    await apply(kafka, (topic,))
    producer = AIOKafkaProducer(**kafka.options())
    async with producer:
        await producer.send_and_wait(topic.name, b"x", key=b"k", timestamp_ms=1_300_000_000_000)

    consumer = AIOKafkaConsumer(topic.name, **kafka.options(), auto_offset_reset="earliest")
    async with consumer:
        record = await asyncio.wait_for(consumer.getone(), 10)

    assert record.timestamp > 1_700_000_000_000


def test_the_whole_table_can_be_made_and_is_then_as_it_should_be(
    infra: Infra, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(**numbers: int) -> tuple[Topic, ...]:  # the broker is shared with other tests
        return tuple(replace(topic, name=f"table.{topic.name}") for topic in topics(**numbers))

    monkeypatch.setattr(under_test, "topics", renamed)
    run = CliRunner()
    app = typer.Typer()
    app.command()(under_test.main)
    kafka = ["--kafka", infra.kafka_servers]

    first = run.invoke(app, ["apply", *kafka, "--partitions", "3"])
    again = run.invoke(app, ["plan", *kafka, "--partitions", "3"])
    grown = run.invoke(app, ["plan", *kafka, "--partitions", "4"])

    assert first.exit_code == 0, first.output
    assert first.output.count("create") == 12
    assert "as they should be" in again.output
    assert grown.exit_code == 1
    assert "refuse" in grown.output


def test_a_refusal_to_remove_partitions_names_the_number_to_run_with() -> None:
    topic = topics(partitions=12)[0]
    have = Existing(partitions=48, replication=1, configs=topic.configs, own={})

    (step,) = compare((topic,), {topic.name: have})

    assert step.action == "refuse"
    assert "--partitions 48" in step.text


def test_another_replication_is_noted_and_left() -> None:
    topic = topics(replication=1)[0]
    have = Existing(partitions=12, replication=3, configs=topic.configs, own={})

    assert [step.action for step in compare((topic,), {topic.name: have})] == ["note"]


def test_personal_data_is_never_kept_over_thirty_days() -> None:
    with pytest.raises(Fatal, match="personal data"):
        topics(retention_days=31)


def test_every_topic_has_the_broker_stamp_its_records() -> None:
    wanted = {topic.name: topic.configs for topic in topics(replication=3)}

    assert len(wanted) == 12
    assert {configs["message.timestamp.type"] for configs in wanted.values()} == {"LogAppendTime"}
    assert {configs["min.insync.replicas"] for configs in wanted.values()} == {"2"}
    assert wanted["shop.catalog.v1"]["cleanup.policy"] == "compact"
    assert wanted["shop.orders.v1"]["retention.ms"] == str(14 * 86_400_000)
