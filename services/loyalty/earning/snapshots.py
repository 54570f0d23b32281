"""Decisions as they are kept: what each rule gave each line, and the cart it was made on. Pure.

A tuple stands as a list in the row; whatever is empty at a tuple's end is left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.loyalty.books.points import RuleName
from services.loyalty.earning.awarding import Awards, LineAward
from services.loyalty.earning.decisions import Made
from services.loyalty.terms.cart import Cart, Item, Shopper
from shared.stores import Stores

NONE = RuleName("", 0)
"""Stands for a line that no rule selected."""
TRIED = frozenset({"earned", "rounded", "no_amount", "gives_none"})
"""The verdicts of a rule on a line that it selects."""


class AwardSnapshot(NamedTuple):
    """What one rule gave one line, as it is kept: reversals never ask today's rules."""

    order_id: str
    line_id: str
    revision: int
    rule: RuleName
    basis_minor: int
    points: int
    inputs: Mapping[str, Any]
    """The rule's in this order; its lines share them."""


class RuleVerdict(NamedTuple):
    """What one rule said of an order; without `lines`, `verdict` holds for each line."""

    rule_id: str
    version: int
    kind: str
    verdict: str
    points: int = 0
    cut: int = 0
    cut_by: str = ""
    lines: Mapping[str, LineAward] = {}

    def of_line(self, line_id: str) -> LineAward:
        return self.lines.get(line_id) or LineAward(self.verdict)


def of(made: Iterable[Made]) -> Iterator[AwardSnapshot]:
    """A row for each line and each rule that selected it, or one that none did."""
    for one in made:
        left = dict.fromkeys(one.awards.lines)
        for each in one.awards.rules:
            more = {"kind": each.rule.body.kind, "rule_points": each.points, "cut": each.cut}
            inputs, name = {**one.inputs, **more}, RuleName(each.rule.id, each.rule.version)
            for line_id, line in each.lines.items():
                if line.verdict in TRIED:
                    left.pop(line_id, None)
                    yield _snapshot(one, line_id, name, line, inputs)
        for line_id in left:
            yield _snapshot(one, line_id, NONE, LineAward(""), one.inputs)


def _snapshot(
    made: Made, line_id: str, rule: RuleName, line: LineAward, inputs: Mapping[str, Any]
) -> AwardSnapshot:
    return AwardSnapshot(
        made.cart.order_id, line_id, made.revision, rule, line.basis, line.points, inputs
    )


def verdicts(awards: Awards) -> list[RuleVerdict]:
    """Every rule's, in the order in which they were tried."""
    return [
        RuleVerdict(
            each.rule.id,
            each.rule.version,
            each.rule.body.kind,
            each.verdict,
            each.points,
            each.cut,
            each.cut_by,
            each.lines,
        )
        for each in awards.rules
    ]


def verdicts_from(row: Iterable[Sequence[Any]]) -> list[RuleVerdict]:
    found = []
    for rule_id, version, kind, verdict, points, cut, cut_by, lines in row:
        by_line = {line_id: LineAward(*line) for line_id, line in lines.items()}
        found.append(RuleVerdict(rule_id, version, kind, verdict, points, cut, cut_by, by_line))
    return found


def cart_row(cart: Cart) -> dict[str, Any]:
    """Without the products' attributes, which the catalogue has."""
    items = [
        (
            *(item.line_id, item.quantity, item.total_minor, item.kind, item.discount_minor),
            *(item.tax_minor, item.product_id, item.sku, item.brand, item.category),
        )
        for item in cart.items
    ]
    row = {
        "store": cart.store,
        "currency": cart.currency,
        "channel": cart.channel,
        "paid_in_points_minor": cart.paid_in_points_minor,
        "rewards": sorted(cart.rewards),
        "items": [_trimmed(item) for item in items],
    }
    return {name: value for name, value in row.items() if value}


def cart_from(row: Mapping[str, Any], order_id: str, placed_at: datetime, stores: Stores) -> Cart:
    return Cart(
        store=row["store"],
        at=placed_at,
        zone=stores.get(row["store"]).tz,
        currency=row["currency"],
        items=tuple(_item(told) for told in row.get("items", ())),
        channel=row.get("channel", ""),
        order_id=order_id,
        paid_in_points_minor=row.get("paid_in_points_minor", 0),
        rewards=frozenset(row.get("rewards", ())),
    )


def shopper_row(shopper: Shopper | None) -> dict[str, Any] | None:
    """Without what names him, and without birthday and attributes."""
    if shopper is None:
        return None
    row = {
        "tier": shopper.tier,
        "tier_percent": shopper.tier_percent if shopper.tier_percent != 100 else 0,
        "segments": sorted(shopper.segments),
        "orders_before": shopper.orders_before,
        "joined_at": shopper.joined_at.isoformat() if shopper.joined_at else "",
    }
    return {name: value for name, value in row.items() if value}


def shopper_from(row: Mapping[str, Any], customer_id: str) -> Shopper:
    joined = row.get("joined_at")
    return Shopper(
        customer_id,
        tier=row.get("tier", ""),
        tier_percent=row.get("tier_percent", 100),
        segments=frozenset(row.get("segments", ())),
        orders_before=row.get("orders_before", 0),
        joined_at=datetime.fromisoformat(joined) if joined else None,
    )


def _trimmed(told: tuple[Any, ...]) -> tuple[Any, ...]:
    while told and not told[-1]:
        told = told[:-1]
    return told


def _item(told: Sequence[Any]) -> Item:
    names = ("line_id", "quantity", "total_minor", "kind", "discount_minor")
    more = ("tax_minor", "product_id", "sku", "brand", "category")
    held = dict(zip((*names, *more), told, strict=False))
    held["category"] = tuple(held.get("category", ()))
    return Item(**{"quantity": 0, "total_minor": 0} | held)
