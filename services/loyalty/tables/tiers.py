"""What counts for a tier, which tier each account has, and how it came to that."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
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

# One row for each business day on which an account bought something that still counts, or did.
QUALIFYING = Table(
    "qualifying",
    METADATA,
    Column("account_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("orders", Integer, nullable=False),
    Column("spend_minor", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    CheckConstraint(
        "spend_minor >= 0 AND orders >= 0 AND points >= 0", name="qualifying_not_below_zero"
    ),
    postgresql_with={"fillfactor": "70"},
)

# The tier that was told, and from where it is brought further; `of_version` is that of the
# person's membership for which it was made. `earned_tier` null: it has to be made anew.
STANDING = Table(
    "standing",
    METADATA,
    Column("account_id", Uuid, primary_key=True),
    Column("tier", Text, nullable=False, server_default=""),
    Column("since", DateTime(timezone=True)),
    Column("valid_until", DateTime(timezone=True)),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("as_of", DateTime(timezone=True)),
    Column("brought_to", Date),  # the business day of `as_of`
    Column("earned_tier", Text),
    Column("period_from", Date),
    Column("held", Text, nullable=False, server_default=""),
    Column("held_until", Date),
    Column("of_version", BigInteger, nullable=False, server_default=text("0")),
    Column("due_at", DateTime(timezone=True)),
    Column("joined_on", Date),
    Column("grants", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    # Who can lose nothing by time alone has no due time, and no entry.
    Index("standing_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    postgresql_with={"fillfactor": "70"},
)

# Append-only: every tier that was told, and why.
TIER_HISTORY = Table(
    "tier_history",
    METADATA,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("tier", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("valid_until", DateTime(timezone=True)),
    Column("qualifying", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Column("cause_source", Text, nullable=False),
    Column("cause_id", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    UniqueConstraint("account_id", "version"),
    Index("tier_history_account", "account_id", "seq"),
)
