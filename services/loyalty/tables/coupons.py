"""Rewards in members' hands: their coupons, what is left of each reward, the shop's own codes."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.loyalty.tables.metadata import METADATA

# A code is as good as money, and is still kept as it is shown, because its owner must be able
# to see it again. It is found by `digest` alone, the SHA-256 of its normal form: so however it is
# typed it is one key of 32 bytes, statements and plans hold no code, and when the code is deleted
# (void, erased) the digest still keeps it from being good a second time. The digest has no key:
# our codes have 75 random bits, which nobody tries out, and what it would hide in this table
# stands beside it.
COUPON = Table(
    "coupon",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Text),  # null: erased
    Column("reward_id", Text, nullable=False),
    Column("reward_version", Integer, nullable=False),
    Column("issued_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("state", Text, nullable=False),
    Column("code", Text),
    Column("digest", LargeBinary),
    Column("points", BigInteger, nullable=False),
    Column("parts", JSONB, nullable=False),  # [[lot_id, points], ...]
    Column("order_id", Text),
    Column("reserved_until", DateTime(timezone=True)),
    Column("step", Integer, nullable=False),
    CheckConstraint("state IN ('issued', 'reserved', 'used', 'void')", name="coupon_state"),
    UniqueConstraint("digest", name="coupon_digest"),
    Index("coupon_owner", "customer_id", "issued_at", "id"),
    Index("coupon_got", "customer_id", "reward_id", "issued_at"),
    Index("coupon_order", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    postgresql_with={"fillfactor": "80"},
)

# Append-only: each step of a coupon, and what was refused to an order that had it.
COUPON_STEP = Table(
    "coupon_step",
    METADATA,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("coupon_id", Uuid, nullable=False),
    Column("step", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("refused", Text),
    Column("order_id", Text),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("cause_source", Text, nullable=False),
    Column("cause_id", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Index("coupon_step_coupon", "coupon_id", "seq"),
)

# How many of a reward with a stock have been issued and not made void. Shared by all members:
# locked last.
REWARD_STOCK = Table(
    "reward_stock",
    METADATA,
    Column("reward_id", Text, primary_key=True),
    Column("issued", BigInteger, nullable=False),
    CheckConstraint("issued >= 0", name="reward_stock_not_below_zero"),
    postgresql_with={"fillfactor": "50"},
)

# Codes of the shop's own. One that was taken leaves its digest, so that it is never taken twice.
CODE_POOL = Table(
    "code_pool",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("reward_id", Text, nullable=False),
    Column("code", Text),  # null: taken
    Index("code_pool_free", "reward_id", "digest", postgresql_where=text("code IS NOT NULL")),
)
