"""shop.orders.v1: the whole order as it now stands, after each thing that happens to it.

The type says what just happened; the data is the order's snapshot with a `revision` that
only grows. What an event changes is the difference to the last revision seen, so lost,
late and doubled deltas cannot corrupt anything: a lower revision goes to the timeline and
changes no state, and one event of an order never seen is enough.

Money, each in minor units of `currency`:
* line: `total_minor` = quantity x unit_price_minor - discount_minor, and + tax_minor where
  unit prices exclude tax. It is what the customer owes for the line, tax included;
  `discount_minor` holds the line's share of the order's discounts.
* order: `total_minor` = the sum of the lines' totals; shipping and fees are lines.
* tenders sum to `total_minor` once the order is paid. Points and gift cards pay: they are
  tenders and lower no line.
"""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from shared.events.envelope import CustomerFact, Minor
from shared.events.fields import (
    LINES_MAX,
    Amount,
    Campaign,
    Contact,
    Currency,
    Id,
    Label,
    Part,
    Quantity,
    Shipment,
    ShortCode,
    StoreId,
    Url,
    Version,
)

TOPIC = "shop.orders.v1"


class Line(Part):
    """One line of the order; the counts are cumulative: how many pieces so far."""

    line_id: Id
    """Unique within the order, and the same in every revision."""
    kind: Literal["product", "shipping", "fee", "gift_card", "gift"] = "product"
    """`gift_card` is one that is sold; `gift` is an addition that costs nothing."""
    product_id: Id | None = None
    """Absent for shipping and fees."""
    sku: Id | None = None
    name: Label = ""
    category: Label = ""
    brand: Label = ""
    variant: Label = ""
    image_url: Url = ""
    quantity: Quantity
    """Pieces ordered; cancelled and returned ones still count here."""
    unit_price_minor: Minor
    discount_minor: Amount = 0
    """Discount on the whole line, its share of the order's discounts included."""
    tax_minor: Amount = 0
    """The tax that `total_minor` contains."""
    total_minor: Minor
    """What the customer owes for the line as ordered, tax included."""
    shipped: Quantity = 0
    delivered: Quantity = 0
    cancelled: Quantity = 0
    """Pieces taken back before they were shipped."""
    returned: Quantity = 0
    refunded_minor: Amount = 0
    """Money given back for this line so far, with or without goods."""


class Tender(Part):
    """How a part of the order is paid."""

    kind: Literal["money", "points", "gift_card", "coupon"]
    amount_minor: Amount
    reservation_id: Id | None = None
    """Loyalty's reservation, for points: `order.paid` confirms it, `order.cancelled` frees it."""


class OrderSnapshot(CustomerFact, use_attribute_docstrings=True):
    """The whole order as it now stands."""

    order_id: Id
    """Never used again for another order."""
    revision: Version
    """Grows by at least one with each event of the order, across all types."""
    store: StoreId
    channel: ShortCode = ""
    """Where it was placed, such as web, app, till; empty: the store's own."""
    currency: Currency
    """Of every amount in this order but `base_total_minor`."""
    base_total_minor: Minor | None = None
    """`total_minor` in the platform's base currency; needed where `currency` is another one."""
    rate: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Units of the base currency for one unit of `currency`, as used for `base_total_minor`."""
    total_minor: Minor
    """The sum of the lines' totals."""
    lines: Annotated[tuple[Line, ...], Field(max_length=LINES_MAX)]
    tenders: Annotated[tuple[Tender, ...], Field(max_length=100)] = ()
    """They sum to `total_minor` once the order is paid."""
    campaign: Campaign | None = None
    coupon: ShortCode = ""
    """The code that was entered, if any; its money is in the lines' discounts."""
    test: bool = False
    """A test or staff order: shown, and counted nowhere."""
    placed_at: AwareDatetime | None = None
    """When it was placed; absent: not known to the producer."""
    cancel_reason: Label = ""
    return_reason: Label = ""
    return_id: Id | None = None
    """The return that this event is about."""
    exchange_order_id: Id | None = None
    """The order that was made in exchange for returned pieces."""
    shipment: Shipment | None = None
    contact: Contact | None = None
    device_id: ShortCode = ""
    """The shop's own id of the device or browser that ordered."""
    address_hash: ShortCode = ""
    """The shop's own hash of the delivery address: the same for the same place, and no address."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        """Refuse what would corrupt every fold: a line twice, more taken back than ordered."""
        lines = self.lines
        if len({line.line_id for line in lines}) != len(lines):
            raise ValueError("two lines have the same line_id; give each line its own")
        for line in lines:
            if line.cancelled + line.returned > line.quantity:
                raise ValueError("a line has cancelled + returned above its quantity")
        return self


ORDER_TYPES = (
    "order.placed",
    "order.paid",
    "order.changed",
    "order.shipped",
    "order.delivered",
    "order.completed",
    "order.cancelled",
    "order.returned",
    "order.refunded",
    "order.exchanged",
    "return.requested",
    "return.received",
)
TYPES: dict[str, type[CustomerFact]] = dict.fromkeys(ORDER_TYPES, OrderSnapshot)
