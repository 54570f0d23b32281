"""The tally."""

from alembic import op

revision = "tally_0001"
down_revision = None
branch_labels = ("tally",)
depends_on = "backbone_0001"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE tally"
        " (customer_id text PRIMARY KEY, events int NOT NULL, trail text NOT NULL)"
    )
