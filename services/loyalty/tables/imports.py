"""What was brought from elsewhere: a row for each file, and for each of its rows."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.loyalty.tables.metadata import METADATA

# `row_done` moves with the rows' effects, so a run that was killed goes on after it; `row_back`
# does the same for a reversal. A file is brought once, unless that was reversed.
IMPORT_BATCH = Table(
    "import_batch",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("terms", LargeBinary, nullable=False),  # the digest of how it was read
    Column("state", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("customers", BigInteger, nullable=False),
    Column("rows_left_out", BigInteger, nullable=False),
    Column("row_done", BigInteger, nullable=False, server_default=text("0")),
    Column("row_back", BigInteger, nullable=False, server_default=text("0")),
    Column("at", DateTime(timezone=True), nullable=False),  # the business time of the opening
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("created_by", Text, nullable=False),
    Column("settled_at", DateTime(timezone=True)),
    Column("minor", BigInteger, nullable=False, server_default=text("0")),
    Index(
        "import_batch_once",
        "digest",
        unique=True,
        postgresql_where=text("state <> 'reversed'"),
    ),
)

# What became of a row: the lot or the order line, and the points that it brought into the books;
# of what is no points the detail, with the money that it adds to the control total in `minor`.
IMPORT_ROW = Table(
    "import_row",
    METADATA,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", Uuid, nullable=False),
    Column("lot_id", Uuid),
    Column("points", BigInteger, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("line_id", Text, nullable=False),
    Column("note", Text, nullable=False),  # what the other system wrote beside it: erasable
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    Index("import_row_note", "account_id", postgresql_where=text("note <> ''")),
)
