"""Points set aside for checkouts, and points that orders lacked."""

from alembic import op

revision = "loyalty_0005"
down_revision = "loyalty_0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE reservation (
    id text PRIMARY KEY,
    customer_id text,
    account_ids uuid[] NOT NULL,
    store text NOT NULL,
    points bigint NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    expires_at timestamptz NOT NULL,
    parts jsonb NOT NULL,
    order_id text,
    state text NOT NULL,
    confirmed bigint NOT NULL,
    given_back bigint NOT NULL,
    step int NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70)
""",
    "CREATE INDEX reservation_customer ON reservation (customer_id)",
    "CREATE INDEX reservation_due ON reservation (expires_at) WHERE state = 'reserved'",
    """
CREATE TABLE shortfall (
    order_id text NOT NULL,
    reservation_id text NOT NULL,
    points bigint NOT NULL,
    reason text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, reservation_id)
)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
