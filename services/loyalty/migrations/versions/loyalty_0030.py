"""Rewards: coupons with their steps, stocks, and pools of the shop's own codes."""

from alembic import context, op

revision = "loyalty_0030"
down_revision = "loyalty_0020"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE coupon (
    id uuid PRIMARY KEY,
    customer_id text,
    reward_id text NOT NULL,
    reward_version int NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz,
    state text NOT NULL,
    code text,
    digest bytea,
    points bigint NOT NULL,
    parts jsonb NOT NULL,
    order_id text,
    reserved_until timestamptz,
    step int NOT NULL,
    CONSTRAINT coupon_state CHECK (state IN ('issued', 'reserved', 'used', 'void')),
    CONSTRAINT coupon_digest UNIQUE (digest)
) WITH (fillfactor = 80)
""",
    "CREATE INDEX coupon_owner ON coupon (customer_id, issued_at, id)",
    "CREATE INDEX coupon_got ON coupon (customer_id, reward_id, issued_at)",
    "CREATE INDEX coupon_order ON coupon (order_id) WHERE order_id IS NOT NULL",
    """
CREATE TABLE coupon_step (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    coupon_id uuid NOT NULL,
    step int NOT NULL,
    action text NOT NULL,
    state text NOT NULL,
    refused text,
    order_id text,
    at timestamptz NOT NULL,
    cause_source text NOT NULL,
    cause_id text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
)
""",
    "CREATE INDEX coupon_step_coupon ON coupon_step (coupon_id, seq)",
    """
CREATE TABLE reward_stock (
    reward_id text PRIMARY KEY,
    issued bigint NOT NULL,
    CONSTRAINT reward_stock_not_below_zero CHECK (issued >= 0)
) WITH (fillfactor = 50)
""",
    """
CREATE TABLE code_pool (
    digest bytea PRIMARY KEY,
    reward_id text NOT NULL,
    code text
)
""",
    "CREATE INDEX code_pool_free ON code_pool (reward_id, digest) WHERE code IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    role = context.config.attributes["app_role"]
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON coupon_step FROM {role}")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
