"""Earning rules: the catalogue and shoppers they ask for, decisions, caps and budgets."""

from alembic import op

revision = "loyalty_0010"
down_revision = "loyalty_0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE product (
    product_id text PRIMARY KEY,
    category jsonb NOT NULL,
    brand text NOT NULL,
    attributes jsonb NOT NULL,
    variants jsonb NOT NULL,
    event_time timestamptz NOT NULL,
    event_source text NOT NULL,
    event_id text NOT NULL
)
""",
    """
CREATE TABLE shopper_fact (
    customer_id text,
    name text,
    value jsonb NOT NULL,
    event_time timestamptz NOT NULL,
    event_source text NOT NULL,
    event_id text NOT NULL,
    PRIMARY KEY (customer_id, name)
)
""",
    """
CREATE TABLE tally (
    customer_id text,
    subject text,
    period text,
    amount bigint NOT NULL,
    PRIMARY KEY (customer_id, subject, period)
) WITH (fillfactor = 80)
""",
    """
CREATE TABLE rule_budget (
    rule_id text PRIMARY KEY,
    spent bigint NOT NULL DEFAULT 0,
    CONSTRAINT rule_budget_not_below_zero CHECK (spent >= 0)
) WITH (fillfactor = 50)
""",
    """
CREATE TABLE order_decision (
    order_id text PRIMARY KEY,
    placed_at timestamptz NOT NULL,
    mark text NOT NULL,
    counted boolean NOT NULL,
    rule_id text NOT NULL,
    rule_version int NOT NULL,
    shopper jsonb,
    credits jsonb NOT NULL,
    cart jsonb,
    verdicts jsonb
) WITH (fillfactor = 80)
""",
    "CREATE INDEX order_decision_placed ON order_decision (placed_at, order_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
