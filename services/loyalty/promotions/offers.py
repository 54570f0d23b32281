"""What an offer is: who it is for, which lines count, what it gives, and how far. Pure.

    steps       spend X save Y, or p %, or n pieces for p % off; a ladder of such steps
    every       every X save Y
    nth_piece   of every n pieces one is p % off, or free
    pieces_for  n pieces for a price
    gift        a gift with the purchase, for each X or once, perhaps one of several

Each kind has levels: a step of the ladder, how many times X was spent, how many sets of n
are complete. `level` says which is reached and `needs` what the next one takes, in money or
in pieces. Money is in minor units of the base currency.
"""

from abc import abstractmethod
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.loyalty.terms.conditions import Conditions, Part, Selection
from services.loyalty.terms.definitions import Definition, DefinitionId
from shared.events.fields import Amount, Code, Id

Measure = Literal["money", "pieces"]
Basis = Literal["list", "price", "left"]
Pieces = Annotated[int, Field(ge=1, le=1_000_000)]
Percent = Annotated[int, Field(ge=1, le=100)]
Some = Annotated[int, Field(ge=1, le=10**15)]
TIMES_MAX = 1_000_000
"""As often as anybody can reach a level; an offer without a cap has this one."""
Times = Annotated[int, Field(ge=1, le=TIMES_MAX)]


class Step(Part):
    """From so much money, or so many pieces, on: so much off, or so many percent."""

    spend_minor: Amount = 0
    pieces: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    save_minor: Amount = 0
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Of what counts (`basis`), rounded down, once for all lines."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.spend_minor and self.pieces:
            raise ValueError("a step begins at spend_minor or at pieces: give one of them")
        if bool(self.save_minor) == bool(self.percent):
            raise ValueError("a step saves save_minor or percent: give one of them")
        return self

    @property
    def needs(self) -> int:
        return self.spend_minor or self.pieces


class Steps(Part):
    """The highest step that is reached counts, and it alone. It saves the most, too."""

    kind: Literal["steps"] = "steps"
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=20)]
    off: Literal["lines", "shipping"] = "lines"
    """What is lowered: the lines that count, or the order's shipping."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if len({self._form(step) for step in self.steps}) > 1:
            raise ValueError("steps: all in money or all in pieces; all save money or percent")
        for low, high in pairwise(self.steps):
            if low.needs >= high.needs or self._saves(low) >= self._saves(high):
                raise ValueError("steps: each must ask for more than the one before, and save more")
        return self

    @property
    def measure(self) -> Measure:
        return "pieces" if any(step.pieces for step in self.steps) else "money"

    def level(self, have: int) -> int:
        return sum(step.needs <= have for step in self.steps)

    def needs(self, level: int) -> int | None:
        """What a level takes; None: there is no such level."""
        return self.steps[level - 1].needs if level <= len(self.steps) else None

    @staticmethod
    def _form(step: Step) -> tuple[bool, bool]:
        return bool(step.pieces), bool(step.percent)

    @staticmethod
    def _saves(step: Step) -> int:
        return step.save_minor or step.percent


class Repeated(Part):
    """Kinds that give the same again for every so much: level 2 is twice."""

    times_max: Times = TIMES_MAX
    """How often in one order, at most."""

    @property
    @abstractmethod
    def each(self) -> int:
        """What one level takes."""

    def level(self, have: int) -> int:
        return min(max(0, have) // self.each, self.times_max)

    def needs(self, level: int) -> int | None:
        """What a level takes; None: there is no such level."""
        return level * self.each if level <= self.times_max else None


class Every(Repeated):
    """Every X save Y."""

    kind: Literal["every"] = "every"
    spend_minor: Some
    save_minor: Some
    measure: Literal["money"] = "money"

    @model_validator(mode="after")
    def _saves_no_more_than_is_spent(self) -> Self:
        if self.save_minor > self.spend_minor:
            raise ValueError("save_minor: give no more than spend_minor")
        return self

    @property
    def each(self) -> int:
        return self.spend_minor


class NthPiece(Repeated):
    """Of every n pieces one is p % off; 100: free."""

    kind: Literal["nth_piece"] = "nth_piece"
    n: Annotated[int, Field(ge=2, le=1_000)]
    percent: Percent = 100
    which: Literal["cheapest", "cheapest_of_set"] = "cheapest"
    """The cheapest pieces of all; or, the dearest pieces making the first set of n, the next
    the second, the cheapest of each set."""
    measure: Literal["pieces"] = "pieces"

    @property
    def each(self) -> int:
        return self.n


class PiecesFor(Repeated):
    """n pieces for a price: the dearest make the first set, as long as a set costs more."""

    kind: Literal["pieces_for"] = "pieces_for"
    pieces: Annotated[int, Field(ge=2, le=1_000)]
    price_minor: Amount
    measure: Literal["pieces"] = "pieces"

    @property
    def each(self) -> int:
        return self.pieces


class Gift(Part):
    """What is added to the order."""

    product_id: Id | None = None
    sku: Id | None = None
    quantity: Pieces = 1
    worth_minor: Amount = 0
    """What it costs the store: for budgets, and to compare offers of one group."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (self.product_id or self.sku):
            raise ValueError("a gift is a product_id or a sku: give one of them")
        return self


class GiftOffer(Repeated):
    """A gift from so much money, or so many pieces, on; the customer takes one of `choices`."""

    kind: Literal["gift"] = "gift"
    spend_minor: Amount = 0
    pieces: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    choices: Annotated[tuple[Gift, ...], Field(min_length=1, max_length=50)]
    times_max: Times = 1

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if self.spend_minor and self.pieces:
            raise ValueError("a gift comes with spend_minor or with pieces: give one of them")
        return self

    @property
    def measure(self) -> Measure:
        return "pieces" if self.pieces else "money"

    @property
    def each(self) -> int:
        return self.spend_minor or self.pieces

    def level(self, have: int) -> int:
        return super().level(have) if self.each else 1


Gives = Annotated[Steps | Every | NthPiece | PiecesFor | GiftOffer, Field(discriminator="kind")]


class Budget(Part):
    """What an offer may come to, from the time on at which it first has a budget."""

    cost_minor: Some | None = None
    """Discounts and the worth of gifts, in all orders."""
    uses: Some | None = None
    """Orders."""


class Offer(Definition):
    """Money off, or a gift, without a code."""

    when: Conditions = Conditions()
    lines: Selection = Selection()
    """Which lines count, and are lowered."""
    coupon: DefinitionId | None = None
    """The reward whose coupon must be used on the order."""
    gives: Gives
    basis: Basis = "price"
    """What counts of a line: its list price; its price after its own discount; or what earlier
    offers have left of that."""
    priority: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """Lower ones come first."""
    group: Code | None = None
    """Of the offers of a group one applies: the best for the customer."""
    exclusive: bool = False
    """Applies alone: if it is better for the customer than all the others together."""
    share_max_percent: Percent = 100
    """Of a line's list price: what its own discount, earlier offers and this one may take."""
    budget: Budget = Budget()
    uses_per_member: Some | None = None
    """Orders. A guest, who cannot be counted, is not given such an offer."""

    @property
    def is_budgeted(self) -> bool:
        return bool(self.budget.uses or self.budget.cost_minor)
