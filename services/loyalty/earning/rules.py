"""Earning rules: what the store lays down about who earns how many points for what. Pure.

A rule is of one kind. `base` gives points for money. `multiplier` gives more of what the
base rules gave, in percent of it. `bonus` gives a fixed number. What holds of the rules of
one kind (stacking) is stated at the fields; `awarding.py` does what is stated here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from services.loyalty.books.points import BASE, DIGITS
from services.loyalty.terms.conditions import (
    Conditions,
    Part,
    Selection,
    Wanted,
    asks_catalogue,
    facts_of,
)
from services.loyalty.terms.definitions import Book, Definition, Version
from shared.events.fields import Amount, Code, ShortCode

Kind = Literal["base", "multiplier", "bonus"]
KINDS: tuple[Kind, ...] = ("base", "multiplier", "bonus")
"""In the order in which they are worked out: a multiplier is of the base points."""
ActionKind = Literal[
    "registration",
    "review",
    "survey",
    "check_in",
    "contest",
    "quiz",
    "question",
    "event",
    "share",
    "ugc",
    "birthday",
    "anniversary",
]
RulePoints = Annotated[int, Field(ge=0, le=10**9)]
Limit = Annotated[int, Field(ge=1, le=10**12)]

TIER = "tier"
"""The id, and the group, of the multiplier that a tier brings with it."""


class Basis(Part):
    """Which money counts. It is always that of the product lines that the rule selects."""

    before_discount: bool = False
    """Also what was taken off the price."""
    with_tax: bool = True
    """False: without the tax that the amounts contain."""
    with_shipping: bool = False
    """Also the order's shipping, shared out among all product lines by their totals."""
    paid_in_points: bool = False
    """Also the part of the order that is paid in points."""


class Caps(Part):
    """At most so many points by this rule, over all its versions; absent: no limit.

    The first five for one member: in a day, a week from Monday, a month, a year of the
    store's zone, and ever. `budget` for all members together. What a return takes back is
    free again.
    """

    per_day: Limit | None = None
    per_week: Limit | None = None
    per_month: Limit | None = None
    per_year: Limit | None = None
    ever: Limit | None = None
    budget: Limit | None = None


class Actions(Part):
    """Which actions a rule is for, if it is not for orders."""

    kinds: frozenset[ActionKind] = frozenset()
    attributes: Wanted = Field(default_factory=dict)
    """Attributes of the action, with the values that will do, such as has_image: [true]."""
    at_least: dict[Code, int] = Field(default_factory=dict)
    """Numbers of the action that must be so high, such as length: 50."""
    every: Annotated[int, Field(ge=1)] = 1
    """Only each n-th in a row counts, by the action's `streak`; 7: each full week."""


class EarningRule(Definition):
    """One earning rule."""

    RESERVED: ClassVar[frozenset[str]] = frozenset({BASE.id, TIER})

    on: Literal["order", "action"] = "order"
    kind: Kind = "base"
    points: RulePoints = 1
    """`base`: for each step of money; 0: these lines earn nothing. `bonus`: the fixed number."""
    step_minor: Annotated[Amount, Field(ge=1)] | None = None
    """The step, in minor units of the base currency; absent: one full unit (1.00)."""
    steps: Literal["full", "parts"] = "full"
    """Whether only full steps count, or a part of one in proportion."""
    rounding: Literal["floor", "nearest", "ceil"] = "floor"
    """Of the rule's points in the whole order; `nearest` rounds a half up. Full steps need none."""
    basis: Basis = Basis()
    percent: Annotated[int, Field(gt=100, le=10_000)] | None = None
    """`multiplier`: what the base points come to with it; 200: twice as many."""
    per: Literal["order", "piece"] = "order"
    """`bonus`: once in an order, or for each piece selected."""
    when: Conditions = Conditions()
    lines: Selection = Selection()
    actions: Actions = Actions()
    priority: Annotated[int, Field(ge=-1_000, le=1_000)] = 0
    """The higher first; of equal ones, the smaller id."""
    exclusive: bool = False
    """No other rule of its kind counts on the lines it selects: it is tried before those that
    are not exclusive, and by priority among those that are."""
    group: ShortCode = ""
    """Of the rules of its kind in one group only the one that gives most in the order counts."""
    caps: Caps = Caps()

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.kind == "multiplier") != (self.percent is not None):
            raise ValueError("percent: give it for kind multiplier, and for no other kind")
        if self.on == "action" and self.kind != "bonus":
            raise ValueError("kind: a rule for actions is a bonus")
        if (self.on == "action") != bool(self.actions.kinds):
            raise ValueError("actions.kinds: give them for on=action, and for no other rule")
        if self.exclusive and self.group:
            raise ValueError("group: an exclusive rule shares its lines with none; leave it out")
        return self


