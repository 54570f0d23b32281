"""Deciding what an order earns: once, by the rules of the day it was placed. Pure.

A decision stands while what it was made on stands. A revision that changes that is decided
anew, by the same rules and for the shopper as he was then. What the decision gave is
counted against caps and budgets, less what has been taken back since, and so is the order
among the shopper's paid orders.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from services.loyalty.books import points
from services.loyalty.books.lines import LineState
from services.loyalty.books.points import BASE, RuleName
from services.loyalty.earning import carts, usage
from services.loyalty.earning.awarding import Awards, award
from services.loyalty.earning.caps import Place, Used
from services.loyalty.earning.carts import Product
from services.loyalty.earning.rules import asked, rulebook_at
from services.loyalty.earning.usage import ORDERS, Credit
from services.loyalty.levels.ladder import Ladder, ranked
from services.loyalty.terms.cart import Cart, Shopper
from services.loyalty.terms.definitions import Book
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot
from shared.stores import Stores

NOTHING_USED = Used()


class Decision(NamedTuple):
    """What was decided of an order, and on what; without a mark nothing was yet."""

    order_id: str
    placed_at: datetime
    mark: str = ""
    """A hash of all that the award depends on in the order."""
    counted: bool = False
    """Whether it is one of the shopper's paid orders."""
    shopper: Shopper | None = None
    """As he was when it was first decided; without attributes and birthday."""
    credits: tuple[Credit, ...] = ()
    rules: tuple[RuleName, ...] = (BASE,)
    """The rules that gave points, the one that gave most first; never none."""


class Made(NamedTuple):
    """A new decision, whole: what is kept to explain it, and to test rules on it."""

    revision: int
    cart: Cart
    awards: Awards
    inputs: Mapping[str, object]
    """What of the order and the shopper all its rules were given."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was loaded to decide on. `people` names the person behind each owner of an order;
    `counted` is by person."""

    products: Mapping[str, Product] = field(default_factory=dict)
    shoppers: Mapping[str, Shopper] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)
    decided: Mapping[str, Decision] = field(default_factory=dict)
    counted: Mapping[str, Mapping[Place, int]] = field(default_factory=dict)
    budgets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decided:
    """What a batch has decided and counted so far: only what is new."""

    decisions: dict[str, Decision] = field(default_factory=dict)
    made: list[Made] = field(default_factory=list)
    counted: dict[str, dict[Place, int]] = field(default_factory=dict)
    """By customer id: what is to be added."""
    by_person: dict[str, dict[Place, int]] = field(default_factory=dict)
    budgets: Counter[str] = field(default_factory=Counter)
    limits: dict[str, int] = field(default_factory=dict)
    """Of the budgets; of several versions' the smallest."""


class Case(NamedTuple):
    """One revision of one order; `booked` is what was booked of it before."""

    event: Event
    owner: str
    booked: Mapping[str, LineState]
    before: Decision | None
    evidence: Evidence
    book: Book
    stores: Stores
    out: Decided
    ladder: Ladder

    @property
    def order(self) -> OrderSnapshot:
        order: OrderSnapshot = self.event.data
        return order

    @property
    def person(self) -> str:
        return self.evidence.people.get(self.owner, self.owner)

    @property
    def placed_at(self) -> datetime:
        """As the producer says; else when the order was first heard of."""
        known = self.before.placed_at if self.before else self.event.time
        return self.order.placed_at or known


def notice(case: Case) -> None:
    """Remember when an order that earns nothing yet was placed, where the producer may not
    say so again."""
    if case.before is None and case.order.placed_at is None:
        order_id = case.order.order_id
        case.out.decisions[order_id] = Decision(order_id, case.event.time)


def decide(case: Case, bases: Mapping[str, int]) -> Mapping[str, int]:
    """What each line that may earn is awarded; a new decision is noted with its inputs."""
    order_id, before = case.order.order_id, case.before
    mark = carts.mark_of(case.order, case.stores)
    same = {line_id: line.basis_minor for line_id, line in case.booked.items()} == bases
    if same and (before is None or before.mark == mark) and (case.booked or before):
        return {line_id: line.awarded for line_id, line in case.booked.items()}
    cart = carts.of_order(case.order, case.placed_at, case.stores, case.evidence.products)
    shopper = _shopper(case)
    rulebook = rulebook_at(case.book, case.placed_at, case.stores.base_currency)
    awards = award(cart, shopper, rulebook, _used(case))
    case.out.decisions[order_id] = Decision(
        order_id,
        case.placed_at,
        mark,
        counted=bool(awards.lines) and _is_kept(case),
        shopper=_without_facts(shopper),
        credits=tuple(usage.credits_of(awards, cart)),
        rules=awards.given_by or (BASE,),
    )
    inputs = _inputs(case, shopper, bases, awards)
    case.out.made.append(Made(case.order.revision, cart, awards, inputs))
    return awards.lines


