"""Membership: stays, orders that wait for one, external ids, cards, paid terms."""

from alembic import context, op

revision = "loyalty_0040"
down_revision = "loyalty_0030"
branch_labels = None
depends_on = None

TABLES = (
    """
CREATE TABLE membership (
    account_id uuid NOT NULL,
    number int NOT NULL,
    joined_at timestamptz NOT NULL,
    credits_from timestamptz NOT NULL,
    terms_version text NOT NULL,
    channel text NOT NULL,
    accepted_at timestamptz NOT NULL,
    asked_at timestamptz,
    leaves_at timestamptz,
    forfeited_at timestamptz,
    PRIMARY KEY (account_id, number)
)
""",
    """
CREATE INDEX membership_leaving ON membership (leaves_at)
WHERE leaves_at IS NOT NULL AND forfeited_at IS NULL
""",
    """
CREATE TABLE waiting_order (
    order_id text PRIMARY KEY,
    customer_id text NOT NULL,
    paid_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    type text NOT NULL,
    event_source text NOT NULL,
    event_id text NOT NULL,
    event_time timestamptz NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    log_offset bigint NOT NULL,
    snapshot jsonb NOT NULL
)
""",
    "CREATE INDEX waiting_order_customer ON waiting_order (customer_id)",
    "CREATE INDEX waiting_order_paid_at ON waiting_order (paid_at)",
    """
CREATE TABLE binding (
    value text NOT NULL,
    issuer text NOT NULL,
    type text NOT NULL,
    customer_id text NOT NULL,
    bound_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (value, issuer, type)
)
""",
    "CREATE INDEX binding_customer ON binding (customer_id)",
    """
CREATE TABLE card (
    number text PRIMARY KEY,
    handle text NOT NULL CONSTRAINT card_handle UNIQUE,
    account_id uuid NOT NULL,
    drawn_at timestamptz NOT NULL DEFAULT now(),
    dead_at timestamptz
)
""",
    "CREATE INDEX card_of_account ON card (account_id)",
    "CREATE UNIQUE INDEX card_live ON card (account_id) WHERE dead_at IS NULL",
    """
CREATE TABLE paid_term (
    document_id text PRIMARY KEY,
    account_id uuid NOT NULL,
    plan_id text NOT NULL,
    plan_version int NOT NULL,
    tier text NOT NULL,
    benefits jsonb NOT NULL,
    grace_days int NOT NULL,
    paid_minor bigint NOT NULL,
    currency text NOT NULL,
    zone text NOT NULL,
    anchor date NOT NULL,
    months_before int NOT NULL,
    months int NOT NULL,
    bought_at timestamptz NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT paid_term_is_not_below_zero CHECK (paid_minor >= 0),
    CONSTRAINT paid_term_has_a_length CHECK (starts_at < ends_at)
)
""",
    "CREATE INDEX paid_term_account ON paid_term (account_id)",
    """
CREATE TABLE term_refund (
    document_id text PRIMARY KEY,
    term_document_id text NOT NULL CONSTRAINT term_refund_once UNIQUE,
    refunded_at timestamptz NOT NULL,
    days_unused int NOT NULL,
    days int NOT NULL,
    amount_minor bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT term_refund_is_not_below_zero CHECK (amount_minor >= 0)
)
""",
)

APPEND_ONLY = ("paid_term", "term_refund")


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    role = context.config.attributes["app_role"]
    for table in APPEND_ONLY:
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
