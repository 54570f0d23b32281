"""At which rate points were set aside."""

from alembic import op

revision = "loyalty_0110"
down_revision = "loyalty_0100"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE reservation ADD COLUMN points_per_unit int")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
