"""What a cart earns, line by line and rule by rule, and why not. Pure.

One function decides for an order, answers what a cart would earn, explains, tests a rule on
past orders, and looks at a future day. For every line and every rule in force there is a
verdict: `earned`, or the name of what prevented it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.loyalty.books.ledger import POINTS_MAX
from services.loyalty.books.points import RuleName
from services.loyalty.earning import amounts, caps
from services.loyalty.earning.amounts import Sums
from services.loyalty.earning.caps import Used
from services.loyalty.earning.rules import KINDS, Kind, Rule, Rulebook, tier_rule
from services.loyalty.terms import conditions
from services.loyalty.terms.cart import Cart, Item, Shopper
from shared.errors import Reject

EARNED = "earned"
ACTION_LINE = "action"
"""What an action earns stands under this line id."""


class LineAward(NamedTuple):
    """What one rule says of one line; `basis` is money, or points for a multiplier."""

    verdict: str
    basis: int = 0
    points: int = 0


@dataclass(frozen=True, slots=True)
class RuleAward:
    """What one rule says of the order. Without `lines`, `verdict` holds for each line."""

    rule: Rule
    verdict: str
    lines: Mapping[str, LineAward] = field(default_factory=dict)
    points: int = 0
    cut: int = 0
    """How many more it would have been without the cap `cut_by`."""
    cut_by: str = ""


@dataclass(frozen=True, slots=True)
class Awards:
    """Every rule's verdict, in the order they were tried; `lines` are the points by line."""

    rules: tuple[RuleAward, ...]
    lines: Mapping[str, int]

    @property
    def points(self) -> int:
        return sum(self.lines.values())

    @property
    def given_by(self) -> tuple[RuleName, ...]:
        """The rules that give points, the one that gives most first."""
        giving = [each for each in self.rules if each.points]
        giving.sort(key=lambda each: -each.points)
        return tuple(RuleName(each.rule.id, each.rule.version) for each in giving)

    def of_line(self, line_id: str) -> Iterator[tuple[RuleAward, LineAward]]:
        """Every rule's verdict for one line."""
        for each in self.rules:
            yield each, each.lines.get(line_id) or LineAward(each.verdict)


@dataclass(slots=True)
class _Try:
    """A rule on its way to its verdict."""

    rule: Rule
    verdict: str = ""
    lines: dict[str, LineAward] = field(default_factory=dict)
    """Those that it does not, or no longer, select."""
    items: list[Item] = field(default_factory=list)
    bases: Mapping[str, int] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)
    cut: int = 0
    cut_by: str = ""

    @property
    def total(self) -> int:
        return sum(self.points.values())

    def _of_line(self, basis: int, points: int) -> str:
        if points:
            return EARNED
        if self.rule.body.kind != "multiplier" and not self.rule.body.points:
            return "gives_none"
        return "rounded" if basis > 0 else "no_amount"

    def done(self) -> RuleAward:
        if self.verdict:
            return RuleAward(self.rule, self.verdict, cut=self.cut, cut_by=self.cut_by)
        lines = dict(self.lines)
        for item in self.items:
            basis, points = self.bases[item.line_id], self.points[item.line_id]
            lines[item.line_id] = LineAward(self._of_line(basis, points), basis, points)
        points = self.total
        verdict = EARNED if self.items else "no_line"
        return RuleAward(self.rule, verdict, lines, points, self.cut, self.cut_by)


def award(cart: Cart, shopper: Shopper, rulebook: Rulebook, used: Used) -> Awards:
    """What the cart earns; Reject if that is more points than can be told."""
    sums = Sums.of(cart)
    base_points: dict[str, int] = dict.fromkeys((item.line_id for item in sums.items), 0)
    lines = dict(base_points)
    found: list[RuleAward] = []
    for kind in KINDS:
        bases = base_points if kind == "multiplier" else None
        rules = _rules(rulebook, kind, shopper)
        if not rules:
            continue
        tries = [_select(rule, cart, shopper, sums, bases) for rule in rules]
        _part_lines(tries)
        for each in tries:
            if not each.verdict:
                each.points = _points(each, rulebook.unit_minor)
                _cap(each, cart, used)
        _best_of_groups(tries)
        done = [each.done() for each in tries]
        for one in done:
            for line_id, line in one.lines.items():
                lines[line_id] += line.points
        found += done
        if kind == "base":
            base_points = dict(lines)
    if sum(lines.values()) > POINTS_MAX:
        raise Reject(f"the order would earn over {POINTS_MAX} points; check its amounts")
    return Awards(tuple(found), lines)


def _rules(rulebook: Rulebook, kind: Kind, shopper: Shopper) -> list[Rule]:
    rules = rulebook.of("order", kind)
    if kind == "multiplier" and shopper.tier_percent > 100:
        return [*rules, tier_rule(shopper.tier_percent)]
    return rules


