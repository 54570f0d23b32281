"""What docs/events.md says to a platform's developer is true: its examples run and add up."""

import asyncio
import json
import re
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from shared.events.codec import decode
from shared.events.envelope import Event
from shared.events.findings import check_document
from shared.events.registry import KINDS
from shared.message import Message
from shared.partition import partition_of
from shared.topics import KafkaSettings, Topic, apply, topics
from stack.infra import Infra

DOCS = Path(__file__).parents[2] / "docs" / "events.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)


async def test_the_python_example_publishes_an_event_that_reads_well(
    infra: Infra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = blocks("python")
    kafka = KafkaSettings(kafka_servers=infra.kafka_servers)
    topic = Topic(f"docs.{secrets.token_hex(4)}.v1", "customer_id")
    monkeypatch.setitem(KINDS, topic.name, KINDS["shop.orders.v1"])
    await apply(kafka, (topic,))
    script = tmp_path / "first_order.py"
    text = example.replace("127.0.0.1:19092", infra.kafka_servers)
    script.write_text(text.replace("shop.orders.v1", topic.name))

    run = await asyncio.create_subprocess_exec(sys.executable, str(script))

    assert await asyncio.wait_for(run.wait(), 30) == 0
    consumer = AIOKafkaConsumer(topic.name, **kafka.options(), auto_offset_reset="earliest")
    async with consumer:
        found = await asyncio.wait_for(consumer.getone(), 10)
    event = decode(
        Message(
            *(found.topic, found.partition, found.offset, found.timestamp),
            *(found.key, found.value, tuple(found.headers)),
        )
    )
    assert isinstance(event, Event)
    assert (event.type, event.data.total_minor) == ("order.placed", 2590)
    assert found.partition == partition_of(b"c-1001", topic.partitions)


def test_every_event_shown_is_without_a_finding() -> None:
    (batch,) = re.findall(r"-d '(\[.*?\])'\n", blocks("sh")[0], re.DOTALL)
    batch = re.sub(r"'\$\(date.*?\)'", "2026-01-31T08:00:00Z", batch)
    shown = [*map(json.loads, blocks("json")), *json.loads(batch)]

    assert len(shown) == 3
    for document in shown:
        now = datetime.fromisoformat(document["time"]).astimezone(UTC) + timedelta(seconds=1)
        assert check_document(document, now=now)[1] == []


def test_every_order_in_a_foreign_language_is_one_that_we_read() -> None:
    order = json.loads(re.findall(r'"""(.*?)"""', blocks("java")[0], re.DOTALL)[0])
    document = {"specversion": "1.0", "id": "1", "source": "shop", "type": "order.placed"}
    now = datetime.now(UTC)

    assert check_document(document | {"time": now.isoformat(), "data": order}, now=now)[1] == []
    for language in ("java", "javascript", "php"):
        (example,) = blocks(language)
        for name in order:
            assert re.search(rf"\b{name}\b", example), (language, name)


def test_every_topic_and_type_is_in_the_table() -> None:
    table = dict(
        re.findall(
            r"^\| `((?:shop|crm)\.\w+\.v1)` \| [\w:]+ \| (.*) \|$", DOCS.read_text(), re.MULTILINE
        )
    )

    assert table.keys() == {topic.name for topic in topics()}
    for topic, row in table.items():
        assert re.findall(r"`([^`]+)`", row) == list(KINDS[topic])


def test_every_link_leads_somewhere() -> None:
    text = DOCS.read_text()
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }

    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in headings
        elif not link.startswith("https://"):
            assert (DOCS.parent / link).exists()