Rule = Version[EarningRule]
BASE_RULE = EarningRule()


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The rules in force at one time; `unit_minor` minor units make a full one (100)."""

    rules: tuple[Rule, ...]
    unit_minor: int = 100
    _sorted: dict[tuple[str, Kind], list[Rule]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def of(self, on: Literal["order", "action"], kind: Kind) -> list[Rule]:
        """By priority."""
        found = self._sorted.get((on, kind))
        if found is None:
            wanted = [rule for rule in self.rules if (rule.body.on, rule.body.kind) == (on, kind)]
            found = sorted(wanted, key=lambda rule: (-rule.body.priority, rule.id))
            self._sorted[on, kind] = found
        return found


RULEBOOKS_MAX = 1_000
_rulebooks: dict[tuple[int | str, ...], Rulebook] = {}
DEFAULT: Rule = Version(BASE.id, BASE.version, datetime(1970, 1, 1, tzinfo=UTC), EarningRule())


@lru_cache(maxsize=1_000)
def tier_rule(percent: int) -> Rule:
    """What a tier's multiplier is to the rules: one of them, of its own group."""
    body = EarningRule(kind="multiplier", percent=min(percent, 10_000), group=TIER)
    return Version(TIER, 1, DEFAULT.starts_at, body)


@dataclass(frozen=True, slots=True)
class Asked:
    """What must be known to judge by any rule: so much is loaded, and no more."""

    facts: frozenset[str]
    """Of the shopper, by the names that `shoppers.py` gives them."""
    products: bool
    capped: frozenset[str]
    """The rules that count what each member has earned by them."""
    budgets: frozenset[str]
    numbers: bool
    """Whether it matters which order of the shopper's it is."""
    tiers_of_actions: bool
    """Whether it matters for an action which tier the shopper has."""


def rulebook_at(book: Book, at: datetime, base_currency: str) -> Rulebook:
    """The rules that count for what happened `at`; before the first for orders, the base rule."""
    rules = tuple(book.in_force(EarningRule, at))
    if not _has_begun(book, at):
        rules = (DEFAULT, *rules)
    return _rulebook(rules, base_currency)


@lru_cache(maxsize=8)
def asked(book: Book) -> Asked:
    """By all versions: an order may have been placed under any of them."""
    return asked_by(all_rules(book))


def asked_by(rules: Iterable[Rule]) -> Asked:
    every = list(rules)
    bodies = [rule.body for rule in every]
    return Asked(
        facts=frozenset(name for body in bodies for name in facts_of(body.when)),
        products=any(asks_catalogue(body.lines) for body in bodies),
        capped=frozenset(rule.id for rule in every if _limits_members(rule.body.caps)),
        budgets=frozenset(rule.id for rule in every if rule.body.caps.budget),
        numbers=any(body.when.order_number or body.when.every_nth_order for body in bodies),
        tiers_of_actions=any(body.on == "action" and body.when.tiers for body in bodies),
    )


def with_candidate(book: Book, at: datetime, base_currency: str, candidate: Rule) -> Rulebook:
    """The rules that would have counted `at`, had the candidate been in force."""
    if candidate.body.on == "order" and not _has_begun(book, at):
        others: Iterable[Rule] = book.in_force(EarningRule, at)  # no default beside it
    else:
        others = rulebook_at(book, at, base_currency).rules
    rules = (*(rule for rule in others if rule.id != candidate.id), candidate)
    return _rulebook(rules, base_currency)


def _rulebook(rules: tuple[Rule, ...], base_currency: str) -> Rulebook:
    """One object for the same rules: thousands of orders ask for it, and few rules change."""
    key: tuple[int | str, ...] = (*map(id, rules), base_currency)
    found = _rulebooks.get(key)
    if found is None:
        if len(_rulebooks) >= RULEBOOKS_MAX:
            _rulebooks.clear()
        found = Rulebook(rules, 10 ** DIGITS.get(base_currency, 2))
        _rulebooks[key] = found  # which keeps its rules alive, so that no id is used again
    return found


def _has_begun(book: Book, at: datetime) -> bool:
    first = _first_start(book)
    return first is not None and first <= at


@lru_cache(maxsize=8)
def _first_start(book: Book) -> datetime | None:
    """When the first rule for orders starts; None: there is none."""
    starts = (each.starts_at for each in all_rules(book) if each.body.on == "order")
    return min(starts, default=None)


def all_rules(book: Book) -> list[Rule]:
    """Every version of every rule."""
    ids = [each.id for each in book.newest(EarningRule)]
    return [version for id_ in ids for version in book.versions(EarningRule, id_)]


def _limits_members(caps: Caps) -> bool:
    return any((caps.per_day, caps.per_week, caps.per_month, caps.per_year, caps.ever))
