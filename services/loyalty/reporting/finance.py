"""What points will cost: redemption curves, breakage, liability, forecasts. Pure and exact.

Breakage. Under IFRS 15 (B44-B47) a shop that expects customers to leave rights unused may
take the expected part as revenue, in proportion to the rights that are used, if it has the
experience to expect it; else only when the use has become remote. The experience here is the
*redemption curve* s(a): the share of a cohort's points that is redeemed by age a, in months,
pooled over all cohorts that were watched from their first month on, by the chain ladder
(T. Mack, "Distribution-free calculation of the standard error of chain ladder reserve
estimates", ASTIN Bulletin 23, 1993: volume-weighted development factors):

    s(0)   = sum of C(i, 0) / sum of N(i)                over all cohorts i
    f(a)   = sum of C(i, a+1) / sum of C(i, a)           over the cohorts observed at age a+1
    s(a+1) = s(a) * f(a), at most 1
    s(end) = s(A) + tail * (1 - s(A))                    A: the oldest age observed

N(i) are the points that a cohort got, less those reversed; C(i, a) those redeemed of it by
age a, less those given back. Where nobody had redeemed by age a, f(a) is not defined and
s(a+1) is sum of C(i, a+1) / sum of N(i). Of what a cohort of age a still has outstanding,

    r(a) = (s(end) - s(a)) / (1 - s(a))

is expected to be redeemed, and the rest is breakage: rounded down, so that a doubt is owed.
All shares are fractions; nothing is rounded before the last step.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from services.loyalty.books.accounting import month_of, months_between
from services.loyalty.reporting.statement import Key, Line, Sums
from services.loyalty.reporting.valuation import Breakage, round_half_up

NOTHING, ALL = Fraction(0), Fraction(1)


@dataclass(frozen=True, slots=True)
class Development:
    """A cohort watched from its first month on."""

    cohort: date
    points: int
    """What it got, less what was reversed."""
    redeemed: tuple[int, ...]
    """Of it so far, at the end of each age in months."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The share of a cohort's points that is redeemed, by the end of each age in months."""

    shares: tuple[Fraction, ...]
    ultimate: Fraction

    def by_age(self, age: int) -> Fraction:
        """Below 0: not spendable yet, so none."""
        if age < 0:
            return NOTHING
        return self.shares[min(age, len(self.shares) - 1)]

    def expected(self, age: int, until: int | None = None) -> Fraction:
        """Of what is outstanding at an age, the share to be redeemed, all in all or by an age."""
        gone = self.by_age(age)
        goal = self.ultimate if until is None else self.by_age(until)
        if gone >= ALL:
            return ALL
        return max(NOTHING, (goal - gone) / (ALL - gone))


@dataclass(frozen=True, slots=True)
class Expiring:
    """What of a cohort reaches its date in a month, unless it is redeemed before."""

    month: date
    cohort: date
    points: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of one month: the most that can expire, and what is expected to."""

    month: date
    points_max: int
    points_expected: int


Closed = tuple[date, Sequence[tuple[Key, Sums]]]
"""A closed month with its lines, in points."""


def developments(months: Sequence[Closed]) -> list[Development]:
    """The cohorts that began in or after the first of the months, which follow on each other."""
    if not months:
        return []
    first, last = months[0][0], months[-1][0]
    points: Counter[date] = Counter()
    redeemed: defaultdict[date, Counter[int]] = defaultdict(Counter)
    for month, lines in months:
        for key, sums in lines:
            if key.cohort and key.cohort >= first:
                moves = sums.moves
                points[key.cohort] += (
                    moves["moved"] + moves["earned"] + moves["adjusted"] - moves["reversed"]
                )
                age = max(0, months_between(key.cohort, month))
                redeemed[key.cohort][age] += moves["redeemed"] - moves["restored"]
    found = []
    for cohort in sorted(points):
        ages = range(max(0, months_between(cohort, last)) + 1)
        so_far = [sum(redeemed[cohort][past] for past in range(age + 1)) for age in ages]
        if points[cohort] > 0:
            found.append(Development(cohort, points[cohort], tuple(so_far)))
    return found


def curve(watched: Sequence[Development], tail: Fraction = NOTHING) -> Curve | None:
    """The pooled curve; None where nothing was watched."""
    if not watched:
        return None
    shares = [_share(watched, 0)]
    for age in range(1, max(len(each.redeemed) for each in watched)):
        seen = [each for each in watched if len(each.redeemed) > age]
        before = sum(each.redeemed[age - 1] for each in seen)
        factor = Fraction(sum(each.redeemed[age] for each in seen), before) if before else None
        shares.append(_between(shares[-1] * factor) if factor is not None else _share(seen, age))
    return Curve(tuple(shares), shares[-1] + tail * (ALL - shares[-1]))


def experience(months: Sequence[Closed], policy: Breakage) -> Curve | None:
    """The curve that breakage may be counted on by; None without enough experience."""
    if policy.method == "none" or len(months) < policy.months_min:
        return None
    return curve(developments(months), Fraction(policy.tail_percent, 100))


def breakage(key: Key, outstanding: int, month: date, known: Curve | None) -> Fraction:
    """The points of a line that nobody is expected to ask for, at the end of a month."""
    if known is None or key.group == "owed" or outstanding <= 0:
        return NOTHING
    age = months_between(key.cohort, month) if key.cohort else -1
    return outstanding * (ALL - known.expected(age))


def estimate(line: Line, month: date, known: Curve | None, of_one: Fraction) -> Line:
    """The line with its breakage, in whole points and minor units, rounded down."""
    points = breakage(line.key, line.points.closing, month, known)
    minor = points * of_one
    return Line(line.key, line.points, line.minor, int(points), int(minor))


def cost(points: int, known: Curve | None, of_one: Fraction) -> int:
    """What awarded points are expected to cost, in minor units, rounded half up.

    Of points just awarded; without a curve all of them are expected to be redeemed.
    """
    return round_half_up(points * of_one * (known.ultimate if known else ALL))


def forecast(expiring: Iterable[Expiring], today: date, known: Curve | None) -> list[Forecast]:
    """What expires month by month; without a curve all that can is expected to."""
    most: Counter[date] = Counter()
    expected: defaultdict[date, Fraction] = defaultdict(Fraction)
    now = month_of(today)
    for each in expiring:
        age, until = months_between(each.cohort, now), months_between(each.cohort, each.month)
        left = ALL - known.expected(age, max(age, until)) if known else ALL
        most[each.month] += each.points
        expected[each.month] += each.points * left
    return [Forecast(month, most[month], round_half_up(expected[month])) for month in sorted(most)]


def _share(watched: Sequence[Development], age: int) -> Fraction:
    points = sum(each.points for each in watched)
    return _between(Fraction(sum(each.redeemed[age] for each in watched), points))


def _between(share: Fraction) -> Fraction:
    return min(ALL, max(NOTHING, share))
