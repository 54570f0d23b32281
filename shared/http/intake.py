"""POST /v1/events: events into Kafka for who has no Kafka client.

Takes a CloudEvents JSON batch (an array of up to EVENTS_MAX, `application/json` or
`application/cloudevents-batch+json`) or one event (`application/cloudevents+json`). Each is
checked alone and has a result of its own; what is accepted was acknowledged by all in-sync
replicas before the answer leaves. 202 if any was accepted, else 422, or 503 if Kafka was
the reason. There is no Idempotency-Key: an event's id and source make it count once, so
whatever was not accepted, or not answered, is simply sent again.

A server key with `events:write` sends any `shop.*` event. A storefront's token sends browse
and engagement events of its own `sub`, live ones only, and its source is
`storefront/<sub>`: an id under another's source would make that one's event look repeated.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel
from pydantic_core import from_json

from shared import tracing
from shared.errors import AppError, BadRequest, Reject, TooLarge, Unavailable
from shared.events import browse, codec, engagement
from shared.events.envelope import Event
from shared.events.registry import nearest
from shared.events.unknown import unknown_fields
from shared.http.auth import ROUTE_CHECKS, caller_of, needs
from shared.kafka import client_options
from shared.keys import Caller
from shared.settings import Settings

log = structlog.get_logger(__name__)

EVENTS_MAX = 500
PUBLISH_DEADLINE_S = 5.0  # well within the request's limit; an idempotent producer has none
START_DELAY_S = 2.0
STOREFRONT_TOPICS = {browse.TOPIC, engagement.TOPIC}
SOURCE_CHARS_MAX = 200
BATCH_TYPES = {"application/json", "application/cloudevents-batch+json"}
SINGLE_TYPE = "application/cloudevents+json"
ATTRIBUTES = {
    *("specversion", "id", "source", "type", "time", "subject", "data", "backfill", "traceparent"),
    *("datacontenttype", "dataschema", "tracestate", "partitionkey"),
}

Status = Literal["accepted", "refused", "failed"]


class UnsupportedMediaType(AppError):
    """This kind of body is not read here."""

    status = 415


class Result(BaseModel):
    """Of one event: `refused` is the event's fault, `failed` is ours, so send it again."""

    index: int
    id: str | None
    status: Status
    error: str | None = None


class Results(BaseModel):
    """One result for each event, in the order sent."""

    accepted: int
    results: list[Result]


