"""What each order has booked, and the awards behind it."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from services.loyalty.tables.metadata import METADATA

# Append-only: what was decided, by which rule, on which inputs. A later decision on the same
# line (its price was changed) is another row, under its own revision.
AWARD_SNAPSHOT = Table(
    "award_snapshot",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("line_id", Text, primary_key=True),
    Column("rule_id", Text, primary_key=True),
    Column("rule_version", Integer, nullable=False),
    Column("basis_minor", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("decided_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)

# Each order at the last revision seen. `lines` is {line_id: [basis_minor, awarded, pending,
# active, due]}: one row for an order of any length, read and written whole.
ORDER_STATE = Table(
    "order_state",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text),  # null: erased
    Column("revision", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("event_time", DateTime(timezone=True), nullable=False),
    Column("store", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("earned_in", Uuid),
    Column("lines", JSONB, nullable=False),
    Column("activates_at", DateTime(timezone=True)),
    Column("counted", JSONB),  # [day, spend_minor, orders, points]: what it counts for a tier
    Column("import_id", BigInteger),
    Column("hold", Text, nullable=False, server_default=text("''")),
    # No index on what changes with each revision: such an update would rewrite every index.
    Index("order_state_customer", "customer_id"),
    Index("order_state_due", "activates_at", postgresql_where=text("activates_at IS NOT NULL")),
    postgresql_with={"fillfactor": "70"},
)
