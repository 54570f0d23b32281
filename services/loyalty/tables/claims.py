"""The offers that orders were promised, and what offers with a budget have come to."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from services.loyalty.tables.metadata import METADATA

# One for each order. What a member has used is counted from his claims, so it follows merges.
OFFER_CLAIM = Table(
    "offer_claim",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text),  # null: erased
    Column("state", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("given", JSONB, nullable=False),
    Column("claimed_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Index("offer_claim_customer", "customer_id"),
    Index("offer_claim_due", "expires_at", postgresql_where=text("state = 'claimed'")),
    postgresql_with={"fillfactor": "70"},
)

# Customers share these rows: they are the last lock of a transaction, in key order.
OFFER_BUDGET = Table(
    "offer_budget",
    METADATA,
    Column("offer_id", Text, primary_key=True),
    Column("uses", BigInteger, nullable=False, server_default=text("0")),
    Column("cost_minor", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("uses >= 0 AND cost_minor >= 0", name="offer_budget_not_below_zero"),
    postgresql_with={"fillfactor": "50"},
)
