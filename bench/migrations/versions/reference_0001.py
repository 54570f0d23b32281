"""The reference handler's tables."""

from alembic import op

from bench.reference import SCHEMA

revision = "reference_0001"
down_revision = None
branch_labels = ("reference",)
depends_on = "backbone_0001"


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)
