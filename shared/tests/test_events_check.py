"""The check command finds what a platform's developer gets wrong, and says where."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from shared.events import check, findings
from shared.events.__main__ import app
from shared.events.check import Report, check_file, check_topic
from shared.events.codec import encode, structured
from shared.events.findings import check_document
from shared.events.registry import KINDS
from shared.partition import partition_of
from shared.tests.records import TIME, order, placed
from shared.topics import KafkaSettings, Topic, apply
from stack.infra import Infra

GOLDEN = Path(__file__).parent / "golden"


def texts(document: Any, now: datetime = TIME) -> list[str]:
    return [f"{kind}: {text}" for kind, text in check_document(document, now=now)[1]]


def document(data: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A good order event as JSON with some of it replaced, in the data or around it."""
    made = structured(placed()) | changes
    return made | {"data": made["data"] | (data or {})}


def line(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = document()["data"]["lines"][0]
    return made | changes


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.v1.json")), ids=lambda path: path.name)
def test_the_golden_samples_are_without_a_finding(path: Path) -> None:
    assert texts(json.loads(path.read_text())) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("text", "error: not a JSON object"),
        (document(type="product.veiwed"), "error: type: not known; did you mean product.viewed?"),
        (document(sorce="x"), "warning: sorce: unknown attribute; did you mean source?"),
        (document({"totl_minor": 1}), "error: data.totl_minor: unknown field; did you mean total_"),
        (
            document({"lines": [line(sku_code="x")]}),
            "error: data.lines.0.sku_code: unknown field",
        ),
        (document({"revision": None}), "error: data: revision: "),
        (document({"customer_id": "+4930123456"}), "error: data: customer_id: looks like a phone"),
        (document({"order_id": "ada@example.com"}), "error: data.order_id: looks like a phone"),
        (document({"lines": [line(product_id="13812345678")]}), "error: data.lines.product_id: lo"),
        (document(id="ada@example.com"), "error: id: looks like a phone number or e-mail"),
        (document(time="2026-01-31T08:00:00"), "error: time: has no offset from UTC"),
        (document(time="2099-01-01T00:00:00Z"), "error: time: over an hour in the future"),
        (document(time="2026-01-01T00:00:00Z"), "warning: time: over 48 hours ago"),
        (
            document({"lines": [line(total_minor=2300)], "total_minor": 2300}),
            "error: data.lines.0.total_minor: 2300, but quantity x unit_price_minor - discount_min",
        ),
        (document({"total_minor": 2500}), "error: data.total_minor: 2500, but the lines' total_m"),
        (
            document({"tenders": [{"kind": "money", "amount_minor": 1}]}, type="order.paid"),
            "error: data.tenders: amount_minor sums to 1, total_minor is 2400",
        ),
        (document({"rate": 1.1}), "warning: data: base_total_minor and rate belong together"),
        (document({"customer_id": "guest:o-1"}), "warning: data.contact: absent"),
        (document({"customer_id": "guest:o-2"}), "warning: data.customer_id: a guest is guest:"),
        (document({"lines": [line(shipped=3)]}), "error: data.lines.0.shipped: more than quantity"),
        (document({"lines": [line(refunded_minor=2401)]}), "warning: data.lines.0.refunded_minor"),
        (document({"lines": [line(product_id=None)]}), "error: data.lines.0.product_id: absent"),
    ],
)
def test_a_slip_is_found_and_named(wrong: Any, says: str) -> None:
    found = texts(wrong)

    assert [text for text in found if text.startswith(says)], found


def test_a_tax_that_comes_on_top_adds_up_too() -> None:
    assert texts(document({"lines": [line(tax_minor=400)]})) == []
    on_top = line(tax_minor=400, total_minor=2800)
    assert texts(document({"lines": [on_top], "total_minor": 2800})) == []


def test_no_finding_quotes_a_person() -> None:
    wrong = document({"customer_id": "ada@example.com", "order_id": "ada@example.com"})

    assert "ada@" not in " ".join(texts(wrong))


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({}, {"id": "e-2"}, None),  # the same revision, told twice
        ({}, {"data": {"cancel_reason": "x"}}, "id: used before"),
        ({}, {"id": "e-2", "data": {"cancel_reason": "x"}}, "data.revision: two events"),
        ({"data": {"revision": 2}}, {"id": "e-2"}, "data.revision: lower than before"),
        ({}, {"id": "e-2", "data": {"customer_id": "grace"}}, "data.order_id: used before"),
        ({}, {"id": "e-2", "data": {"order_id": "o-2"}}, None),
        ({}, {}, None),
    ],
)
def test_what_shows_only_between_two_events_is_found(
    first: dict[str, Any], second: dict[str, Any], says: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join(json.dumps(document(**item)) for item in (first, second)))

    found = list(check_file(path, Report(), now=TIME))

    assert [place.where for place in found] == (["2"] if says else [])
    assert all(place.finding.text.startswith(says or "") for place in found)