def count(case: Case, lines: Mapping[str, LineState]) -> None:
    """Count what is now booked of the order in place of what was."""
    before = case.before
    after = case.out.decisions.get(case.order.order_id) or before
    if after is None:
        return
    counted = bool(lines) and _is_kept(case)
    if counted != after.counted:
        case.out.decisions[after.order_id] = after._replace(counted=counted)
    if counted != (before.counted if before else False):
        _add(case, ORDERS, 1 if counted else -1)
    if after.credits or (before and before.credits):
        _count_points(case, before.credits if before else (), after.credits, lines)


def _count_points(
    case: Case,
    old_credits: Sequence[Credit],
    new_credits: Sequence[Credit],
    lines: Mapping[str, LineState],
) -> None:
    old, new = usage.held(old_credits, case.booked), usage.held(new_credits, lines)
    new.places.subtract(old.places)
    new.budgets.subtract(old.budgets)
    for place, more in new.places.items():
        _add(case, place, more)
    for rule_id, more in new.budgets.items():
        if more:
            case.out.budgets[rule_id] += more
    for credit in new_credits:
        if credit.budget is not None:
            known = case.out.limits.get(credit.rule_id, credit.budget)
            case.out.limits[credit.rule_id] = min(known, credit.budget)


def _add(case: Case, place: Place, more: int) -> None:
    if more:
        for kept in (
            case.out.counted.setdefault(case.owner, {}),
            case.out.by_person.setdefault(case.person, {}),
        ):
            kept[place] = kept.get(place, 0) + more


def _is_kept(case: Case) -> bool:
    """Whether anything that earns is left of the order."""
    if points.is_void(case.event.type, case.order.lines):
        return False
    return any(
        line.kind == "product" and line.cancelled + line.returned < line.quantity
        for line in case.order.lines
    )


def _shopper(case: Case) -> Shopper:
    """As he was when the order was first decided; else as he is known now."""
    known = case.evidence.shoppers.get(case.owner) or Shopper(case.owner)
    if case.before and case.before.shopper:
        then = case.before.shopper
        return replace(then, attributes=known.attributes, birthday=known.birthday)
    more = case.out.by_person.get(case.person, {}).get(ORDERS, 0)
    own = 1 if case.before and case.before.counted else 0
    orders = known.orders_before + more - own
    if orders != known.orders_before:
        known = replace(known, orders_before=orders)
    return ranked(known, case.ladder.tier(case.owner, case.placed_at))


def _without_facts(shopper: Shopper) -> Shopper:
    if not shopper.attributes and not shopper.birthday:
        return shopper
    return replace(shopper, attributes={}, birthday="")


def _used(case: Case) -> Used:
    """What is counted already, without what this order itself holds of it."""
    wanted = asked(case.book)
    if not wanted.capped and not wanted.budgets:
        return NOTHING_USED
    own = usage.held(case.before.credits if case.before else (), case.booked)
    own_budgets = {rule_id: -amount for rule_id, amount in own.budgets.items()}
    return usage.used(
        (
            case.evidence.counted.get(case.person, {}),
            case.out.by_person.get(case.person, {}),
            usage.negative(own.places),
        ),
        (case.evidence.budgets, case.out.budgets, own_budgets),
    )


def rules_of(case: Case) -> tuple[RuleName, ...]:
    """The rules by which the order earns, whether it was decided now or goes on after all."""
    decision = case.out.decisions.get(case.order.order_id) or case.before
    return decision.rules if decision else (BASE,)


def _inputs(
    case: Case, shopper: Shopper, bases: Mapping[str, int], awards: Awards
) -> dict[str, object]:
    order = case.order
    return {
        "currency": order.currency,
        "total_minor": order.total_minor,
        "base_currency": case.stores.base_currency,
        "base_total_minor": order.base_total_minor,
        "order_basis_minor": sum(bases.values()),
        "order_points": awards.points,
        "order_number": shopper.orders_before + 1,
        "tier": shopper.tier,
        "tier_percent": shopper.tier_percent,
    }
