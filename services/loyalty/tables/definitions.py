"""What the store has laid down: the programme, earning rules, offers, rewards."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.loyalty.tables.metadata import METADATA

# Append-only: a change is a new version, so what decided in the past can be read for ever.
# `seq` tells every process whether it has read them all.
DEFINITION = Table(
    "definition",
    METADATA,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("kind", "id", "version"),
)