def test_a_memory_of_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings.Sequence, "EVENTS_MAX", 2)
    sequence = findings.Sequence()

    for number in range(5):
        list(sequence.check(placed(order(order_id=f"o-{number}"), id=f"e-{number}")))

    assert len(sequence._seen) == len(sequence._orders) == 2


@pytest.mark.parametrize("form", ["lines", "array", "bom"])
def test_a_file_is_read_as_lines_or_as_an_array(form: str, tmp_path: Path) -> None:
    good, bad = document(), document(id="e-2", type="order.pald")
    lines = f"{json.dumps(good)}\n\n{json.dumps(bad)}\nnot json\n"
    text = {"lines": lines, "array": json.dumps([good, bad], indent=1), "bom": f"\ufeff{lines}"}
    path = tmp_path / "events.json"
    path.write_text(text[form])
    report = Report()

    places = [place.where for place in check_file(path, report, now=TIME)]

    assert places == (["[1]"] if form == "array" else ["3", "4"])
    assert (report.events, report.errors) == ((2, 1) if form == "array" else (3, 2))


def test_the_command_tells_where_and_ends_with_one(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(json.dumps(document(type="order.pald")))

    found = CliRunner().invoke(app, ["check", str(path)])

    assert found.exit_code == 1
    assert f"{path}:1: error: type: not known; did you mean order.paid?" in found.output
    assert "1 events, 1 errors, 0 warnings" in found.output


def test_the_command_ends_with_zero_for_good_events(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(json.dumps(document(time=datetime.now(UTC).isoformat())))

    assert CliRunner().invoke(app, ["check", str(path)]).exit_code == 0


@pytest.mark.parametrize("arguments", [[], ["no-such-file"], ["--topic", "shop.order.v1"]])
def test_the_command_ends_with_two_when_there_is_nothing_to_read(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["check", *arguments]).exit_code == 2


async def test_a_topic_is_checked_with_its_settings_keys_and_partitions(
    infra: Infra, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = KafkaSettings(kafka_servers=infra.kafka_servers)
    name = f"check.{secrets.token_hex(4)}.v1"
    # Under a name of its own, so that other tests on this broker do not meet its records.
    monkeypatch.setitem(KINDS, name, KINDS["shop.orders.v1"])
    topic = Topic(name, "customer_id", partitions=3)
    monkeypatch.setattr(check, "topics", lambda: (topic,))
    await apply(kafka, (topic,))
    event = placed(time=datetime.now(UTC) - timedelta(seconds=1))
    value, headers = encode(event)
    home = partition_of(b"ada", 3)
    whole: dict[str, Any] = {"headers": headers, "key": b"ada", "partition": home}
    producer = AIOKafkaProducer(**kafka.options())
    async with producer:
        await producer.send_and_wait(name, value, **whole)  # good
        await producer.send_and_wait(name, value, **(whole | {"partition": (home + 1) % 3}))
        await producer.send_and_wait(name, value, **(whole | {"key": None}))
        await producer.send_and_wait(name, None, **whole)
        misspelt = value.replace(b"order_id", b'orderid":"x","order_id')
        await producer.send_and_wait(name, misspelt, **whole)
        await producer.send_and_wait(name, b"{", **whole)
    report = Report()

    found = [place async for place in check_topic(kafka, name, 100, report)]

    assert report.events == 6
    assert [place.finding.text[:32] for place in found] == [
        "key: in the wrong partition; set",
        "the record has no key; set it to",
        "the record has no value; only sh",
        "data.orderid: unknown field; did",
        "data: (the whole): Invalid JSON:",
    ]
    assert found[0].where == f"{(home + 1) % 3}/0"
    newest = Report()
    (last,) = [place async for place in check_topic(kafka, name, 1, newest)]
    assert (newest.events, last.where) == (1, found[-1].where)