def _select(
    rule: Rule, cart: Cart, shopper: Shopper, sums: Sums, bases: Mapping[str, int] | None
) -> _Try:
    """Whether the rule holds, and for which lines; `bases`: those of a multiplier."""
    each, body = _Try(rule), rule.body
    if body.when.model_fields_set:
        for missing in conditions.misses(body.when, cart, shopper):
            each.verdict = missing
            return each
    each.bases = sums.by(body.basis) if bases is None else bases
    if not body.lines.model_fields_set:
        each.items = list(sums.items)
    else:
        for item in sums.items:
            if missing := body.lines.misses(item):
                each.lines[item.line_id] = LineAward(missing)
            else:
                each.items.append(item)
    if body.when.spend_min_minor:
        money = sums.by(body.basis)
        if sum(money[item.line_id] for item in each.items) < body.when.spend_min_minor:
            each.verdict = "spend_min"
    return each


def _part_lines(tries: list[_Try]) -> None:
    """Give each line that an exclusive rule selects to the first of them alone."""
    owner: dict[str, str] = {}
    for each in tries:
        if each.rule.body.exclusive and not each.verdict:
            for item in each.items:
                owner.setdefault(item.line_id, each.rule.id)
    if not owner:
        return
    for each in tries:
        if not each.verdict:
            kept: list[Item] = []
            for item in each.items:
                if owner.get(item.line_id, each.rule.id) == each.rule.id:
                    kept.append(item)
                else:
                    each.lines[item.line_id] = LineAward("exclusive", each.bases[item.line_id])
            each.items = kept


def _points(each: _Try, unit_minor: int) -> dict[str, int]:
    body = each.rule.body
    bases = {item.line_id: each.bases[item.line_id] for item in each.items}
    match body.kind:
        case "base":
            return amounts.for_money(body, bases, unit_minor)
        case "multiplier":
            assert body.percent, "a multiplier has its percent"
            return amounts.in_percent(body, bases, body.percent)
        case "bonus":
            return amounts.fixed(body, each.items, bases)


def _cap(each: _Try, cart: Cart, used: Used) -> None:
    limits = each.rule.body.caps
    if not limits.model_fields_set:
        return
    left, by = caps.room(each.rule.id, limits, cart.at.astimezone(cart.zone), used)
    total = each.total
    if left is None or total <= left:
        return
    each.cut, each.cut_by = total - left, by
    if left:
        each.points = amounts.scale(each.points, left)
    else:
        each.verdict = by


def _best_of_groups(tries: list[_Try]) -> None:
    best: dict[str, _Try] = {}
    for each in tries:  # by priority, so the first of equals stays
        group = each.rule.body.group
        if group and not each.verdict and (group not in best or each.total > best[group].total):
            best[group] = each
    for each in tries:
        group = each.rule.body.group
        if group and not each.verdict and best[group] is not each:
            each.verdict, each.cut, each.cut_by = "group", 0, ""


@dataclass(frozen=True, slots=True)
class Action:
    """What a customer did, other than ordering. `at` is in any zone; `zone` is the store's."""

    kind: str
    cart: Cart
    """Without lines: where and when."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Such as rating, length, has_image; `streak` of check-ins: which in a row it is."""


def award_action(action: Action, shopper: Shopper, rulebook: Rulebook, used: Used) -> Awards:
    """What an action earns, all under ACTION_LINE."""
    cart = action.cart
    found: list[_Try] = []
    for rule in rulebook.of("action", "bonus"):
        if action.kind not in rule.body.actions.kinds:
            continue
        each = _Try(rule, verdict=_action_misses(rule, action, shopper))
        if not each.verdict:
            each.items, each.bases = [Item(ACTION_LINE, 1, 0)], {ACTION_LINE: 0}
            each.points = {ACTION_LINE: rule.body.points}
        found.append(each)
    _part_lines(found)
    for each in found:
        if not each.verdict:
            each.points = each.points if each.items else {}
            _cap(each, cart, used)
    _best_of_groups(found)
    done = tuple(each.done() for each in found)
    return Awards(done, {ACTION_LINE: sum(one.points for one in done)})


def _action_misses(rule: Rule, action: Action, shopper: Shopper) -> str:
    asks = rule.body.actions
    for missing in conditions.misses(rule.body.when, action.cart, shopper):
        return missing
    if not conditions.has_any(action.attributes, asks.attributes):
        return "action_attribute"
    for name, least in asks.at_least.items():
        value = action.attributes.get(name)
        if not isinstance(value, int) or value < least:
            return "action_least"
    if asks.every > 1:
        streak = action.attributes.get("streak")
        if not isinstance(streak, int) or streak < 1 or streak % asks.every:
            return "streak"
    return ""
