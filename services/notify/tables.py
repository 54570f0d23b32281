"""notify's tables. Migrations are checked against this."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()


def _at(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


# The first lock of every transaction about a customer; a row for each id that was told of.
CUSTOMER = Table(
    "customer",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("restricted", Boolean, nullable=False, server_default=text("false")),
    Column("restriction_version", BigInteger, nullable=False, server_default=text("0")),
)

# Where to reach a customer and how to address him: the newest by (told_at, source, event_id).
# Both names are compared as Python compares them, hence the collation.
CONTACT = Table(
    "contact",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("field", Text, primary_key=True),  # email, sms, name, locale
    Column("value", Text),  # null: cleared
    _at("told_at"),
    Column("source", Text(collation="C"), nullable=False),
    Column("event_id", Text(collation="C"), nullable=False),
)

CONSENT = Table(
    "consent",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("state", Text, nullable=False),  # granted, pending, withdrawn
    Column("version", BigInteger, nullable=False),
    _at("at"),
)

# An order's last revision, as far as a notice needs it.
SHOP_ORDER = Table(
    "shop_order",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("store", Text, nullable=False),
    Column("cancelled", Boolean, nullable=False),  # all of it
    Column("shipped", JSONB, nullable=False),  # {line_id: pieces}
    Column("contact", JSONB),  # {email, name, locale}: who is told about this order
    Index("shop_order_customer_id", "customer_id"),
)

# One message to one person. The row stays for ever, for its id is what keeps the message
# from going out again; an erasure takes out everything that names anybody.
NOTICE = Table(
    "notice",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Text),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("order_id", Text),
    Column("store", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),  # of a suppressed or failed one
    _at("event_time"),
    Column("cause_source", Text),
    Column("cause_id", Text),
    Column("content", JSONB),  # what the template is given; null: suppressed from the start
    Column("traceparent", Text, nullable=False),
    # When a sender may take it; of one that is leased or handed over, when that ends. By
    # PostgreSQL's clock, which all senders share.
    _at("due_at"),
    Column("lease", Uuid),  # which sender's claim it is
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Written at hand-over: the text, the way, and what the decision looked at.
    Column("template", Text),
    Column("template_version", Text),
    Column("locale", Text),
    Column("address", Text),
    Column("message_id", Text),
    Column("decision", JSONB),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _at("settled_at", nullable=True),
    Index("notice_due", "due_at", postgresql_where=text("state IN ('created', 'leased')")),
    Index("notice_handed_over", "due_at", postgresql_where=text("state = 'handed_over'")),
    Index("notice_customer", "customer_id", "event_time", "id"),
    Index("notice_order", "order_id"),
    Index("notice_cause", "cause_id", "cause_source"),
)

# One try to hand a notice over. No address and no text of a provider, which may quote one.
ATTEMPT = Table(
    "attempt",
    METADATA,
    Column("notice_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    _at("at"),
    Column("provider", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # accepted, refused, postponed, unknown, failed
    Column("code", Text, nullable=False),  # such as 451 4.3.0, or what kind of failure
    Column("took_ms", Integer),
)
