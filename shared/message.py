"""A Kafka record before it is decoded: the part of it that we use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """`timestamp_ms` is the append time: topics are LogAppendTime."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
