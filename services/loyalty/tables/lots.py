"""Dated points: what each earning left to spend, and until when."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Table, Text, Uuid, text

from services.loyalty.tables.metadata import METADATA

# Each point that went in is in one of the five shares. The index by account stands in the order
# in which lots are spent; that by date serves the jobs, and holds only what can still expire.
LOT = Table(
    "lot",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("source", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("earned_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("points", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),
    Column("taken_back", BigInteger, nullable=False),
    CheckConstraint(
        "remaining >= 0 AND reserved >= 0 AND used >= 0 AND expired >= 0 AND taken_back >= 0"
        " AND remaining + reserved + used + expired + taken_back = points",
        name="lot_is_whole",
    ),
    Index("lot_document", "document", "source"),
    Index(
        "lot_spendable",
        *("account_id", "expires_at", "earned_at", "id"),
        postgresql_where=text("remaining > 0"),
    ),
    Index(
        "lot_expiry",
        *("expires_at", "account_id"),
        postgresql_where=text("remaining > 0 AND expires_at IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "80"},
)

# How far each sweep over the lots has come: warnings, by the days ahead.
SWEEP = Table(
    "sweep",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False),
    Column("account_id", Uuid, nullable=False),
)
