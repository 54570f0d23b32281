"""Tiers: what counts for one, which one each account has, and how it came to that."""

from alembic import context, op

revision = "loyalty_0020"
down_revision = "loyalty_0010"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE qualifying (
    account_id uuid NOT NULL,
    day date NOT NULL,
    orders int NOT NULL,
    spend_minor bigint NOT NULL,
    points bigint NOT NULL,
    PRIMARY KEY (account_id, day),
    CONSTRAINT qualifying_not_below_zero CHECK (spend_minor >= 0 AND orders >= 0 AND points >= 0)
) WITH (fillfactor = 70)
""",
    """
CREATE TABLE standing (
    account_id uuid PRIMARY KEY,
    tier text NOT NULL DEFAULT '',
    since timestamptz,
    valid_until timestamptz,
    version bigint NOT NULL DEFAULT 0,
    as_of timestamptz,
    brought_to date,
    earned_tier text,
    period_from date,
    held text NOT NULL DEFAULT '',
    held_until date,
    of_version bigint NOT NULL DEFAULT 0,
    due_at timestamptz,
    joined_on date,
    grants jsonb NOT NULL DEFAULT '[]'::jsonb
) WITH (fillfactor = 70)
""",
    "CREATE INDEX standing_due ON standing (due_at) WHERE due_at IS NOT NULL",
    """
CREATE TABLE tier_history (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id uuid NOT NULL,
    version bigint NOT NULL,
    tier text NOT NULL,
    before text NOT NULL,
    direction text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL,
    valid_until timestamptz,
    qualifying bigint NOT NULL,
    document text NOT NULL,
    cause_source text NOT NULL,
    cause_id text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (account_id, version)
)
""",
    "CREATE INDEX tier_history_account ON tier_history (account_id, seq)",
    "ALTER TABLE order_state ADD COLUMN counted jsonb",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    role = context.config.attributes["app_role"]
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON tier_history FROM {role}")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
