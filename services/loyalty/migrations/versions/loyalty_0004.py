"""Lots; what members owe; points that become active by themselves.

Points that were active before become one lot for each member, without a date; who was below
zero owes that much.
"""

from alembic import op

revision = "loyalty_0004"
down_revision = "loyalty_0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE lot (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    source text NOT NULL,
    document text NOT NULL,
    store text NOT NULL,
    earned_at timestamptz NOT NULL,
    expires_at timestamptz,
    points bigint NOT NULL,
    remaining bigint NOT NULL,
    reserved bigint NOT NULL,
    used bigint NOT NULL,
    expired bigint NOT NULL,
    taken_back bigint NOT NULL,
    CONSTRAINT lot_is_whole CHECK (
        remaining >= 0 AND reserved >= 0 AND used >= 0 AND expired >= 0 AND taken_back >= 0
        AND remaining + reserved + used + expired + taken_back = points
    )
) WITH (fillfactor = 80)
""",
    "CREATE INDEX lot_document ON lot (document, source)",
    """
CREATE INDEX lot_spendable ON lot (account_id, expires_at, earned_at, id) WHERE remaining > 0
""",
    """
CREATE INDEX lot_expiry ON lot (expires_at, account_id)
WHERE remaining > 0 AND expires_at IS NOT NULL
""",
    """
CREATE TABLE sweep (
    name text PRIMARY KEY,
    until timestamptz NOT NULL,
    account_id uuid NOT NULL
)
""",
    """
INSERT INTO lot (id, account_id, source, document, store, earned_at, points, remaining, reserved,
    used, expired, taken_back)
SELECT gen_random_uuid(), account_id, 'before lots', '', '', now(), active, active, 0, 0, 0, 0
FROM balance WHERE active > 0
""",
    "ALTER TABLE balance ADD COLUMN owed bigint NOT NULL DEFAULT 0",
    "ALTER TABLE journal ADD COLUMN store text NOT NULL DEFAULT ''",
    """
WITH booked AS (
    INSERT INTO journal (id, account_id, source, document, revision, kind, event_time,
        cause_source, cause_id, cause_topic, cause_partition, cause_offset)
    SELECT gen_random_uuid(), account_id, 'migration', account_id::text, 4, 'adjust', now(),
        'regulars/loyalty', 'loyalty_0004', '', -1, -1
    FROM balance WHERE active < 0
    RETURNING id, account_id
), waiting AS (
    INSERT INTO unsealed SELECT id FROM booked
)
INSERT INTO posting (journal_id, account_id, points, position, debit, credit, line)
SELECT booked.id, account_id, -balance.active, 0, 4, 2, ''
FROM booked JOIN balance USING (account_id)
""",
    "UPDATE balance SET owed = -active, active = 0 WHERE active < 0",
    "ALTER TABLE balance DROP CONSTRAINT balance_not_below_zero",
    """
ALTER TABLE balance ADD CONSTRAINT balance_not_below_zero
CHECK (pending >= 0 AND active >= 0 AND reserved >= 0 AND owed >= 0)
""",
    "ALTER TABLE order_state ADD COLUMN activates_at timestamptz",
    """
CREATE INDEX order_state_due ON order_state (activates_at) WHERE activates_at IS NOT NULL
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
