"""`python -m shared.events check`: a producer's events, in a file or on a topic, looked at.

A file holds structured CloudEvents, one a line (NDJSON) or as one JSON array. A topic is
read from the outside, joining no group and committing nothing.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic_core import from_json

from shared.errors import Fatal, Reject
from shared.events import codec, findings
from shared.events.findings import Finding, Sequence
from shared.events.registry import KINDS, TOPIC_OF, nearest
from shared.message import Message
from shared.partition import partition_of
from shared.topics import RETENTION_DAYS_MAX, KafkaSettings, read, topics

LINE_BYTES_MAX = 2 * codec.EVENT_BYTES_MAX
ARRAY_BYTES_MAX = 256 * 1024 * 1024
LAST_MAX = 100_000
READ_TIMEOUT_S = 10


class Place(NamedTuple):
    """A finding and where: a line of the file, or `partition/offset` of the topic."""

    where: str
    finding: Finding


@dataclass(slots=True)
class Report:
    """What was looked at, as it grows."""

    events: int = 0
    errors: int = 0
    warnings: int = 0

    def count(self, finding: Finding) -> None:
        self.errors += finding.severity == "error"
        self.warnings += finding.severity == "warning"


def check_file(path: Path, report: Report, *, now: datetime) -> Iterator[Place]:
    """Findings in the file's order; raises Fatal when it cannot be read at all."""
    sequence = Sequence()
    for where, document in _documents(path):
        report.events += 1
        if isinstance(document, Finding):
            found = [document]
        else:
            event, found = findings.check_document(document, now=now)
            found += sequence.check(event) if event else []
        for finding in found:
            report.count(finding)
            yield Place(where, finding)


def _documents(path: Path) -> Iterator[tuple[str, Any]]:
    """Each event and its line or place; a Finding where there is no JSON."""
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
            file.seek(0)
            if start.startswith(b"["):
                yield from _array(path)
                return
            for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX), b""), 1):
                if line.strip():
                    yield str(number), _json(line.removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}") from None


def _array(path: Path) -> Iterator[tuple[str, Any]]:
    if path.stat().st_size > ARRAY_BYTES_MAX:
        raise Fatal(f"{path}: an array over {ARRAY_BYTES_MAX} bytes; write one event a line")
    document = _json(path.read_bytes())
    items = document if isinstance(document, list) else [document]
    yield from ((f"[{index}]", item) for index, item in enumerate(items))


def _json(line: bytes) -> Any:
    try:
        return from_json(line)
    except ValueError as error:
        return Finding("error", f"not JSON: {error}; write one event a line, or one array")


async def check_topic(
    kafka: KafkaSettings, topic: str, last: int, report: Report
) -> AsyncIterator[Place]:
    """Findings in the topic's settings and in its last records, oldest first."""
    if topic not in KINDS:
        close = nearest(topic, KINDS)
        raise Fatal(f"{topic}: no such topic{f'; did you mean {close}?' if close else ''}")
    partitions, settings = await _check_settings(kafka, topic)
    for finding in settings:
        report.count(finding)
        yield Place("settings", finding)
    sequence = Sequence()
    for record in await _last(kafka, topic, partitions, last):
        report.events += 1
        for finding in _check_record(record, partitions, sequence):
            report.count(finding)
            yield Place(f"{record.partition}/{record.offset}", finding)


async def _check_settings(kafka: KafkaSettings, topic: str) -> tuple[int, list[Finding]]:
    """The topic's partitions, and what its settings would do to the events."""
    async with kafka.admin() as admin:
        existing = await read(admin, [item.name for item in topics()])
    have = existing.get(topic)
    if not have:
        raise Fatal(f"{topic}: not on this broker; make it: python -m shared.topics apply")
    found = []
    if have.configs.get("message.timestamp.type") != "LogAppendTime":
        text = "message.timestamp.type: must be LogAppendTime, or history is deleted on arrival"
        found.append(Finding("error", text))
    kept_ms = int(have.configs.get("retention.ms") or -1)
    compacted = have.configs.get("cleanup.policy") == "compact"
    if not compacted and not 0 <= kept_ms <= RETENTION_DAYS_MAX * 86_400_000:
        text = f"retention.ms: personal data, at most {RETENTION_DAYS_MAX} days"
        found.append(Finding("error", text))
    if len({item.partitions for item in existing.values()}) > 1:
        text = "partitions: the topics differ, so one customer's events meet in no one worker"
        found.append(Finding("error", text))
    return have.partitions, found


async def _last(
    kafka: KafkaSettings, topic: str, partitions: int, last: int
) -> list[ConsumerRecord]:
    """The newest records of the topic, oldest first."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    records: list[ConsumerRecord] = []
    consumer = AIOKafkaConsumer(
        **kafka.options(), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    async with consumer:
        consumer.assign(places)
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, max(begins[place], ends[place] - last))
        behind = {place for place in places if ends[place] > begins[place]}
        while behind:
            batch = await consumer.getmany(*behind, timeout_ms=READ_TIMEOUT_S * 1000)
            if not batch:
                raise Fatal(f"{topic}: the broker gave nothing for {READ_TIMEOUT_S} s; try again")
            for place, found in batch.items():
                records += [record for record in found if record.offset < ends[place]]
                if await consumer.position(place) >= ends[place]:
                    behind.discard(place)
                    consumer.pause(place)
    return sorted(records, key=lambda record: record.timestamp)[-last:]


def _check_record(record: ConsumerRecord, partitions: int, sequence: Sequence) -> list[Finding]:
    message = Message.of(record)
    found = []
    if record.key is not None and partition_of(record.key, partitions) != record.partition:
        text = "key: in the wrong partition; set the producer's partitioner to murmur2"
        found.append(Finding("error", text))
    try:
        event = codec.decode(message)
    except Reject as error:
        return [*found, Finding("error", str(error))]
    if isinstance(event, codec.Unknown):
        close = nearest(event.type, TOPIC_OF)
        text = f"type: not known{f'; did you mean {close}?' if close else ''}"
        return [*found, Finding("error", text)]
    if record.value is not None:
        content_type = dict(record.headers).get("content-type", b"").lower()
        document = from_json(record.value)
        structured = content_type.startswith(b"application/cloudevents")
        data = document["data"] if structured else document
        found += findings.unknown(type(event.data), data)
    appended = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return [*found, *findings.check_event(event, now=appended), *sequence.check(event)]