class Publisher:
    """One producer for the process's life; it starts beside the API, which needs no Kafka."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kafka: AIOKafkaProducer | None = None
        self._starting: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._starting = asyncio.create_task(self._start())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._starting
        self._ending.set()
        # An attempt that is cancelled leaves its connection open: it may come to its end.
        await asyncio.wait([self._starting], timeout=PUBLISH_DEADLINE_S)
        self._starting.cancel()
        await asyncio.wait([self._starting])
        if self._kafka:
            await self._kafka.stop()

    async def _start(self) -> None:
        while not self._kafka and not self._ending.is_set():
            kafka = AIOKafkaProducer(
                **client_options(self._settings),
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                compression_type="lz4",
                max_request_size=codec.EVENT_BYTES_MAX + 64 * 1024,  # and its headers
            )
            try:
                await kafka.start()
                self._kafka = kafka
            except (KafkaError, OSError) as error:
                log.warning("intake waits for Kafka", error=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), START_DELAY_S)
            finally:
                if self._kafka is not kafka:
                    await kafka.stop()

    async def publish(self, events: Sequence[Event]) -> list[str]:
        """For each event nothing if it was acknowledged, else why not."""
        if not self._kafka:
            raise Unavailable("events cannot be taken now", headers={"Retry-After": "2"})
        sent: list[asyncio.Future[Any] | str] = []
        try:
            async with asyncio.timeout(PUBLISH_DEADLINE_S):
                for event in events:
                    sent.append(await _send(self._kafka, event))  # noqa: PERF401  cut by time
                if waiting := _futures(sent):
                    await asyncio.wait(waiting)
        except TimeoutError:
            log.warning("intake not acknowledged in time", events=len(events))
        for future in _futures(sent):  # what fails after we have gone is nobody's surprise
            future.add_done_callback(lambda late: late.cancelled() or late.exception())
        late = "not acknowledged in time; send it again"
        return [_outcome(item, late) for item in sent] + [late] * (len(events) - len(sent))


async def _send(kafka: AIOKafkaProducer, event: Event) -> asyncio.Future[Any] | str:
    value, headers = codec.encode(event)
    try:
        future: asyncio.Future[Any] = await kafka.send(
            event.topic, value, key=event.key.encode(), headers=headers
        )
    except KafkaError as error:
        return f"{type(error).__name__}; send it again"
    return future


def _futures(sent: Iterable[asyncio.Future[Any] | str]) -> list[asyncio.Future[Any]]:
    return [item for item in sent if not isinstance(item, str)]


def _outcome(item: asyncio.Future[Any] | str, late: str) -> str:
    if isinstance(item, str):
        return item
    if not item.done():
        return late
    error = item.exception()
    return f"{type(error).__name__}; send it again" if error else ""


router = APIRouter(tags=["events"])

_DOCUMENT = {"type": "object", "required": ["specversion", "id", "source", "type", "time", "data"]}
_BATCH = {"schema": {"type": "array", "items": _DOCUMENT, "minItems": 1, "maxItems": EVENTS_MAX}}
_CONTENT = {**dict.fromkeys(sorted(BATCH_TYPES), _BATCH), SINGLE_TYPE: {"schema": _DOCUMENT}}


@router.post(
    "/v1/events",
    status_code=202,
    response_model=Results,
    responses={
        422: {"model": Results, "description": "All are refused; each says why."},
        503: {"model": Results, "description": "None was published; send them again."},
    },
    openapi_extra={
        **needs("events:write", subject=ROUTE_CHECKS, storefront=True),
        "requestBody": {"required": True, "content": _CONTENT},
    },
)
async def take_events(request: Request) -> Response:
    """Publish up to 500 CloudEvents; a result for each."""
    documents = await _documents(request)
    caller, now, trace = caller_of(request), datetime.now(UTC), tracing.current()
    results: list[Result] = []
    events: dict[int, Event] = {}
    for index, document in enumerate(documents):
        given = document.get("id") if isinstance(document, dict) else None
        name = given[:SOURCE_CHARS_MAX] if isinstance(given, str) else None
        results.append(Result(index=index, id=name, status="refused"))
        try:
            event = _checked(document, caller, now)
            untraced = trace and not event.traceparent
            events[index] = replace(event, traceparent=trace) if untraced else event
        except Reject as error:
            results[index].error = str(error)
    outcomes = await publisher_of(request).publish(list(events.values())) if events else []
    for index, failure in zip(events, outcomes, strict=True):
        results[index].status = "failed" if failure else "accepted"
        results[index].error = failure or None
    return _answer(results)


def publisher_of(request: Request) -> Publisher:
    publisher: Publisher = request.app.state.publisher
    return publisher


def _answer(results: list[Result]) -> Response:
    found = [result.status for result in results]
    status = 202 if "accepted" in found else 503 if "failed" in found else 422
    body = Results(accepted=found.count("accepted"), results=results).model_dump_json()
    headers = {"Retry-After": "2"} if status == 503 else None
    return Response(body, status, headers, "application/json")


async def _documents(request: Request) -> list[Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in BATCH_TYPES and kind != SINGLE_TYPE:
        known = ", ".join((*sorted(BATCH_TYPES), SINGLE_TYPE))
        raise UnsupportedMediaType(f"send one of the content types {known}")
    try:
        sent = from_json(await request.body())
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    documents = [sent] if kind == SINGLE_TYPE else sent
    if not isinstance(documents, list) or not documents:
        raise BadRequest(f"send an array of events, or one event as {SINGLE_TYPE}")
    if len(documents) > EVENTS_MAX:
        raise TooLarge(f"a batch has at most {EVENTS_MAX} events, this has {len(documents)}")
    return documents


def _checked(document: Any, caller: Caller, now: datetime) -> Event:
    """The event, if it is one and this caller may send it; Reject says what is wrong."""
    if not isinstance(document, dict):
        raise Reject("not a JSON object; send a CloudEvents object")
    event = codec.from_structured(document, received=now)
    if not event.topic.startswith("shop."):
        raise Reject(f"type: {event.type} is ours to tell; send events of shop.* topics")
    if unknown := _unknown(event, document):
        raise Reject("; ".join(unknown[:5]))
    if caller.kind == "storefront":
        source = f"storefront/{caller.sub}"[:SOURCE_CHARS_MAX]
        if event.topic not in STOREFRONT_TOPICS:
            raise Reject("type: a storefront's token sends browse and engagement events only")
        if event.key != caller.sub:
            raise Reject("data.customer_id: must be the token's own sub")
        if event.source != source:
            raise Reject("source: from a storefront it is `storefront/` and the token's sub")
        if event.backfill:
            raise Reject("backfill: a storefront sends live events only")
        if event.data.identifiers:  # `verified` here would join people by their own word
            raise Reject("data.identifiers: only a server key may say who a customer is")
    return event


def _unknown(event: Event, document: dict[str, Any]) -> list[str]:
    """Fields that would be lost in silence. Extensions are free in CloudEvents, but one that
    nearly is an attribute (`backfil`) is a slip."""
    strange = document.keys() - ATTRIBUTES
    found = [(name, close) for name in strange if (close := nearest(name, ATTRIBUTES))]
    inside = unknown_fields(type(event.data), document["data"])
    found += [(f"data.{path}", close) for path, close in inside]
    return [
        f"{path}: not known{f'; did you mean {close}?' if close else ', remove it'}"
        for path, close in found
    ]
