"""The backbone's tables, in every service's database. Migrations are checked against this."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

METADATA = MetaData()
_now = func.now()


def _at(name: str, *, default: bool = False) -> Column[object]:
    return Column(
        name,
        DateTime(timezone=True),
        nullable=not default,
        server_default=_now if default else None,
    )


# Where each consumer stands: the position lives with the effects, so a database that is
# restored to an hour ago reads on from an hour ago. `last_timestamp_ms` is the append time
# of the record before the position (-1: none); another one there means another log.
CONSUMER_OFFSET = Table(
    "consumer_offset",
    METADATA,
    Column("consumer", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("last_timestamp_ms", BigInteger, nullable=False),
    _at("updated_at", default=True),
    postgresql_with={"fillfactor": "50"},
)

# Which events were handled. Partitioned by the event's own day.
INBOX = Table(
    "inbox",
    METADATA,
    Column("day", Date, nullable=False),
    Column("consumer", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    _at("claimed_at", default=True),
    PrimaryKeyConstraint("id", "source", "consumer", "day"),
    Index("inbox_claimed_at", "claimed_at", postgresql_using="brin"),
    postgresql_partition_by="RANGE (day)",
)

# Debezium's column names, so that change data capture could take over from the relay.
OUTBOX = Table(
    "outbox",
    METADATA,
    Column("shard", SmallInteger, primary_key=True),
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("id", Text, nullable=False),
    Column("aggregatetype", Text, nullable=False),
    Column("aggregateid", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("time", Text, nullable=False),
    Column("backfill", Boolean, nullable=False),
    Column("traceparent", Text, nullable=False),
    _at("created_at", default=True),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0.01"},
)

DEAD_LETTER = Table(
    "dead_letter",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("direction", Text, nullable=False),  # in: from Kafka; out: from the outbox
    Column("consumer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", JSONB, nullable=False),  # [[name, base64 of the value], ...]
    _at("appended_at"),
    Column("event_source", Text),
    Column("event_id", Text),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),  # open, waiting, replayed, dropped
    _at("buried_at", default=True),
    _at("settled_at"),
    Index(
        "dead_letter_unsettled",
        "consumer",
        "key",
        "id",
        postgresql_where=text("state IN ('open', 'waiting')"),
    ),
    Index("dead_letter_event", "event_id", "event_source"),
    Index("dead_letter_key", "key"),
)

BREAKER = Table(
    "breaker",
    METADATA,
    Column("consumer", Text, primary_key=True),
    Column("stopped_release", Text),
    Column("reason", Text),
    _at("stopped_at"),
    Column("handled", BigInteger, nullable=False),
    Column("buried", BigInteger, nullable=False),
    Column("run", BigInteger, nullable=False),
)

UNKNOWN_TYPE = Table(
    "unknown_type",
    METADATA,
    Column("consumer", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    _at("first_seen_at", default=True),
    _at("last_seen_at", default=True),
)

STORED_ANSWER = Table(
    "stored_answer",
    METADATA,
    Column("caller", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("subject", Text),  # the customer it tells of, so that erasure finds it
    _at("created_at", default=True),
    Index("stored_answer_created_at", "created_at"),
    Index("stored_answer_subject", "subject"),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _at("at", default=True),
    Column("caller", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text),
    Column("request_id", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    Index("audit_subject", "subject"),
)

# One row for each member of a merged person; `members` includes all of them.
ALIAS = Table(
    "alias",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("canonical_id", Text, nullable=False),
    Column("members", ARRAY(Text), nullable=False),
    Column("version", BigInteger, nullable=False),
)

TOMBSTONE = Table(
    "tombstone",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),  # HMAC-SHA256 of the customer id
    Column("erased_until", DateTime(timezone=True), nullable=False),
    Column("request_id", Text, nullable=False),
)

JOB = Table(
    "job",
    METADATA,
    Column("name", Text, primary_key=True),
    _at("started_at"),
    _at("finished_at"),
    Column("outcome", Text),
)
