"""What customers did beside ordering, and what it earned."""

from sqlalchemy import BigInteger, Column, Date, DateTime, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from services.loyalty.tables.metadata import METADATA

# Each thing once for each customer, whatever it earned: it is decided once. `document` is that of
# the journal, which names nobody.
ACTION = Table(
    "action",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("thing", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("done_at", DateTime(timezone=True), nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("verdicts", JSONB, nullable=False),
    Column("decided_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Index("action_customer", "customer_id", "done_at"),
)

STREAK = Table(
    "streak",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("activity_id", Text, primary_key=True),
    Column("last_day", Date, nullable=False),
    Column("days", Integer, nullable=False),
)
