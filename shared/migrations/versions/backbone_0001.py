"""The backbone: offsets, inbox, outbox, dead letters, answers, audit, aliases, tombstones."""

from alembic import context, op

from shared import tables

revision = "backbone_0001"
down_revision = None
branch_labels = ("backbone",)
depends_on = None

# The service's own role may not make tables; it may ask for the next days' partitions.
# A day that already has rows in the default partition stays there: history, or a job
# that slept for days.
FUNCTIONS = (
    """
CREATE FUNCTION make_inbox_days(ahead int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    made int := 0;
    wanted date;
BEGIN
    FOR wanted IN SELECT current_date + n FROM generate_series(-1, ahead) AS n LOOP
        IF to_regclass('inbox_' || to_char(wanted, 'YYYYMMDD')) IS NULL THEN
            BEGIN
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF inbox FOR VALUES FROM (%L) TO (%L)',
                    'inbox_' || to_char(wanted, 'YYYYMMDD'), wanted, wanted + 1);
                made := made + 1;
            EXCEPTION WHEN check_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    RETURN made;
END $$
""",
    """
CREATE FUNCTION drop_inbox_days(keep interval) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    dropped int := 0;
    part regclass;
    newest timestamptz;
BEGIN
    FOR part IN
        SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent = 'inbox'::regclass AND inhrelid <> 'inbox_default'::regclass
    LOOP
        CONTINUE WHEN to_date(right(part::text, 8), 'YYYYMMDD') > current_date - keep;
        EXECUTE format('SELECT max(claimed_at) FROM %s', part) INTO newest;
        IF newest IS NULL OR newest < now() - keep THEN
            EXECUTE format('DROP TABLE %s', part);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$
""",
    """
-- The audit log is append-only for the service's role; an erasure takes the name out of it.
CREATE FUNCTION forget_audit_subjects(ids text[], mark text) RETURNS int
LANGUAGE sql SECURITY DEFINER SET search_path = public AS $$
    WITH forgotten AS (UPDATE audit SET subject = mark WHERE subject = ANY(ids) RETURNING 1)
    SELECT count(*)::int FROM forgotten
$$
""",
)


def upgrade() -> None:
    tables.METADATA.create_all(op.get_bind(), checkfirst=False)
    op.execute("CREATE TABLE inbox_default PARTITION OF inbox DEFAULT")
    for function in FUNCTIONS:
        op.execute(function)
    op.execute("SELECT make_inbox_days(3)")
    op.execute(f"REVOKE UPDATE, DELETE ON audit FROM {context.config.attributes['app_role']}")


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
