"""What offers and coupons cost, for finance and marketers."""

from sqlalchemy import BigInteger, Column, Date, Index, Table, Text

from services.loyalty.tables.metadata import METADATA

# One for each offer, and each coupon's reward, of an order that is paid: what remains of it by
# the order's newest revision. It names no customer.
PROMOTION_COST = Table(
    "promotion_cost",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("promotion_id", Text, primary_key=True),
    Column("day", Date, nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
    Column("gifts", BigInteger, nullable=False),
    Column("gifts_minor", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Index("promotion_cost_day", "day"),
)
