"""What offers and coupons cost on each order.

Offers that were counted before are there at once, as they were claimed. Coupons come with
the next event of an order that has used them.
"""

from alembic import op

revision = "loyalty_0130"
down_revision = "loyalty_0120"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
CREATE TABLE promotion_cost (
    order_id text NOT NULL,
    kind text NOT NULL,
    promotion_id text NOT NULL,
    day date NOT NULL,
    uses bigint NOT NULL,
    discount_minor bigint NOT NULL,
    gifts bigint NOT NULL,
    gifts_minor bigint NOT NULL,
    points bigint NOT NULL,
    PRIMARY KEY (order_id, kind, promotion_id)
)
""",
    """
INSERT INTO promotion_cost (order_id, kind, promotion_id, day, uses, discount_minor, gifts,
    gifts_minor, points)
SELECT order_id, 'offer', one ->> 'offer_id', (claimed_at AT TIME ZONE 'UTC')::date, 1,
    (one ->> 'discount_minor')::bigint, coalesce((one -> 'gift' ->> 'times')::bigint, 0),
    (one ->> 'cost_minor')::bigint - (one ->> 'discount_minor')::bigint, 0
FROM offer_claim CROSS JOIN jsonb_array_elements(given) AS one
WHERE state = 'counted'
""",
    "CREATE INDEX promotion_cost_day ON promotion_cost (day)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("forward only: restore the backup that was taken before the upgrade")
