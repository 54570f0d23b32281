"""Closed months, and what was prepared of them."""

from sqlalchemy import BigInteger, Column, Date, DateTime, Identity, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from services.loyalty.tables.metadata import METADATA

# Append-only. `journals` counts those that the statement sums: as none ever goes, an equal
# count at the approval is the same journals. A draft that nobody approves means nothing.
CLOSING_DRAFT = Table(
    "closing_draft",
    METADATA,
    Column("draft", BigInteger, Identity(always=True), primary_key=True),
    Column("month", Date, nullable=False),
    Column("journals", BigInteger, nullable=False),
    Column("statement", JSONB, nullable=False),
    Column("prepared_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("prepared_by", Text, nullable=False),
)

# Append-only. Months follow on each other. `block` and `head` are the chain's that vouches for
# every journal of the month, `digest` is SHA-256 of the statement in canonical JSON.
CLOSING = Table(
    "closing",
    METADATA,
    Column("month", Date, primary_key=True),
    Column("draft", BigInteger, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("approved_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("approved_by", Text, nullable=False),
)
