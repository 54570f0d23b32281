"""A cart as a checkout or a storefront sends it, and what it is to rules and offers."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

from services.loyalty.benefits import codes
from services.loyalty.terms.cart import Cart, Item, Kind
from shared.errors import Unprocessable
from shared.events.envelope import CustomerId
from shared.events.fields import (
    LINES_MAX,
    Amount,
    Currency,
    Id,
    Label,
    Quantity,
    ShortCode,
    StoreId,
)
from shared.http.context import Body
from shared.stores import Stores

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def _sensible(value: datetime) -> datetime:
    """Refuse what no zone could tell the day of."""
    if not EARLIEST <= value < LATEST:
        raise ValueError("give a time between 2000 and 2200")
    return value


COUPONS_MAX = 20
"""On one order."""
Typed = Annotated[str, Field(max_length=codes.TYPED_MAX)]
Moment = Annotated[AwareDatetime, AfterValidator(_sensible)]


class CartLine(Body):
    """One line; money is in minor units of the base currency."""

    line_id: Id | None = None
    """Absent: its number in the cart, from 1."""
    kind: Kind = "product"
    product_id: Id | None = None
    sku: Id | None = None
    quantity: Annotated[Quantity, Field(ge=1)] = 1
    unit_price_minor: Amount
    """Tax included."""
    discount_minor: Amount = 0
    """On the whole line."""
    tax_minor: Amount = 0
    """The tax that the line contains after discounts."""
    category: Annotated[tuple[Label, ...], Field(max_length=20)] = ()
    """The path from the root, and the brand: of products that the catalogue does not have."""
    brand: Label = ""


class CartAsked(Body):
    """A cart that is only asked about."""

    customer_id: CustomerId | None = None
    """Who would buy it; absent: somebody who is not known."""
    store: StoreId = "default"
    channel: ShortCode = ""
    """Empty: the store's own."""
    currency: Currency | None = None
    """What the order would be in; absent: the base currency. Amounts are in that one anyway."""
    lines: Annotated[tuple[CartLine, ...], Field(min_length=1, max_length=LINES_MAX)]
    paid_in_points_minor: Amount = 0
    """The part that would be paid in points."""
    coupons: Annotated[tuple[Typed, ...], Field(max_length=COUPONS_MAX)] = ()
    """Codes of the coupons that would be used, as they were typed."""
    order_id: Id | None = None
    """The order that the cart will be, where it has an id: coupons reserved for it are its own."""
    at: Moment | None = None
    """Another time than now, such as a day of a campaign to come; for server keys."""

    def cart(self, now: datetime, stores: Stores) -> Cart:
        """As rules and offers see it."""
        store = stores.get(self.store)
        items = tuple(_item(number, line) for number, line in enumerate(self.lines, 1))
        if len({item.line_id for item in items}) != len(items):
            raise Unprocessable("lines: two have the same line_id; give each its own")
        return Cart(
            store=self.store,
            at=self.at or now,
            zone=store.tz,
            currency=self.currency or stores.base_currency,
            items=items,
            channel=self.channel or store.channel,
            paid_in_points_minor=self.paid_in_points_minor,
            order_id=self.order_id or "",
        )


def _item(number: int, line: CartLine) -> Item:
    return Item(
        line_id=line.line_id or str(number),
        quantity=line.quantity,
        total_minor=line.quantity * line.unit_price_minor - line.discount_minor,
        kind=line.kind,
        discount_minor=line.discount_minor,
        tax_minor=line.tax_minor,
        product_id=line.product_id or "",
        sku=line.sku or "",
        category=line.category,
        brand=line.brand,
    )
