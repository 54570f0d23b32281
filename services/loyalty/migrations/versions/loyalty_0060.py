"""What is brought from elsewhere, adjustments by hand, and earning that is held for review."""

from alembic import op

revision = "loyalty_0060"
down_revision = "loyalty_0050"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE import_batch (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    file text NOT NULL,
    digest bytea NOT NULL,
    terms bytea NOT NULL,
    state text NOT NULL,
    rows bigint NOT NULL,
    points bigint NOT NULL,
    customers bigint NOT NULL,
    rows_left_out bigint NOT NULL,
    row_done bigint NOT NULL DEFAULT 0,
    row_back bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    settled_at timestamptz
)
""",
    "CREATE UNIQUE INDEX import_batch_once ON import_batch (digest) WHERE state <> 'reversed'",
    """
CREATE TABLE import_row (
    batch_id bigint NOT NULL,
    row bigint NOT NULL,
    account_id uuid NOT NULL,
    lot_id uuid,
    points bigint NOT NULL,
    order_id text NOT NULL,
    line_id text NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (batch_id, row)
)
""",
    "CREATE INDEX import_row_note ON import_row (account_id) WHERE note <> ''",
    """
CREATE TABLE adjustment (
    id uuid PRIMARY KEY,
    customer_id text,
    points bigint NOT NULL,
    reason text NOT NULL,
    note text NOT NULL,
    store text NOT NULL,
    expires_at timestamptz,
    state text NOT NULL,
    waits_for text[] NOT NULL,
    inputs jsonb NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    decided_by text,
    decided_at timestamptz,
    comment text NOT NULL DEFAULT ''
)
""",
    "CREATE INDEX adjustment_newest ON adjustment (requested_at, id)",
    """
CREATE INDEX adjustment_waiting ON adjustment (requested_at, id) WHERE state = 'waiting'
""",
    "CREATE INDEX adjustment_caller ON adjustment (requested_by, requested_at)",
    "CREATE INDEX adjustment_customer ON adjustment (customer_id)",
    """
CREATE TABLE hold (
    order_id text PRIMARY KEY,
    customer_id text,
    points bigint NOT NULL,
    excesses jsonb NOT NULL,
    inputs jsonb NOT NULL,
    held_at timestamptz NOT NULL,
    state text NOT NULL,
    decided_by text,
    decided_at timestamptz,
    comment text NOT NULL DEFAULT ''
)
""",
    "CREATE INDEX hold_waiting ON hold (held_at, order_id) WHERE state = 'held'",
    "CREATE INDEX hold_customer ON hold (customer_id)",
    "ALTER TABLE order_state ADD COLUMN hold text NOT NULL DEFAULT ''",
    "ALTER TABLE order_state ADD COLUMN import_id bigint",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
