"""A rule tried on past orders: what it would have cost, and who would win or lose. Pure.

Each order is awarded twice by the same function, for the shopper and at the time it had:
by the rules that were in force, and by those with the candidate in force. Caps and budgets
start from nothing at the first order, for both. Returns are left aside: it is what would have
been given.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from services.loyalty.earning import usage
from services.loyalty.earning.awarding import award
from services.loyalty.earning.caps import Place
from services.loyalty.earning.rules import Rulebook
from services.loyalty.terms.cart import Cart, Shopper

Rules = Callable[[Cart], Rulebook]
"""The rules that count for a cart, by its time."""


@dataclass(slots=True)
class Side:
    """One of the two sets of rules, and what it has given so far."""

    rules: Rules
    points: int = 0
    counted: defaultdict[str, Counter[Place]] = field(default_factory=lambda: defaultdict(Counter))
    budgets: Counter[str] = field(default_factory=Counter)

    def give(self, cart: Cart, shopper: Shopper, who: str) -> int:
        used = usage.used([self.counted[who]], [self.budgets])
        awards = award(cart, shopper, self.rules(cart), used)
        for credit in usage.credits_of(awards, cart):
            given = sum(credit.lines.values())
            for period in credit.periods:
                self.counted[who][usage.RULE + credit.rule_id, period] += given
            if credit.budget is not None:
                self.budgets[credit.rule_id] += given
        self.points += awards.points
        return awards.points


@dataclass(slots=True)
class Trial:
    """Both sides, order by order in the order of time."""

    before: Side
    after: Side
    orders: int = 0
    awarded: int = 0
    """What the orders were awarded in fact."""
    up: int = 0
    down: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    """By account: what he would have more."""

    def take(self, cart: Cart, shopper: Shopper, account: str, awarded: int) -> None:
        """`account`: whose it is; empty: nobody's any more, and he has no caps."""
        who = account or cart.order_id
        change = self.after.give(cart, shopper, who) - self.before.give(cart, shopper, who)
        self.orders += 1
        self.awarded += awarded
        self.up += change > 0
        self.down += change < 0
        if change:
            self.changes[account] += change

    @property
    def winners(self) -> int:
        return sum(change > 0 for account, change in self.changes.items() if account)

    @property
    def losers(self) -> int:
        return sum(change < 0 for account, change in self.changes.items() if account)

    def extremes(self, count: int, *, best: bool) -> list[tuple[str, int]]:
        """The accounts that would win, or lose, the most."""
        sign = 1 if best else -1
        ranked = sorted(self.changes.items(), key=lambda each: (-sign * each[1], each[0]))
        return [(who, change) for who, change in ranked if who and sign * change > 0][:count]
