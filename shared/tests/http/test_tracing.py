"""One trace from a request through the outbox and Kafka into the batch that handles its event."""

import asyncio
from datetime import UTC, datetime

import pytest
from fastapi import APIRouter, Request
from fastapi.responses import Response
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

from shared import outbox, tracing
from shared.clock import Clock
from shared.erasure import Tombstones
from shared.events import codec
from shared.events.notices import NoticeSuppressed
from shared.http.auth import needs
from shared.http.once import once
from shared.relay import Relay
from shared.stores import Stores
from shared.testing import SECRET, Door
from shared.tests.counting import SERVICE
from shared.tests.harness import KafkaLog, eventually
from shared.world import World

router = APIRouter()
TRACE_ID, CALLER_SPAN_ID = "ab" * 16, "cd" * 8
TRACED = {"traceparent": f"00-{TRACE_ID}-{CALLER_SPAN_ID}-01"}


def notice(customer):
    fact = NoticeSuppressed(
        customer_id=customer, notice_id=customer, kind="order", channel="email", reason="test"
    )
    return codec.make(
        "notice.suppressed", fact, id=customer, source="regulars/notify", time=datetime.now(UTC)
    )


@router.post("/v1/notices/{who}", openapi_extra=needs("profile:write", subject="who"))
async def suppress(who: str, request: Request) -> Response:
    async with once(request) as tx:
        await outbox.enqueue(tx.conn, [notice(who)])
        return tx.answer()


@pytest.fixture
def spans(monkeypatch):
    """Call it for the spans that have ended, by kind."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    yield lambda: {span.kind: span for span in exporter.get_finished_spans()}
    provider.shutdown()


@pytest.fixture
async def log(infra):
    log = KafkaLog(infra.kafka_servers)
    await log.clear()
    return log


def traceparent(span):
    return f"00-{format_trace_id(span.context.trace_id)}-{format_span_id(span.context.span_id)}-01"


async def relay(door):
    """Publish what waits in the outbox."""
    stop, relay = asyncio.Event(), Relay(door.world.settings)
    task = asyncio.create_task(relay.run(stop))

    async def empty():
        return not await door.query("SELECT 1 FROM outbox")

    await eventually(empty)
    stop.set()
    relay.wake()
    await task


async def test_what_a_write_enqueues_and_its_batch_are_in_the_requests_trace(make_api, log, spans):
    async with make_api(routers=(router,), kafka_servers=log.servers) as api, api.client as client:
        world = World(api.context.settings, Stores(), Clock(), Tombstones(SECRET))
        door = Door(SERVICE, world, api.context.engine)
        headers = {**api.key("profile:write"), "Idempotency-Key": "k1"}
        await client.post("/v1/notices/ada", headers=headers | TRACED)
        await client.post("/v1/notices/bob", headers=headers)  # of no trace

        await relay(door)
        await door.handle(await log.read("crm.notices.v1"))
        follows = {event.key: event.traceparent for event in await door.published()}

    request, batch = spans()[SpanKind.SERVER], spans()[SpanKind.CONSUMER]
    assert request.name == "POST /v1/notices/{who}"
    assert format_trace_id(request.context.trace_id) == TRACE_ID
    assert format_span_id(request.parent.span_id) == CALLER_SPAN_ID
    assert batch.context.trace_id == request.context.trace_id
    assert [batch.parent.span_id] == [link.context.span_id for link in batch.links]
    assert batch.parent.span_id == request.context.span_id
    assert follows == {"ada": traceparent(request), "bob": ""}


async def test_the_intake_gives_events_the_requests_trace_unless_they_have_one(
    make_api, log, spans
):
    own = f"00-{'12' * 16}-{'34' * 8}-01"
    event = {
        "specversion": "1.0",
        "source": "shop",
        "type": "product.viewed",
        "time": datetime.now(UTC).isoformat(),
        "data": {"customer_id": "ada", "product_id": "p1", "store": "default"},
    }
    async with make_api(intake=True, kafka_servers=log.servers) as api, api.client as client:
        await asyncio.wait([api.app.state.publisher._starting])
        sent = [event | {"id": "e1"}, event | {"id": "e2", "traceparent": own}]
        answer = await client.post(
            "/v1/events", json=sent, headers=api.key("events:write") | TRACED
        )

    assert answer.json()["accepted"] == 2
    read = [codec.decode(message) for message in await log.read("shop.browse.v1")]
    found = {each.id: each.traceparent for each in read}
    assert found == {"e1": traceparent(spans()[SpanKind.SERVER]), "e2": own}
