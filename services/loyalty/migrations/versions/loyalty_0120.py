"""All rules that gave an order's points. Of what was decided before it names the one, as then."""

from alembic import op

revision = "loyalty_0120"
down_revision = "loyalty_0110"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE order_decision ADD COLUMN more_rules jsonb NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
