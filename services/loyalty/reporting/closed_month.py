"""A month's statement as it is kept, told and digested. Pure.

It says everything that its figures depend on: the point's value and the policy's version,
the redemption curve, the zone of its days. So a figure can be worked out again from the
statement and the ledger alone, whatever is laid down later.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from fractions import Fraction
from itertools import groupby

from pydantic import BaseModel, ConfigDict

from services.loyalty.books import chain
from services.loyalty.books.accounting import name_of, parse_month
from services.loyalty.reporting import finance, statement
from services.loyalty.reporting.finance import Closed, Curve
from services.loyalty.reporting.statement import SIGNS, Column, Flow, Group, Key, Line, Sums
from services.loyalty.reporting.valuation import Accounts, PointValue, PolicyVersion


class Kept(BaseModel):
    """A part of a statement."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Amounts(Kept):
    """opening + revalued + earned + restored - redeemed - expired - reversed + adjusted + moved
    = closing."""

    opening: int
    revalued: int
    """Only in money: what a new value of the point did to the opening balance."""
    earned: int
    restored: int
    redeemed: int
    expired: int
    reversed: int
    adjusted: int
    moved: int
    """Between lines: pending points that became spendable, debts that were paid."""
    closing: int

    @classmethod
    def of(cls, sums: Sums) -> "Amounts":
        named = {"opening": sums.opening, "revalued": sums.revalued, "closing": sums.closing}
        return cls.model_validate(named | dict(sums.moves))

    def sums(self) -> Sums:
        moves: dict[Column, int] = {column: getattr(self, column) for column in SIGNS}
        return Sums(self.opening, moves, self.revalued)


class LineDocument(Kept):
    """One store and cohort."""

    store: str
    """Of the order that earned the points; empty: none."""
    group: Group
    """`pending`; `lots`: spendable or set aside for a checkout; `owed`, below zero: by members."""
    cohort: str | None
    """The month in which these points became spendable."""
    points: Amounts
    minor: Amounts
    breakage_points: int
    """Of the closing points, those that nobody is expected to ask for."""
    breakage_minor: int

    @classmethod
    def of(cls, line: Line) -> "LineDocument":
        return cls(
            store=line.key.store,
            group=line.key.group,
            cohort=name_of(line.key.cohort) if line.key.cohort else None,
            points=Amounts.of(line.points),
            minor=Amounts.of(line.minor),
            breakage_points=line.breakage_points,
            breakage_minor=line.breakage_minor,
        )

    def line(self) -> Line:
        cohort = date.fromisoformat(f"{self.cohort}-01") if self.cohort else None
        key = Key(self.store, self.group, cohort)
        sums = self.points.sums(), self.minor.sums()
        return Line(key, *sums, self.breakage_points, self.breakage_minor)


class Totals(Kept):
    """Lines added up."""

    points: Amounts
    minor: Amounts
    breakage_points: int
    breakage_minor: int

    @classmethod
    def of(cls, lines: Sequence[Line]) -> "Totals":
        return cls(
            points=Amounts.of(statement.total([line.points for line in lines])),
            minor=Amounts.of(statement.total([line.minor for line in lines])),
            breakage_points=sum(line.breakage_points for line in lines),
            breakage_minor=sum(line.breakage_minor for line in lines),
        )


class StoreTotals(Totals):
    """Of one store."""

    store: str


class CurveDocument(Kept):
    """The redemption curve that breakage was estimated by: exact fractions, such as `7/20`."""

    shares: tuple[str, ...]
    """Redeemed of a cohort by the end of each age in months."""
    ultimate: str

    @classmethod
    def of(cls, known: Curve) -> "CurveDocument":
        return cls(shares=tuple(map(str, known.shares)), ultimate=str(known.ultimate))

    def curve(self) -> Curve:
        return Curve(tuple(map(Fraction, self.shares)), Fraction(self.ultimate))


class Statement(Kept):
    """How what members are owed came from one month's end to the next."""

    month: str
    zone: str
    """Of the business days: that of the first store."""
    currency: str
    value: PointValue
    policy_version: int
    """Of the finance policy, with its breakage; 0: nothing was laid down."""
    accounts: Accounts
    """On which the vouchers are booked."""
    curve: CurveDocument | None
    """None: no breakage is counted on."""
    late_journals: int
    """Of this month's journals, those that refer to a month closed before."""
    total: Totals
    stores: tuple[StoreTotals, ...]
    lines: tuple[LineDocument, ...]

    def digest(self) -> bytes:
        """SHA-256 of the statement in canonical JSON."""
        return chain.digest(self.model_dump(mode="json"))

    def books(self) -> list[Line]:
        return [each.line() for each in self.lines]

    def closed(self) -> Closed:
        """What the redemption curve learns from."""
        return parse_month(self.month), [(line.key, line.points) for line in self.books()]


@dataclass(frozen=True, slots=True)
class Period:
    """A month, and how its days and money are told."""

    month: date
    zone: tzinfo
    currency: str
    late_journals: int = 0


def draw_up(
    period: Period,
    history: Sequence[Statement],
    opening: Iterable[Flow],
    flows: Iterable[Flow],
    policy: PolicyVersion,
) -> Statement:
    """The month's statement. `opening` is all that was booked before the first closed month;
    `history` the closed months, oldest first."""
    of_one = policy.policy.value.of_one
    if history:
        before = statement.closing_of(history[-1].books())
        opened = {key: points for key, (points, _) in before.items()}
    else:
        before = {}
        opened = {key: sums.closing for key, sums in statement.fold({}, opening).items()}
    sums = statement.fold(opened, flows)
    told = [each.closed() for each in history]
    known = finance.experience([*told, (period.month, list(sums.items()))], policy.policy.breakage)
    lines = []
    for key, points in sums.items():
        opened_minor = before[key][1] if key in before else None
        minor = statement.value(points, opened_minor, of_one)
        lines.append(finance.estimate(Line(key, points, minor), period.month, known, of_one))
    by_store = [(store, list(own)) for store, own in groupby(lines, lambda each: each.key.store)]
    return Statement(
        month=name_of(period.month),
        zone=str(period.zone),
        currency=period.currency,
        value=policy.policy.value,
        policy_version=policy.version,
        accounts=policy.policy.accounts,
        curve=CurveDocument.of(known) if known else None,
        late_journals=period.late_journals,
        total=Totals.of(lines),
        stores=tuple(
            StoreTotals(store=store, **Totals.of(own).__dict__) for store, own in by_store
        ),
        lines=tuple(LineDocument.of(line) for line in lines),
    )
