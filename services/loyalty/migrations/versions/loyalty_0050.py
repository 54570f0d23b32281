"""Closed months; accounting dates of journals; the lot of each posting.

Journals from before have no accounting date, and their postings no lot: they were sealed
without, and are the opening balance of the first month that is closed.
"""

from alembic import context, op

revision = "loyalty_0050"
down_revision = "loyalty_0040"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE journal ADD COLUMN accounting_date date, ADD COLUMN refers_to date",
    "CREATE INDEX journal_accounting ON journal (accounting_date, id)",
    "ALTER TABLE posting ADD COLUMN lot_id uuid",
    """
CREATE TABLE closing_draft (
    draft bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    month date NOT NULL,
    journals bigint NOT NULL,
    statement jsonb NOT NULL,
    prepared_at timestamptz NOT NULL DEFAULT now(),
    prepared_by text NOT NULL
)
""",
    """
CREATE TABLE closing (
    month date PRIMARY KEY,
    draft bigint NOT NULL,
    block bigint NOT NULL,
    head bytea NOT NULL,
    digest bytea NOT NULL,
    approved_at timestamptz NOT NULL DEFAULT now(),
    approved_by text NOT NULL
)
""",
    # The lock, and then, by a snapshot of its own, the last closed month: one round trip.
    """
CREATE FUNCTION hold_open_month() RETURNS date LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('loyalty closing'));
    RETURN (SELECT month FROM closing ORDER BY month DESC LIMIT 1);
END
$$
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    role = context.config.attributes["app_role"]
    for table in ("closing_draft", "closing"):
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
