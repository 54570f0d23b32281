"""What members have besides points, as another system's file says it: tiers so far. Pure.

A tier comes with its last day, and what counted towards the next one day by day.
"""

from dataclasses import dataclass
from datetime import date, datetime

from services.loyalty.import_fields import ID_MAX, Fields
from services.loyalty.ledger import POINTS_MAX
from services.loyalty.tiers import Bucket

MONEY_MAX = 10**15
ORDERS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class TierRow:
    """A tier that a customer has, what one day of his counts for, or both."""

    row: int
    customer_id: str
    tier: str
    """Its code in our plan; empty: the row only counts."""
    valid_until: datetime | None
    """The first moment without it; None: for ever."""
    counted_on: date | None
    counts: Bucket
    store: str

    @property
    def identity(self) -> str:
        """A customer's day is counted once, and he has one tier without a day."""
        return f"{self.customer_id}\x1f{self.counted_on or ''}"

    @property
    def minor(self) -> int:
        """For the control total: money in minor units of the base currency."""
        return self.counts.spend_minor


def read_tier(taken: Fields) -> TierRow:
    """A row of a file of tiers."""
    customer_id, store = taken.customer(), taken.store()
    tier = taken.text("tier")[:ID_MAX]
    counts = Bucket(
        taken.number_or_zero("spend_minor", MONEY_MAX),
        taken.number_or_zero("orders", ORDERS_MAX),
        taken.number_or_zero("counted_points", POINTS_MAX),
    )
    if not tier and not any(counts):
        taken.wrong("tier", "is empty, and nothing counts; give one of both, or leave the row out")
    counted_on = taken.past_day("counted_on", store) if any(counts) else None
    return TierRow(
        row=taken.row,
        customer_id=customer_id,
        tier=tier,
        valid_until=taken.future("valid_until", store) if tier else None,
        counted_on=counted_on,
        counts=counts,
        store=store,
    )
