"""shop.offers.v1 (compacted, key store:sku): what a variant costs in a store, and its stock.

A null value on the topic withdraws the offer that is its key.
"""

from pydantic import AwareDatetime

from shared.events.envelope import Fact
from shared.events.fields import Amount, Currency, Id, Quantity, StoreId

TOPIC = "shop.offers.v1"


class OfferChanged(Fact, use_attribute_docstrings=True):
    """The whole offer as it now stands."""

    store: StoreId
    sku: Id
    product_id: Id | None = None
    """The product whose variant this is; absent: as the catalogue has it."""
    currency: Currency
    price_minor: Amount
    """What one piece costs now, as shown to the customer."""
    list_price_minor: Amount | None = None
    """The price that is struck through, if there is one."""
    stock: Quantity | None = None
    """Pieces that can be sold; 0: none; absent: not counted, always there."""
    on_sale_from: AwareDatetime | None = None
    on_sale_until: AwareDatetime | None = None
    """The first moment at which it is no longer sold."""
    withdrawn: bool = False
    """No longer sold in this store."""


TYPES: dict[str, type[Fact]] = {"offer.changed": OfferChanged}
