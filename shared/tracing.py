"""OpenTelemetry through HTTP and Kafka.

A producer's `traceparent` rides on the event; a batch is one processing span with a link
to each sampled event, and its parent is the first of them, so that a trace that was
sampled at the shop is never lost here. Consequences carry their cause's `traceparent`, and
what a request causes carries the request's.

Source: W3C Trace Context level 1; OpenTelemetry semantic conventions for messaging
(development) and HTTP (stable).
"""

import random
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from shared.settings import Settings

LINKS_MAX = 128  # the SDK's own limit
_tracer = trace.get_tracer("regulars")
_share = 0.0  # of the traces that begin here


def start(settings: Settings) -> None:
    """Once for each process, before the first span."""
    global _share  # noqa: PLW0603  the SDK's own provider is global, too
    _share = settings.trace_share
    provider = TracerProvider(
        sampler=ALWAYS_ON,  # what gets here has been sampled
        resource=Resource.create(
            {"service.name": settings.service, "service.version": settings.release}
        ),
    )
    if settings.otlp_endpoint:
        exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def parse(traceparent: str) -> SpanContext | None:
    """The remote span that a `traceparent` names, or None if it is not sampled or not valid."""
    parts = traceparent.split("-")
    if len(parts) < 4 or not parts[3].endswith("1"):
        return None
    try:
        context = SpanContext(
            int(parts[1], 16), int(parts[2], 16), is_remote=True, trace_flags=TraceFlags(1)
        )
    except ValueError:
        return None
    return context if context.is_valid else None


def current() -> str:
    """The `traceparent` of the request that we are in, or nothing: a batch has many causes."""
    span = trace.get_current_span()
    if getattr(span, "kind", None) is not SpanKind.SERVER:
        return ""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextmanager
def server_span(scope: MutableMapping[str, Any]) -> Iterator[trace.Span]:
    """A request's span, a child of the caller's if the caller sent a sampled `traceparent`.

    Who is not sampled is found out before a span is made: a span costs more than a hot GET.
    """
    header = next((v for k, v in scope["headers"] if k == b"traceparent"), b"")
    parent = parse(header.decode("latin-1")) if header else None
    if parent is None and random.random() >= _share:  # noqa: S311  sampling is no secret
        yield trace.INVALID_SPAN
        return
    with _tracer.start_as_current_span(
        scope["method"], context=_within(parent), kind=SpanKind.SERVER
    ) as span:
        yield span


@contextmanager
def batch_span(consumer: str, traceparents: Iterable[str]) -> Iterator[trace.Span]:
    """One span for a batch, linked to every sampled event in it."""
    contexts = [c for c in map(parse, filter(None, traceparents)) if c][:LINKS_MAX]
    if not contexts and random.random() >= _share:  # noqa: S311
        yield trace.INVALID_SPAN
        return
    with _tracer.start_as_current_span(
        f"process {consumer}",
        context=_within(contexts[0] if contexts else None),
        kind=SpanKind.CONSUMER,
        links=[Link(context) for context in contexts],
        attributes={"messaging.system": "kafka", "messaging.consumer.group.name": consumer},
    ) as span:
        yield span


def _within(parent: SpanContext | None) -> Any:
    return trace.set_span_in_context(NonRecordingSpan(parent)) if parent else None
