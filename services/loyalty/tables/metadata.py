"""What all of loyalty's tables are registered with."""

from sqlalchemy import MetaData

METADATA = MetaData()
