"""What earning rules decide on, what they decided, and what is counted against their caps."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.loyalty.tables.metadata import METADATA

# What the catalogue last said of a product. `variants` is {sku: attributes}.
PRODUCT = Table(
    "product",
    METADATA,
    Column("product_id", Text, primary_key=True),
    Column("category", JSONB, nullable=False),
    Column("brand", Text, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("variants", JSONB, nullable=False),
    Column("event_time", DateTime(timezone=True), nullable=False),
    Column("event_source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
)

# A row for each fact, and not for each customer: a batch reads those that rules ask for, and
# events in any order leave the newest of each without a row being read. A null: no longer so.
SHOPPER_FACT = Table(
    "shopper_fact",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    Column("event_time", DateTime(timezone=True), nullable=False),
    Column("event_source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    # Whose birthday or anniversary it is, by MM-DD.
    Index(
        "shopper_fact_birthday",
        text("\"right\"(value #>> '{}'::text[], 5)"),
        "customer_id",
        postgresql_where=text("name = 'birthday'"),
    ),
    Index(
        "shopper_fact_joined",
        text("substr(value #>> '{}'::text[], 6, 5)"),
        "customer_id",
        postgresql_where=text("name = 'joined'"),
    ),
)

# What each id has of something that is counted: paid orders, points by a capped rule and period.
TALLY = Table(
    "tally",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    postgresql_with={"fillfactor": "80"},
)

# Shared by all customers: changed last in a transaction, in key order, as increments.
RULE_BUDGET = Table(
    "rule_budget",
    METADATA,
    Column("rule_id", Text, primary_key=True),
    Column("spent", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("spent >= 0", name="rule_budget_not_below_zero"),
    postgresql_with={"fillfactor": "50"},
)

# The decision in force on each order: what it was made on (`cart`, `shopper`), every rule's
# verdict on every line (`verdicts`), and what of it counts against caps (`credits`). History is
# in award_snapshot. `mark` is empty while nothing is decided.
ORDER_DECISION = Table(
    "order_decision",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("placed_at", DateTime(timezone=True), nullable=False),
    Column("mark", Text, nullable=False),
    Column("counted", Boolean, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("rule_version", Integer, nullable=False),
    Column("more_rules", JSONB, nullable=False, server_default="[]"),
    Column("shopper", JSONB(none_as_null=True)),
    Column("credits", JSONB, nullable=False),
    Column("cart", JSONB),
    Column("verdicts", JSONB),
    Index("order_decision_placed", "placed_at", "order_id"),
    postgresql_with={"fillfactor": "80"},
)
