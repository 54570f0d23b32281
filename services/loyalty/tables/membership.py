"""Who is a member, by which ids, cards and payments.

What hangs on an `account_id` names nobody once the member's row is gone. Bindings and
waiting orders name the customer, and are deleted with him.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.loyalty.tables.metadata import METADATA


def _at(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()"))


# From joining to leaving; `membership.Stay`.
MEMBERSHIP = Table(
    "membership",
    METADATA,
    Column("account_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    _at("joined_at"),
    _at("credits_from"),
    Column("terms_version", Text, nullable=False),
    Column("channel", Text, nullable=False),
    _at("accepted_at"),
    _at("asked_at", nullable=True),
    _at("leaves_at", nullable=True),
    _at("forfeited_at", nullable=True),
    # Who leaves, and has points to forfeit.
    Index(
        "membership_leaving",
        "leaves_at",
        postgresql_where=text("leaves_at IS NOT NULL AND forfeited_at IS NULL"),
    ),
)

# Paid orders of who was no member: each at the last revision seen, until its buyer joins or the
# days that joining credits are over.
WAITING_ORDER = Table(
    "waiting_order",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    _at("paid_at"),
    Column("revision", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("event_source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    _at("event_time"),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("snapshot", JSONB, nullable=False),
    Index("waiting_order_customer", "customer_id"),
    Index("waiting_order_paid_at", "paid_at"),
)

# Whom an external id stands for; the issuer is part of the identity.
BINDING = Table(
    "binding",
    METADATA,
    Column("value", Text, primary_key=True),
    Column("issuer", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    _now("bound_at"),
    Index("binding_customer", "customer_id"),
)

# A number is never drawn twice while its card is known; a dead card stays, so that it is named.
CARD = Table(
    "card",
    METADATA,
    Column("number", Text, primary_key=True),
    Column("handle", Text, nullable=False),
    Column("account_id", Uuid, nullable=False),
    _now("drawn_at"),
    _at("dead_at", nullable=True),
    UniqueConstraint("handle", name="card_handle"),
    Index("card_of_account", "account_id"),
    Index("card_live", "account_id", unique=True, postgresql_where=text("dead_at IS NULL")),
)

# Append-only: what was paid for, for ever under the id of its document.
PAID_TERM = Table(
    "paid_term",
    METADATA,
    Column("document_id", Text, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("plan_version", Integer, nullable=False),
    Column("tier", Text, nullable=False),
    Column("benefits", JSONB, nullable=False),
    Column("grace_days", Integer, nullable=False),
    Column("paid_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("anchor", Date, nullable=False),
    Column("months_before", Integer, nullable=False),
    Column("months", Integer, nullable=False),
    _at("bought_at"),
    _at("starts_at"),
    _at("ends_at"),
    _now("recorded_at"),
    CheckConstraint("paid_minor >= 0", name="paid_term_is_not_below_zero"),
    CheckConstraint("starts_at < ends_at", name="paid_term_has_a_length"),
    Index("paid_term_account", "account_id"),
)

# Append-only: one for each term at most.
TERM_REFUND = Table(
    "term_refund",
    METADATA,
    Column("document_id", Text, primary_key=True),
    Column("term_document_id", Text, nullable=False),
    _at("refunded_at"),
    Column("days_unused", Integer, nullable=False),
    Column("days", Integer, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    _now("recorded_at"),
    UniqueConstraint("term_document_id", name="term_refund_once"),
    CheckConstraint("amount_minor >= 0", name="term_refund_is_not_below_zero"),
)
