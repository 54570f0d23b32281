"""The books, and whose account it is."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.loyalty.tables.metadata import METADATA

# The one link between a person and the books. The account's id is drawn at random, so that
# nothing leads back from it once this row is gone.
MEMBER = Table(
    "member",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("account_id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    Column("joined_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    UniqueConstraint("account_id"),
)

# The ledger's sums for each account, kept with it; `version` counts the account's journals.
BALANCE = Table(
    "balance",
    METADATA,
    Column("account_id", Uuid, primary_key=True),
    Column("pending", BigInteger, nullable=False, server_default=text("0")),
    Column("active", BigInteger, nullable=False, server_default=text("0")),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    Column("owed", BigInteger, nullable=False, server_default=text("0")),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint(
        "pending >= 0 AND active >= 0 AND reserved >= 0 AND owed >= 0",
        name="balance_not_below_zero",
    ),
    postgresql_with={"fillfactor": "70"},
)

# Append-only: the service's own role may not update or delete. The id is derived from the
# business key and led by the event's time (`ledger.journal_id`).
JOURNAL = Table(
    "journal",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("source", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("event_time", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("cause_source", Text, nullable=False),
    Column("cause_id", Text, nullable=False),
    Column("cause_topic", Text, nullable=False),
    Column("cause_partition", Integer, nullable=False),
    Column("cause_offset", BigInteger, nullable=False),
    Column("store", Text, nullable=False, server_default=text("''")),
    # Null in journals from before there were accounting dates: they are the first opening balance.
    Column("accounting_date", Date),
    Column("refers_to", Date),  # the closed month that it came too late for
    # The business key, unique for ever; it leads with what a reader asks for.
    UniqueConstraint("document", "source", "revision", "kind", name="journal_business_key"),
    Index("journal_account", "account_id", "id"),
    Index("journal_cause", "cause_id", "cause_source"),
    Index("journal_accounting", "accounting_date", "id"),
)

# Append-only. `account_id` is the member's on either side; a programme's account needs no id.
# `debit` and `credit` are `ledger.AccountKind`. Columns stand in the order that packs best.
POSTING = Table(
    "posting",
    METADATA,
    Column("journal_id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("position", Integer, primary_key=True),
    Column("debit", SmallInteger, nullable=False),
    Column("credit", SmallInteger, nullable=False),
    Column("line", Text, nullable=False),
    Column("lot_id", Uuid),
    CheckConstraint("points > 0", name="posting_moves_points"),
    CheckConstraint("debit <> credit", name="posting_has_two_sides"),
)

# Journals in no block yet. Written with the journal, so that what is sealed is committed.
UNSEALED = Table("unsealed", METADATA, Column("journal_id", Uuid, primary_key=True))

# Append-only: the chain (`chain.py`), a row for each block.
SEAL = Table(
    "seal",
    METADATA,
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("sealed_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("previous", LargeBinary, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("journal_ids", ARRAY(Uuid), nullable=False),
)
