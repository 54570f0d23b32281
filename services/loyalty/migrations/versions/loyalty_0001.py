"""The ledger, the members' accounts, and the orders that earn."""

from alembic import context, op

revision = "loyalty_0001"
down_revision = None
branch_labels = ("loyalty",)
depends_on = "backbone_0001"

TABLES = (
    """
CREATE TABLE member (
    customer_id text PRIMARY KEY,
    account_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    joined_at timestamptz NOT NULL DEFAULT now()
)
""",
    """
CREATE TABLE balance (
    account_id uuid PRIMARY KEY,
    pending bigint NOT NULL DEFAULT 0,
    active bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    CONSTRAINT balance_not_below_zero CHECK (pending >= 0 AND reserved >= 0)
) WITH (fillfactor = 70)
""",
    """
CREATE TABLE journal (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    source text NOT NULL,
    document text NOT NULL,
    revision bigint NOT NULL,
    kind text NOT NULL,
    event_time timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    cause_source text NOT NULL,
    cause_id text NOT NULL,
    cause_topic text NOT NULL,
    cause_partition int NOT NULL,
    cause_offset bigint NOT NULL,
    CONSTRAINT journal_business_key UNIQUE (document, source, revision, kind)
)
""",
    "CREATE INDEX journal_account ON journal (account_id, id)",
    "CREATE INDEX journal_cause ON journal (cause_id, cause_source)",
    """
CREATE TABLE posting (
    journal_id uuid NOT NULL,
    account_id uuid NOT NULL,
    points bigint NOT NULL,
    position int NOT NULL,
    debit smallint NOT NULL,
    credit smallint NOT NULL,
    line text NOT NULL,
    PRIMARY KEY (journal_id, position),
    CONSTRAINT posting_moves_points CHECK (points > 0),
    CONSTRAINT posting_has_two_sides CHECK (debit <> credit)
)
""",
    """
CREATE TABLE award_snapshot (
    order_id text NOT NULL,
    revision bigint NOT NULL,
    line_id text NOT NULL,
    rule_id text NOT NULL,
    rule_version int NOT NULL,
    basis_minor bigint NOT NULL,
    points bigint NOT NULL,
    inputs jsonb NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, revision, line_id, rule_id)
)
""",
    """
CREATE TABLE order_state (
    order_id text PRIMARY KEY,
    customer_id text,
    revision bigint NOT NULL,
    type text NOT NULL,
    event_time timestamptz NOT NULL,
    store text NOT NULL,
    verdict text NOT NULL,
    earned_in uuid,
    lines jsonb NOT NULL
) WITH (fillfactor = 70)
""",
    "CREATE INDEX order_state_customer ON order_state (customer_id)",
)

APPEND_ONLY = ("journal", "posting", "award_snapshot")


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    role = context.config.attributes["app_role"]
    for table in APPEND_ONLY:
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
