"""What each product line counts for, and sharing points out among lines to the point. Pure.

Sharing is by cumulative difference: lines are taken by ascending id, a running sum is
rounded, and a line gets the difference of two roundings. So the lines sum to what the whole
comes to, however many there are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from services.loyalty.books.points import apportion, steps
from services.loyalty.earning.rules import Basis, EarningRule
from services.loyalty.terms.cart import Cart, Item

Rounding = Literal["floor", "nearest", "ceil"]


@dataclass(slots=True)
class Sums:
    """The product lines of a cart, by ascending id, and their amounts by basis."""

    items: tuple[Item, ...]
    shipping: Mapping[str, int]
    """The line's share of the shipping, and what of it is paid in money."""
    shipping_money: Mapping[str, int]
    in_points: Mapping[str, int]
    """What of the line is paid in points."""
    _found: dict[Basis, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, cart: Cart) -> "Sums":
        items = [item for item in cart.items if item.kind == "product" and item.quantity]
        positive = {item.line_id: max(0, item.total_minor) for item in cart.items}
        paid = min(cart.paid_in_points_minor, sum(positive.values()))
        in_points = apportion(paid, positive) if paid else dict.fromkeys(positive, 0)
        parcels = [item for item in cart.items if item.kind == "shipping"]
        weights = {item.line_id: positive[item.line_id] for item in items}
        shipping = sum(item.total_minor for item in parcels)
        money = shipping - sum(in_points[item.line_id] for item in parcels)
        return cls(
            tuple(sorted(items, key=lambda item: item.line_id)),
            apportion(max(0, shipping), weights) if shipping else {},
            apportion(max(0, money), weights) if shipping else {},
            in_points,
        )

    def by(self, basis: Basis) -> dict[str, int]:
        """The lines' amounts, by line id."""
        found = self._found.get(basis)
        if found is None:
            found = {item.line_id: self._amount(item, basis) for item in self.items}
            self._found[basis] = found
        return found

    def _amount(self, item: Item, basis: Basis) -> int:
        total = amount = item.total_minor
        tax = item.tax_minor
        if basis.before_discount:
            amount += item.discount_minor
            tax = tax * amount // total if total > 0 else 0
        if not basis.with_tax:
            amount -= tax
        if not basis.paid_in_points and total > 0:
            amount = amount * (total - self.in_points[item.line_id]) // total
        if basis.with_shipping:
            shares = self.shipping if basis.paid_in_points else self.shipping_money
            amount += shares.get(item.line_id, 0)
        return amount


def for_money(rule: EarningRule, bases: Mapping[str, int], unit_minor: int) -> dict[str, int]:
    """What a base rule gives each line. A line below zero, a discount, lowers all others in
    proportion, and gets nothing."""
    names = sorted(bases)
    gains = [max(0, bases[name]) for name in names]
    basis_minor = max(0, sum(bases.values()))
    part = max(1, sum(gains)) * (rule.step_minor or unit_minor)
    if rule.steps == "full":
        marks = (mark * basis_minor // part * rule.points for mark in accumulate(gains))
    else:
        rounded = ROUNDINGS[rule.rounding]
        marks = (rounded(mark * basis_minor * rule.points, part) for mark in accumulate(gains))
    return steps(names, marks)


def in_percent(rule: EarningRule, base_points: Mapping[str, int], percent: int) -> dict[str, int]:
    """What a multiplier adds to each line's base points."""
    names = sorted(base_points)
    rounded = ROUNDINGS[rule.rounding]
    running = accumulate(base_points[name] for name in names)
    return steps(names, (rounded(mark * (percent - 100), 100) for mark in running))


def fixed(rule: EarningRule, items: Sequence[Item], bases: Mapping[str, int]) -> dict[str, int]:
    """What a bonus gives: each piece the same; or once, by the lines' amounts, and by pieces
    where all is free."""
    if rule.per == "piece":
        return {item.line_id: rule.points * item.quantity for item in items}
    weights = {item.line_id: max(0, bases[item.line_id]) for item in items}
    if not any(weights.values()):
        weights = {item.line_id: item.quantity for item in items}
    return apportion(rule.points, weights)


def scale(points: Mapping[str, int], total: int) -> dict[str, int]:
    """The same shares of a smaller whole."""
    return apportion(total, points)


def _floor(part: int, whole: int) -> int:
    return part // whole


def _nearest(part: int, whole: int) -> int:
    return (2 * part + whole) // (2 * whole)


def _ceil(part: int, whole: int) -> int:
    return -(-part // whole)


ROUNDINGS: dict[Rounding, Callable[[int, int], int]] = {
    "floor": _floor,
    "nearest": _nearest,
    "ceil": _ceil,
}
