"""The catalogue, histories, orders seen, popularity, and what is bought together."""

from alembic import op

revision = "recommend_0001"
down_revision = None
branch_labels = ("recommend",)
depends_on = "backbone_0001"

STATEMENTS = (
    """
CREATE TABLE product (
    product_id text PRIMARY KEY,
    kind text NOT NULL,
    withdrawn boolean NOT NULL,
    name text NOT NULL,
    category text[] NOT NULL,
    brand text NOT NULL,
    url text NOT NULL,
    image_url text NOT NULL,
    attributes jsonb NOT NULL,
    variants jsonb NOT NULL,
    skus text[] NOT NULL,
    stores text[] NOT NULL,
    published_at timestamptz,
    changed_at timestamptz NOT NULL,
    source text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL
)
""",
    "CREATE INDEX product_event ON product (event_id)",
    """
CREATE TABLE offer (
    sku text NOT NULL,
    store text NOT NULL,
    product_id text,
    currency text NOT NULL,
    price_minor bigint NOT NULL,
    list_price_minor bigint,
    stock int,
    on_sale_from timestamptz,
    on_sale_until timestamptz,
    withdrawn boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    source text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (sku, store)
) WITH (fillfactor = 80)
""",
    "CREATE INDEX offer_product ON offer (product_id) WHERE product_id IS NOT NULL",
    "CREATE INDEX offer_event ON offer (event_id)",
    """
CREATE TABLE history (
    customer_id text PRIMARY KEY,
    interactions text NOT NULL
) WITH (fillfactor = 70)
""",
    """
CREATE TABLE order_seen (
    order_id text PRIMARY KEY,
    customer_id text NOT NULL,
    revision bigint NOT NULL,
    bought_at timestamptz NOT NULL,
    products text[] NOT NULL,
    units int[] NOT NULL,
    skus text[] NOT NULL,
    changed_at timestamptz NOT NULL,
    source text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL
) WITH (fillfactor = 80)
""",
    "CREATE INDEX order_seen_customer ON order_seen (customer_id, bought_at DESC)",
    "CREATE INDEX order_seen_event ON order_seen (event_id)",
    """
CREATE TABLE purchase (
    product_id text NOT NULL,
    bought_at timestamptz NOT NULL,
    order_id text NOT NULL,
    PRIMARY KEY (product_id, bought_at, order_id)
)
""",
    """
CREATE TABLE popularity (
    product_id text PRIMARY KEY,
    orders int NOT NULL,
    units bigint NOT NULL,
    views bigint NOT NULL,
    changes bigint NOT NULL,
    stale_since timestamptz
) WITH (fillfactor = 70)
""",
    "CREATE INDEX popularity_top ON popularity (orders DESC, views DESC, product_id)",
    "CREATE INDEX popularity_stale ON popularity (stale_since) WHERE stale_since IS NOT NULL",
    """
CREATE TABLE also_bought (
    product_id text PRIMARY KEY,
    others text[] NOT NULL,
    orders int[] NOT NULL,
    scores real[] NOT NULL,
    built_at timestamptz NOT NULL
)
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
