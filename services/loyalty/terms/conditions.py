"""When a rule or an offer holds, and for which lines. Pure.

`Conditions` speak of the order and of who buys; `Selection` of one line. An empty field
asks for nothing; several values in one field mean any of them; all fields must hold. What
does not hold is named, so that it can be explained.
"""

from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.loyalty.terms.cart import Cart, Item, Shopper
from shared.events.fields import Amount, Code, Currency, Id, Label, StoreId

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Scalar = bool | int | str
Names = Annotated[frozenset[Label], Field(max_length=1_000)]
Skus = Annotated[frozenset[Id], Field(max_length=100_000)]
Wanted = Annotated[dict[Code, Annotated[tuple[Scalar, ...], Field(min_length=1)]], Field()]
Few = Annotated[int, Field(ge=0, le=366)]


class Part(BaseModel):
    """A part of a definition: frozen, and an unknown field is a mistake that is named."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Hours(Part):
    """From `since` until just before `until`, in the store's zone; over midnight if later."""

    since: time = time(0)
    until: time = time(0)

    def holds(self, at: time) -> bool:
        if self.since < self.until:
            return self.since <= at < self.until
        return at >= self.since or at < self.until


class Birthday(Part):
    """Around the birthday. 29 February falls on 1 March in other years."""

    days_before: Few = 0
    days_after: Few = 0
    whole_month: bool = False


class Conditions(Part):
    """Of the order and the customer."""

    stores: frozenset[StoreId] = frozenset()
    channels: frozenset[Code] = frozenset()
    currencies: frozenset[Currency] = frozenset()
    tiers: frozenset[Code] = frozenset()
    segments: frozenset[Id] = frozenset()
    """In any of them."""
    not_segments: frozenset[Id] = frozenset()
    """In none of them."""
    attributes: Wanted = Field(default_factory=dict)
    """Published attributes of the customer, with the values that will do."""
    weekdays: frozenset[Weekday] = frozenset()
    days_of_month: frozenset[Annotated[int, Field(ge=1, le=31)]] = frozenset()
    """Such as 18: member day."""
    hours: Hours | None = None
    birthday: Birthday | None = None
    order_number: Annotated[int, Field(ge=1)] | None = None
    """1: the first order."""
    every_nth_order: Annotated[int, Field(ge=2)] | None = None
    spend_min_minor: Amount = 0
    """Of the lines that the rule or offer selects."""

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        if self.order_number and self.every_nth_order:
            raise ValueError("order_number and every_nth_order: give one of them")
        return self


class Selection(Part):
    """Of one line. Without any field: every product line."""

    categories: Names = frozenset()
    """A name anywhere in the line's path."""
    brands: Names = frozenset()
    product_ids: Skus = frozenset()
    skus: Skus = frozenset()
    attributes: Wanted = Field(default_factory=dict)
    not_categories: Names = frozenset()
    not_brands: Names = frozenset()
    not_product_ids: Skus = frozenset()
    not_skus: Skus = frozenset()

    def misses(self, item: Item) -> str:
        """Why the line is not selected; empty: it is."""
        for name, wanted, has in (
            ("category", self.categories, item.category),
            ("brand", self.brands, (item.brand,)),
            ("product", self.product_ids, (item.product_id,)),
            ("sku", self.skus, (item.sku,)),
        ):
            if wanted and wanted.isdisjoint(has):
                return name
        for name, unwanted, has in (
            ("excluded_category", self.not_categories, item.category),
            ("excluded_brand", self.not_brands, (item.brand,)),
            ("excluded_product", self.not_product_ids, (item.product_id,)),
            ("excluded_sku", self.not_skus, (item.sku,)),
        ):
            if not unwanted.isdisjoint(has):
                return name
        return "" if has_any(item.attributes, self.attributes) else "attribute"


def misses(conditions: Conditions, cart: Cart, shopper: Shopper) -> Iterator[str]:
    """The names of the conditions that do not hold, but for `spend_min_minor`."""
    at = cart.at.astimezone(cart.zone)
    number = shopper.orders_before + 1
    for name, wanted, has in (
        ("store", conditions.stores, {cart.store}),
        ("channel", conditions.channels, {cart.channel}),
        ("currency", conditions.currencies, {cart.currency}),
        ("tier", conditions.tiers, {shopper.tier}),
        ("segment", conditions.segments, shopper.segments),
        ("weekday", conditions.weekdays, {WEEKDAYS[at.weekday()]}),
        ("day_of_month", conditions.days_of_month, {at.day}),
    ):
        if wanted and wanted.isdisjoint(has):
            yield name
    if not conditions.not_segments.isdisjoint(shopper.segments):
        yield "excluded_segment"
    if not has_any(shopper.attributes, conditions.attributes):
        yield "attribute"
    if conditions.hours and not conditions.hours.holds(at.time()):
        yield "hours"
    if conditions.birthday and not near(conditions.birthday, shopper.birthday, at.date()):
        yield "birthday"
    if conditions.order_number and number != conditions.order_number:
        yield "order_number"
    if conditions.every_nth_order and number % conditions.every_nth_order:
        yield "order_number"


def facts_of(conditions: Conditions) -> Iterator[str]:
    """What must be known of the shopper, by the names that `shoppers.py` gives facts."""
    for segment_id in conditions.segments | conditions.not_segments:
        yield f"segment/{segment_id}"
    for name in conditions.attributes:
        yield f"attribute/{name}"
    if conditions.birthday:
        yield "birthday"


def asks_catalogue(lines: Selection) -> bool:
    """Whether the catalogue must be asked to know which lines are selected."""
    named = lines.categories | lines.brands | lines.not_categories | lines.not_brands
    return bool(named or lines.attributes)


def near(window: Birthday, birthday: str, day: date) -> bool:
    """Whether `day` is within the window around the birthday; an unknown one never is."""
    if not birthday:
        return False
    month = int(birthday[-5:-3])
    if window.whole_month and day.month == month:
        return True
    return any(
        -timedelta(window.days_before) <= day - falls_on(birthday, year)
        and day - falls_on(birthday, year) <= timedelta(window.days_after)
        for year in (day.year - 1, day.year, day.year + 1)
    )


def falls_on(birthday: str, year: int) -> date:
    """The day of the birthday in a year: 29 February is 1 March where there is none."""
    month, day = int(birthday[-5:-3]), int(birthday[-2:])
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, 3, 1)


def has_any(found: Mapping[str, object], wanted: Mapping[str, tuple[Scalar, ...]]) -> bool:
    """Whether each name wanted has one of its values; of several values found, any will do."""
    for name, values in wanted.items():
        value = found.get(name)
        held = value if isinstance(value, (tuple, list, frozenset)) else (value,)
        if not any(one in values for one in held):
            return False
    return True
