"""The chain over the ledger: journals that wait, and sealed blocks."""

from alembic import context, op

revision = "loyalty_0002"
down_revision = "loyalty_0001"
branch_labels = None
depends_on = None

TABLES = (
    "CREATE TABLE unsealed (journal_id uuid PRIMARY KEY)",
    """
CREATE TABLE seal (
    block bigint PRIMARY KEY,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    previous bytea NOT NULL,
    head bytea NOT NULL,
    journal_ids uuid[] NOT NULL
)
""",
    "INSERT INTO unsealed SELECT id FROM journal",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    role = context.config.attributes["app_role"]
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON seal FROM {role}")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
