"""crm.ledger.v1 (compacted, key block): the heads of the chain over loyalty's books.

Each block has a key of its own, so compaction keeps every head for ever: outside the
database, where who changes the books behind the service's back does not reach.
"""

from typing import Annotated

from pydantic import Field

from shared.events.envelope import Fact
from shared.events.fields import Count

TOPIC = "crm.ledger.v1"

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""SHA-256, in hexadecimal."""


class LedgerSealed(Fact, use_attribute_docstrings=True):
    """So many journals are sealed in a block; what is sealed can not be changed unseen."""

    block: Annotated[int, Field(ge=1, le=2**53 - 1)]
    """1, 2, 3, ...: no block is left out."""
    previous: Digest
    """The head of the block before; zeros for the first."""
    head: Digest
    """SHA-256 over `previous`, the block's number and its journals' digests."""
    journals: Count


TYPES: dict[str, type[Fact]] = {"ledger.sealed": LedgerSealed}
