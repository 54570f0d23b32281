"""Who invited whom, what of it was awarded, and what that is judged by."""

from alembic import op

revision = "loyalty_0100"
down_revision = "loyalty_0090"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE referral (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    customer_id text,
    referrer_id text,
    code bytea,
    store text NOT NULL DEFAULT '',
    invited_at timestamptz,
    registered_at timestamptz,
    state text NOT NULL DEFAULT 'invited',
    reason text NOT NULL DEFAULT 'not_registered',
    order_id text NOT NULL DEFAULT '',
    qualified_at timestamptz,
    referrer_points bigint NOT NULL DEFAULT 0,
    friend_points bigint NOT NULL DEFAULT 0,
    step int NOT NULL DEFAULT 0,
    hold text NOT NULL DEFAULT '',
    forgotten boolean NOT NULL DEFAULT false
)
""",
    "CREATE UNIQUE INDEX referral_customer ON referral (customer_id)",
    "CREATE INDEX referral_referrer ON referral (referrer_id)",
    "CREATE INDEX referral_code ON referral (code)",
    """
CREATE TABLE invitation (
    customer_id text NOT NULL,
    referral_id text NOT NULL,
    code bytea,
    invited_id text,
    invited_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, referral_id)
)
""",
    "CREATE INDEX invitation_code ON invitation (code)",
    "CREATE INDEX invitation_invited ON invitation (invited_id)",
    """
CREATE TABLE referral_order (
    order_id text PRIMARY KEY,
    customer_id text NOT NULL,
    revision bigint NOT NULL,
    placed_at timestamptz NOT NULL,
    told_at timestamptz NOT NULL,
    store text NOT NULL,
    paid boolean NOT NULL,
    net_minor bigint NOT NULL,
    arrived boolean NOT NULL
)
""",
    "CREATE INDEX referral_order_customer ON referral_order (customer_id)",
    """
CREATE TABLE referral_signal (
    customer_id text NOT NULL,
    kind text NOT NULL,
    digest bytea NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, kind, digest)
)
""",
    """
CREATE TABLE referral_due (
    customer_id text PRIMARY KEY,
    due_at timestamptz NOT NULL,
    wide boolean NOT NULL
)
""",
    "CREATE INDEX referral_due_first ON referral_due (due_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
