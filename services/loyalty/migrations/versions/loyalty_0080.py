"""What customers did beside ordering, and what it earned."""

from alembic import op

revision = "loyalty_0080"
down_revision = "loyalty_0020"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE action (
    customer_id text NOT NULL,
    kind text NOT NULL,
    thing text NOT NULL,
    document text NOT NULL,
    done_at timestamptz NOT NULL,
    points bigint NOT NULL,
    verdicts jsonb NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, kind, thing)
)
""",
    "CREATE INDEX action_customer ON action (customer_id, done_at)",
    """
CREATE TABLE streak (
    customer_id text NOT NULL,
    activity_id text NOT NULL,
    last_day date NOT NULL,
    days int NOT NULL,
    PRIMARY KEY (customer_id, activity_id)
)
""",
    # The days of the year on which somebody is to be congratulated.
    """
CREATE INDEX shopper_fact_birthday ON shopper_fact (right(value #>> '{}', 5), customer_id)
WHERE name = 'birthday'
""",
    """
CREATE INDEX shopper_fact_joined ON shopper_fact (substr(value #>> '{}', 6, 5), customer_id)
WHERE name = 'joined'
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
