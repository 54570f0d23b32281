"""Who invited whom, what of it was awarded, and what that is judged by."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)

from services.loyalty.tables.metadata import METADATA

# One for each friend. Codes are kept as SHA-256 digests: whoever reads the table can use none.
REFERRAL = Table(
    "referral",
    METADATA,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("customer_id", Text),  # the friend; null: erased
    Column("referrer_id", Text),
    Column("code", LargeBinary),
    Column("store", Text, nullable=False, server_default=text("''")),
    Column("invited_at", DateTime(timezone=True)),
    Column("registered_at", DateTime(timezone=True)),
    Column("state", Text, nullable=False, server_default=text("'invited'")),
    Column("reason", Text, nullable=False, server_default=text("'not_registered'")),
    Column("order_id", Text, nullable=False, server_default=text("''")),
    Column("qualified_at", DateTime(timezone=True)),
    Column("referrer_points", BigInteger, nullable=False, server_default=text("0")),
    Column("friend_points", BigInteger, nullable=False, server_default=text("0")),
    Column("step", Integer, nullable=False, server_default=text("0")),
    Column("hold", Text, nullable=False, server_default=text("''")),
    Column("forgotten", Boolean, nullable=False, server_default=text("false")),
    Index("referral_customer", "customer_id", unique=True),
    Index("referral_referrer", "referrer_id"),
    Index("referral_code", "code"),
)

# A member's own code is one without a referral_id.
INVITATION = Table(
    "invitation",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("referral_id", Text, primary_key=True),
    Column("code", LargeBinary),
    Column("invited_id", Text),
    Column("invited_at", DateTime(timezone=True), nullable=False),
    Index("invitation_code", "code"),
    Index("invitation_invited", "invited_id"),
)

REFERRAL_ORDER = Table(
    "referral_order",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("placed_at", DateTime(timezone=True), nullable=False),
    Column("told_at", DateTime(timezone=True), nullable=False),
    Column("store", Text, nullable=False),
    Column("paid", Boolean, nullable=False),
    Column("net_minor", BigInteger, nullable=False),
    Column("arrived", Boolean, nullable=False),
    Index("referral_order_customer", "customer_id"),
)

REFERRAL_SIGNAL = Table(
    "referral_signal",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)

# Whose referral is to be judged anew, by a job; `wide`: also those of whom he invited.
REFERRAL_DUE = Table(
    "referral_due",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("wide", Boolean, nullable=False),
    Index("referral_due_first", "due_at"),
)
