"""The tables of profile. Every row belongs to the id that carried the events.

A merge moves nothing: people are joined when read, by way of the backbone's `alias`.
"""

from typing import Any

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
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()


def _at(name: str, *, null: bool = False, key: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=null, primary_key=key)


def _count(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _json(name: str) -> Column[Any]:
    return Column(name, JSONB, nullable=False, server_default=text("'{}'"))


# Updated in place by nearly every batch and indexed by its key alone: room for the next
# version on the same page keeps these updates out of the index.
PROFILE = Table(
    "profile",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    _json("attributes"),  # name -> value; the shop's own as `custom.<name>`
    _json("stamps"),  # name -> [time, source, id] of the event that told the value
    _count("orders"),
    _count("units"),
    _count("spend_minor"),
    _count("placed_orders"),
    _count("placed_minor"),
    _count("orders_left_out"),
    _at("first_order_at", null=True),
    _at("last_order_at", null=True),
    _json("browse"),  # event type -> count
    _at("first_seen_at", null=True),
    _at("last_seen_at", null=True),
    _at("erasing_until", null=True),  # asked for, and not yet carried out
    postgresql_with={"fillfactor": "80"},
)

# The last revision seen of each order, and what of it counts.
ORDER_STATE = Table(
    "order_state",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    _at("time"),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("test", Boolean, nullable=False),
    _at("placed_at"),
    Column("pieces", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("kept_minor", BigInteger, nullable=False),
    Column("base_total_minor", BigInteger),  # null: left out of money
    Column("base_kept_minor", BigInteger),
    Column("standing", Boolean, nullable=False),
    Index("order_state_customer", "customer_id", "placed_at"),
    postgresql_with={"fillfactor": "80"},
)

TIMELINE = Table(
    "timeline",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    _at("time", key=True),
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("summary", JSONB, nullable=False),
    Index("timeline_id", "id", postgresql_using="hash"),  # a third of a B-tree's size
)

# The present answer for each purpose and channel; the timeline has how it came about.
CONSENT = Table(
    "consent",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("text_version", Text, nullable=False),
    Column("origin", Text, nullable=False),
    _at("at"),
    _at("time"),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
)

# The journal: who was said to be whom, and when.
IDENTITY_LINK = Table(
    "identity_link",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("member_id", Text, nullable=False),
    Column("other_id", Text, nullable=False),
    Column("kind", Text, nullable=False),  # identified, merged, unmerged
    _at("time"),
    Column("refused", Boolean, nullable=False),
    Index("identity_link_member", "member_id", "time"),
    Index("identity_link_other", "other_id", "time"),
)

# Where each id belongs that is not the root of its person, or was parted on purpose.
IDENTITY = Table(
    "identity",
    METADATA,
    Column("member_id", Text, primary_key=True),
    Column("home_id", Text),  # null: parted, a person of its own
    Column("decided", Boolean, nullable=False),
    _at("time"),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Index("identity_home", "home_id"),
)

# No customer id here: this outlives the person.
ERASURE_REQUEST = Table(
    "erasure_request",
    METADATA,
    Column("request_id", Text, primary_key=True),
    _at("requested_at"),
    _at("deadline"),
    Column("members", Integer, nullable=False),
)

ERASURE_RECEIPT = Table(
    "erasure_receipt",
    METADATA,
    Column("request_id", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),  # one from each service for each member
    _at("completed_at"),
    Column("erased", JSONB, nullable=False),
    Column("gone_by", JSONB, nullable=False),
)
