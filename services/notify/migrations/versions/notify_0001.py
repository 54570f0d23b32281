"""notify: contact points, consents, orders, notices and the attempts to hand them over."""

from alembic import op

revision = "notify_0001"
down_revision = None
branch_labels = ("notify",)
depends_on = "backbone_0001"

STATEMENTS = (
    """
CREATE TABLE customer (
    customer_id text PRIMARY KEY,
    restricted boolean NOT NULL DEFAULT false,
    restriction_version bigint NOT NULL DEFAULT 0
)
""",
    """
CREATE TABLE contact (
    customer_id text NOT NULL,
    field text NOT NULL,
    value text,
    told_at timestamptz NOT NULL,
    source text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (customer_id, field)
)
""",
    """
CREATE TABLE consent (
    customer_id text NOT NULL,
    purpose text NOT NULL,
    channel text NOT NULL,
    state text NOT NULL,
    version bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, purpose, channel)
)
""",
    """
CREATE TABLE shop_order (
    order_id text PRIMARY KEY,
    customer_id text NOT NULL,
    revision bigint NOT NULL,
    store text NOT NULL,
    cancelled boolean NOT NULL,
    shipped jsonb NOT NULL,
    contact jsonb
)
""",
    "CREATE INDEX shop_order_customer_id ON shop_order (customer_id)",
    """
CREATE TABLE notice (
    id uuid PRIMARY KEY,
    customer_id text,
    kind text NOT NULL,
    channel text NOT NULL,
    order_id text,
    store text NOT NULL,
    state text NOT NULL,
    reason text,
    event_time timestamptz NOT NULL,
    cause_source text,
    cause_id text,
    content jsonb,
    traceparent text NOT NULL,
    due_at timestamptz NOT NULL,
    lease uuid,
    attempts integer NOT NULL DEFAULT 0,
    template text,
    template_version text,
    locale text,
    address text,
    message_id text,
    decision jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz
)
""",
    "CREATE INDEX notice_due ON notice (due_at) WHERE state IN ('created', 'leased')",
    "CREATE INDEX notice_handed_over ON notice (due_at) WHERE state = 'handed_over'",
    "CREATE INDEX notice_customer ON notice (customer_id, event_time, id)",
    "CREATE INDEX notice_order ON notice (order_id)",
    "CREATE INDEX notice_cause ON notice (cause_id, cause_source)",
    """
CREATE TABLE attempt (
    notice_id uuid NOT NULL,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    provider text NOT NULL,
    outcome text NOT NULL,
    code text NOT NULL,
    took_ms integer,
    PRIMARY KEY (notice_id, number)
)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
