"""Events over HTTP: checked one by one, acknowledged before the answer, a result for each."""

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta

import pytest

from shared.events import codec
from shared.events.codec import decode
from shared.http.intake import EVENTS_MAX
from shared.keys import dev_token
from shared.partition import partition_of
from shared.tests.harness import PARTITIONS, KafkaLog
from shared.topics import topics


@pytest.fixture(scope="module")
def log(infra):
    """The topics, made once; each test knows its events by their ids."""
    log = KafkaLog(infra.kafka_servers)
    asyncio.run(log.clear())
    return log


async def read_back(log, ids):
    """The messages whose event is among `ids`."""
    messages = await log.read("shop.browse.v1")
    return [message for message in messages if decode(message).id in ids]


@pytest.fixture
async def door(make_api, log):
    """The API with intake, its producer connected."""
    async with make_api(intake=True, kafka_servers=log.servers) as api:
        await asyncio.wait([api.app.state.publisher._starting])
        yield api


def viewed(customer="ada", **more):
    event = {
        "specversion": "1.0",
        "id": secrets.token_hex(8),
        "source": "shop",
        "type": "product.viewed",
        "time": datetime.now(UTC).isoformat(),
        "data": {"customer_id": customer, "product_id": "p1", "store": "default"},
    }
    return event | more


async def send(api, events, headers=None):
    async with api.client as client:
        return await client.post(
            "/v1/events", json=events, headers=headers or api.key("events:write")
        )


async def test_what_was_accepted_is_in_the_log_under_its_key(door, log):
    events = [viewed(customer) for customer in ("ada", "bob", "ada")]

    answer = await send(door, events)

    assert answer.status_code == 202
    assert answer.json()["accepted"] == 3
    assert [r["status"] for r in answer.json()["results"]] == ["accepted"] * 3
    messages = await read_back(log, {event["id"] for event in events})
    assert sorted(message.key for message in messages) == [b"ada", b"ada", b"bob"]
    assert all(m.partition == partition_of(m.key, PARTITIONS) for m in messages)
    ada = [decode(message).id for message in messages if message.key == b"ada"]
    assert ada == [events[0]["id"], events[2]["id"]]


async def test_each_event_has_its_own_result(door):
    late = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    data = viewed()["data"]
    wrong = {
        "did you mean product.viewed": viewed(type="product.veiwed"),
        "did you mean product_id": viewed(data={**data, "prodct_id": "p2"}),
        "did you mean backfill": viewed(backfil=True),
        "future": viewed(time=late),
        "product_id": viewed(data={"customer_id": "ada"}),
        "id": viewed(id=""),
        "phone": viewed(customer="13800138000"),
        "ours": viewed(
            type="points.earned",
            data={"customer_id": "a", "points": 1},
        ),
        "JSON object": "text",
        "specversion": viewed(specversion="2.0"),
    }

    answer = await send(door, [viewed(), *wrong.values(), viewed()])

    results = answer.json()["results"]
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    assert [results[0]["status"], results[-1]["status"]] == ["accepted"] * 2
    for said, result in zip(wrong, results[1:-1], strict=True):
        assert result["status"] == "refused"
        if said != "ours":
            assert said in result["error"]


async def test_unknown_fields_deep_inside_are_named(door):
    line = {
        "line_id": "1",
        "product_id": "p",
        "quantity": 1,
        "unit_price_minor": 5,
        "total_minor": 5,
    }
    order = {
        "customer_id": "ada",
        "order_id": "o1",
        "revision": 1,
        "store": "default",
        "currency": "EUR",
        "total_minor": 5,
        "lines": [line | {"discont_minor": 1}],
    }

    answer = await send(door, [viewed(type="order.placed", data=order)])

    assert answer.status_code == 422
    [result] = answer.json()["results"]
    assert result["error"] == "data.lines.0.discont_minor: not known; did you mean discount_minor?"


async def test_one_event_goes_as_itself(door):
    async with door.client as client:
        answer = await client.post(
            "/v1/events",
            json=viewed(),
            headers=door.key("events:write")
            | {"Content-Type": "application/cloudevents+json; charset=utf-8"},
        )

    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


async def test_a_body_that_is_no_batch_says_what_to_send(door):
    headers = door.key("events:write")

    async with door.client as client:
        for content, kind, status in (
            (b"[]", "application/json", 400),
            (b"{}", "application/json", 400),
            (b"[", "application/json", 400),
            (b"[]", "text/plain", 415),
            (b"[" + b"{}," * EVENTS_MAX + b"{}]", "application/json", 413),
            (b"[" + b" " * (1 << 20) + b"]", "application/json", 413),
        ):
            sent = headers | {"Content-Type": kind}
            answer = await client.post("/v1/events", content=content, headers=sent)

            assert answer.status_code == status
            assert answer.json()["detail"]


async def test_it_takes_a_key_with_the_scope(door):
    assert (await send(door, [viewed()], door.key("events:read"))).status_code == 403


async def test_a_storefront_sends_its_own_browsing_and_nothing_else(door, tmp_path):
    headers = {"Authorization": f"Bearer {dev_token('anon:42', tmp_path)}"}
    own = {"customer": "anon:42", "source": "storefront/anon:42"}
    refused = {
        "sub": viewed("ada", source="storefront/anon:42"),
        "source": viewed("anon:42"),
        "backfill": viewed(**own, backfill=True),
        "browse and engagement": viewed(
            **own,
            type="customer.deleted",
            data={"customer_id": "anon:42"},
        ),
        "identifiers": viewed(
            **own,
            data=viewed("anon:42")["data"]
            | {"identifiers": [{"type": "email", "value": "ada@shop.example", "verified": True}]},
        ),
    }

    answer = await send(door, [viewed(**own), *refused.values()], headers)

    assert answer.status_code == 202
    assert [r["status"] for r in answer.json()["results"]] == ["accepted"] + ["refused"] * 5
    for said, result in zip(refused, answer.json()["results"][1:], strict=True):
        assert said in result["error"]


async def test_while_kafka_is_away_events_fail_in_time_and_may_be_sent_again(door, infra, log):
    event = viewed()
    await asyncio.to_thread(infra.kafka.kill)
    try:
        started = time.monotonic()
        away = await send(door, [event, "wrong"])
        took_s = time.monotonic() - started
    finally:
        await asyncio.to_thread(infra.kafka.start)
    back = await send(door, [event])

    assert away.status_code == 503
    assert [r["status"] for r in away.json()["results"]] == ["failed", "refused"]
    assert "send it again" in away.json()["results"][0]["error"]
    assert took_s < 8
    assert (back.status_code, back.json()["accepted"]) == (202, 1)
    assert await read_back(log, {event["id"]})


async def test_the_api_starts_without_kafka_and_says_so(make_api, unused_tcp_port):
    async with make_api(intake=True, kafka_servers=f"127.0.0.1:{unused_tcp_port}") as api:
        answer = await send(api, [viewed()])
        other = await api.client.get("/v1/visits/public")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert other.status_code == 200


def test_the_limits_of_the_intake_and_of_the_topics_agree():
    assert int(topics()[0].configs["max.message.bytes"]) >= codec.EVENT_BYTES_MAX + 64 * 1024
