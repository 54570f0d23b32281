"""Profile's first schema: see `tables.py` for what each table is for."""

from alembic import op

revision = "profile_0001"
down_revision = None
branch_labels = ("profile",)
depends_on = "backbone_0001"

STATEMENTS = (
    """
CREATE TABLE profile (
    customer_id TEXT NOT NULL,
    attributes JSONB DEFAULT '{}' NOT NULL,
    stamps JSONB DEFAULT '{}' NOT NULL,
    orders BIGINT DEFAULT 0 NOT NULL,
    units BIGINT DEFAULT 0 NOT NULL,
    spend_minor BIGINT DEFAULT 0 NOT NULL,
    placed_orders BIGINT DEFAULT 0 NOT NULL,
    placed_minor BIGINT DEFAULT 0 NOT NULL,
    orders_left_out BIGINT DEFAULT 0 NOT NULL,
    first_order_at TIMESTAMP WITH TIME ZONE,
    last_order_at TIMESTAMP WITH TIME ZONE,
    browse JSONB DEFAULT '{}' NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE,
    last_seen_at TIMESTAMP WITH TIME ZONE,
    erasing_until TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (customer_id)
) WITH (fillfactor = 80)
""",
    """
CREATE TABLE order_state (
    order_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    type TEXT NOT NULL,
    time TIMESTAMP WITH TIME ZONE NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    store TEXT NOT NULL,
    channel TEXT NOT NULL,
    currency TEXT NOT NULL,
    test BOOLEAN NOT NULL,
    placed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    pieces BIGINT NOT NULL,
    units BIGINT NOT NULL,
    total_minor BIGINT NOT NULL,
    kept_minor BIGINT NOT NULL,
    base_total_minor BIGINT,
    base_kept_minor BIGINT,
    standing BOOLEAN NOT NULL,
    PRIMARY KEY (order_id, customer_id)
) WITH (fillfactor = 80)
""",
    "CREATE INDEX order_state_customer ON order_state (customer_id, placed_at)",
    """
CREATE TABLE timeline (
    customer_id TEXT NOT NULL,
    time TIMESTAMP WITH TIME ZONE NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    topic TEXT NOT NULL,
    summary JSONB NOT NULL,
    PRIMARY KEY (customer_id, time, source, id)
)
""",
    "CREATE INDEX timeline_id ON timeline USING hash (id)",
    """
CREATE TABLE consent (
    customer_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    channel TEXT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    text_version TEXT NOT NULL,
    origin TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    time TIMESTAMP WITH TIME ZONE NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (customer_id, purpose, channel)
)
""",
    """
CREATE TABLE identity_link (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    member_id TEXT NOT NULL,
    other_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    time TIMESTAMP WITH TIME ZONE NOT NULL,
    refused BOOLEAN NOT NULL,
    PRIMARY KEY (source, id)
)
""",
    "CREATE INDEX identity_link_member ON identity_link (member_id, time)",
    "CREATE INDEX identity_link_other ON identity_link (other_id, time)",
    """
CREATE TABLE identity (
    member_id TEXT NOT NULL,
    home_id TEXT,
    decided BOOLEAN NOT NULL,
    time TIMESTAMP WITH TIME ZONE NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (member_id)
)
""",
    "CREATE INDEX identity_home ON identity (home_id)",
    """
CREATE TABLE erasure_request (
    request_id TEXT NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deadline TIMESTAMP WITH TIME ZONE NOT NULL,
    members INTEGER NOT NULL,
    PRIMARY KEY (request_id)
)
""",
    """
CREATE TABLE erasure_receipt (
    request_id TEXT NOT NULL,
    service TEXT NOT NULL,
    event_id TEXT NOT NULL,
    completed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    erased JSONB NOT NULL,
    gone_by JSONB NOT NULL,
    PRIMARY KEY (request_id, service, event_id)
)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
