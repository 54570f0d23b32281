"""What members have besides points, as another system's file says it. Pure.

A tier comes with its last day, and what counted towards the next one day by day. A coupon
keeps its code and its expiry, and is worth what a version of its reward says. A paid
membership comes as the term that runs, with its days and what was paid for it.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.loyalty.arrivals.import_fields import ID_MAX, Fields
from services.loyalty.benefits import codes
from services.loyalty.benefits.rewards import Reward
from services.loyalty.books.ledger import POINTS_MAX
from services.loyalty.levels.tiers import Bucket

MONEY_MAX = 10**15
ORDERS_MAX = 1_000_000
PERCENT_MAX = 100


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

    @property
    def since(self) -> datetime | None:
        """From when on the customer had it; None: the file does not say."""
        return None


@dataclass(frozen=True, slots=True)
class CouponRow:
    """A coupon that a customer can still use."""

    row: int
    customer_id: str
    reward_id: str
    code: str
    """As the other system shows it."""
    issued_at: datetime | None
    expires_at: datetime | None
    """The first moment at which it is not good; None: never."""
    value_minor: int | None
    percent: int | None
    store: str

    @property
    def digest(self) -> bytes:
        return codes.digest(self.code)

    @property
    def identity(self) -> str:
        return self.digest.hex()

    @property
    def minor(self) -> int:
        """For the control total: what it takes off, in minor units of the base currency."""
        return self.value_minor or 0

    @property
    def since(self) -> datetime | None:
        return self.issued_at

    def fits(self, reward: Reward) -> bool:
        """Whether the reward is worth what the file says of the coupon."""
        return self.value_minor in {None, reward.value_minor} and (
            self.percent in {None, reward.percent}
        )


@dataclass(frozen=True, slots=True)
class TermRow:
    """A term of a paid membership that is not over."""

    row: int
    customer_id: str
    plan_id: str
    document_id: str
    first_day: date
    end_day: date
    """The first day that is not paid for."""
    paid_minor: int
    bought_at: datetime | None
    zone: str
    """In which its days begin."""
    store: str

    @property
    def identity(self) -> str:
        return self.document_id

    @property
    def minor(self) -> int:
        """For the control total: what was paid, in minor units of the plan's currency."""
        return self.paid_minor

    @property
    def since(self) -> datetime | None:
        return self.bought_at


Benefit = TierRow | CouponRow | TermRow


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


def read_coupon(taken: Fields) -> CouponRow:
    """A row of a file of coupons. A fault never repeats a code, which is as good as money."""
    customer_id, store = taken.customer(), taken.store()
    code = taken.text("code")
    if not codes.is_acceptable(code):
        what = f"is none; give 1 to {codes.TYPED_MAX} characters that can be typed"
        taken.wrong("code", what)
    worth = {
        name: taken.number(name, most) if taken.text(name) else None
        for name, most in (("value_minor", MONEY_MAX), ("percent", PERCENT_MAX))
    }
    return CouponRow(
        row=taken.row,
        customer_id=customer_id,
        reward_id=taken.id("reward_id"),
        code=code,
        issued_at=taken.past("issued_at", store) if taken.text("issued_at") else None,
        expires_at=taken.future("expires_at", store),
        value_minor=worth["value_minor"],
        percent=worth["percent"],
        store=store,
    )


def read_term(taken: Fields) -> TermRow:
    """A row of a file of paid memberships."""
    customer_id, store = taken.customer(), taken.store()
    zone = taken.terms.mapping.zone or taken.terms.stores.get(store).zone
    starts_at = taken.moment("starts_at", store)
    ends_at = taken.future("paid_until", store)
    if not taken.text("paid_until"):
        taken.wrong("paid_until", "is empty; give the last day that is paid for")
    if ends_at and ends_at <= starts_at:
        taken.wrong("paid_until", "is before starts_at")
    first_day = starts_at.astimezone(ZoneInfo(zone)).date()
    last = (ends_at or starts_at + timedelta(1)) - timedelta.resolution
    return TermRow(
        row=taken.row,
        customer_id=customer_id,
        plan_id=taken.id("plan_id"),
        document_id=taken.id("document_id"),
        first_day=first_day,
        end_day=last.astimezone(ZoneInfo(zone)).date() + timedelta(1),
        paid_minor=taken.number("paid_minor", MONEY_MAX),
        bought_at=taken.past("bought_at", store) if taken.text("bought_at") else None,
        zone=zone,
        store=store,
    )
