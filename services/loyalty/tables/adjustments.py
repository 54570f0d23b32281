"""Points given and taken by hand, and earning that waits for somebody to look."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.loyalty.tables.metadata import METADATA

# One that is booked has a journal whose document is its id.
ADJUSTMENT = Table(
    "adjustment",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Text),  # null: erased
    Column("points", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("state", Text, nullable=False),
    Column("waits_for", ARRAY(Text), nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("decided_by", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("comment", Text, nullable=False, server_default=text("''")),
    Index("adjustment_newest", "requested_at", "id"),
    Index("adjustment_waiting", "requested_at", "id", postgresql_where=text("state = 'waiting'")),
    Index("adjustment_caller", "requested_by", "requested_at"),
    Index("adjustment_customer", "customer_id"),
)

# Orders whose points were held, with what was decided; `order_state.hold` is what the fold reads.
HOLD = Table(
    "hold",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text),  # null: erased
    Column("points", BigInteger, nullable=False),
    Column("excesses", JSONB, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("held_at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("comment", Text, nullable=False, server_default=text("''")),
    Index("hold_waiting", "held_at", "order_id", postgresql_where=text("state = 'held'")),
    Index("hold_customer", "customer_id"),
)
