"""What the store lays down: the programme, earning rules, offers, rewards."""

from alembic import context, op

revision = "loyalty_0003"
down_revision = "loyalty_0002"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE definition (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    id text NOT NULL,
    version int NOT NULL,
    document jsonb NOT NULL,
    starts_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    UNIQUE (kind, id, version)
)
"""


def upgrade() -> None:
    op.execute(TABLE)
    role = context.config.attributes["app_role"]
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON definition FROM {role}")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
