"""Points set aside for checkouts, and points that orders lacked."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.loyalty.tables.metadata import METADATA

# `parts` is [[lot_id, points], ...]. Changed only under the locks of `account_ids`.
RESERVATION = Table(
    "reservation",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("customer_id", Text),  # null: erased
    Column("account_ids", ARRAY(Uuid), nullable=False),
    Column("store", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("parts", JSONB, nullable=False),
    Column("order_id", Text),
    Column("state", Text, nullable=False),
    Column("confirmed", BigInteger, nullable=False),
    Column("given_back", BigInteger, nullable=False),
    Column("step", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("points_per_unit", Integer),  # null: by a release that did not keep it
    Index("reservation_customer", "customer_id"),
    Index("reservation_due", "expires_at", postgresql_where=text("state = 'reserved'")),
    postgresql_with={"fillfactor": "70"},
)

# What an order said it was paid with, and was not there: told once.
SHORTFALL = Table(
    "shortfall",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("reservation_id", Text, primary_key=True),
    Column("points", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
