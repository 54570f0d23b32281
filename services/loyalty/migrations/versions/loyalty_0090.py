"""What a row of an import has brought besides points, and the money that it adds up to."""

from alembic import op

revision = "loyalty_0090"
down_revision = "loyalty_0080"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE import_row ADD COLUMN detail jsonb NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE import_batch ADD COLUMN minor bigint NOT NULL DEFAULT 0")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
