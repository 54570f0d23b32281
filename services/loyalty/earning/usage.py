"""What is counted of an order: points by capped rule and period, and the order itself. Pure.

Counted is what the order still holds: a return frees what it takes, in proportion, and the
whole of it when everything is returned.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.loyalty.books.lines import LineState
from services.loyalty.earning import caps
from services.loyalty.earning.awarding import Awards
from services.loyalty.earning.caps import Place, Used
from services.loyalty.terms.cart import Cart

ORDERS: Place = ("orders", "")
"""Where a customer's paid orders are counted; points are under `rule/<id>` and the period."""
RULE = "rule/"


@dataclass(frozen=True, slots=True)
class Credit:
    """What a capped rule gave each line, and the periods whose caps it counts against."""

    rule_id: str
    periods: tuple[str, ...]
    budget: int | None
    """The rule's budget; None: it has none."""
    lines: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Held:
    """Points and orders by subject and period, points of budgets by rule."""

    places: Counter[Place]
    budgets: Counter[str]


def credits_of(awards: Awards, cart: Cart) -> Iterator[Credit]:
    """Of the rules that have caps and gave something."""
    for each in awards.rules:
        limits = each.rule.body.caps
        if not limits.model_fields_set:
            continue
        at = cart.at.astimezone(cart.zone)
        periods = tuple(label for _, label, _ in caps.periods(limits, at))
        if each.points and (periods or limits.budget is not None):
            lines = {name: line.points for name, line in each.lines.items() if line.points}
            yield Credit(each.rule.id, periods, limits.budget, lines)


def held(credits_: Sequence[Credit], lines: Mapping[str, LineState]) -> Held:
    """What of the credits the lines still hold."""
    places: Counter[Place] = Counter()
    budgets: Counter[str] = Counter()
    for credit in credits_:
        held = sum(_share(given, lines.get(line_id)) for line_id, given in credit.lines.items())
        for period in credit.periods:
            places[f"{RULE}{credit.rule_id}", period] += held
        if credit.budget is not None:
            budgets[credit.rule_id] += held
    return Held(places, budgets)


def used(counted: Sequence[Mapping[Place, int]], budgets: Sequence[Mapping[str, int]]) -> Used:
    """The sum of what is counted, as `awarding.py` asks for it."""
    places: Counter[Place] = Counter()
    for source in counted:
        for (subject, period), amount in source.items():
            if subject.startswith(RULE):
                places[subject.removeprefix(RULE), period] += amount
    spent: Counter[str] = Counter()
    for each in budgets:
        spent.update(each)
    return Used(places, spent)


def negative(some: Mapping[Place, int]) -> dict[Place, int]:
    return {place: -amount for place, amount in some.items()}


def _share(given: int, line: LineState | None) -> int:
    if line is None or not line.awarded:
        return 0
    return given * (line.pending + line.active) // line.awarded
