"""The offers that orders were promised, and what offers with a budget have come to."""

from alembic import op

revision = "loyalty_0070"
down_revision = "loyalty_0060"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE offer_claim (
    order_id text PRIMARY KEY,
    customer_id text,
    state text NOT NULL,
    expires_at timestamptz NOT NULL,
    given jsonb NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70)
""",
    "CREATE INDEX offer_claim_customer ON offer_claim (customer_id)",
    "CREATE INDEX offer_claim_due ON offer_claim (expires_at) WHERE state = 'claimed'",
    """
CREATE TABLE offer_budget (
    offer_id text PRIMARY KEY,
    uses bigint NOT NULL DEFAULT 0,
    cost_minor bigint NOT NULL DEFAULT 0,
    CONSTRAINT offer_budget_not_below_zero CHECK (uses >= 0 AND cost_minor >= 0)
) WITH (fillfactor = 50)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
