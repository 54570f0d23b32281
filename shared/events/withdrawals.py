"""What a null value on a compacted topic means: the thing that the key names is withdrawn.

The event has no envelope, so its place in the log names it, and it is true from when it
was appended.
"""

from datetime import UTC, datetime

from pydantic import ValidationError

from shared.errors import Reject
from shared.events import attributes as ce
from shared.events.catalog import TOPIC as CATALOG
from shared.events.catalog import ProductWithdrawn
from shared.events.envelope import Event, Fact
from shared.events.offers import TOPIC as OFFERS
from shared.events.offers import OfferChanged
from shared.message import Message


def withdrawal(message: Message, key: str) -> Event:
    """The event that the record stands for; raises Reject where it stands for none."""
    if message.topic not in {CATALOG, OFFERS}:
        raise Reject(f"the record has no value; only {CATALOG} and {OFFERS} delete by a null value")
    store, _, sku = key.partition(":")
    gone = {"currency": "XXX", "price_minor": 0, "stock": 0, "withdrawn": True}
    fact: Fact
    try:
        if message.topic == OFFERS:
            fact = OfferChanged.model_validate({"store": store, "sku": sku, **gone})
        else:
            fact = ProductWithdrawn(product_id=key)
    except ValidationError as error:
        raise Reject(ce.explain(error)) from None
    return Event(
        id=f"tombstone/{message.topic}/{message.partition}/{message.offset}",
        source="kafka",
        type="offer.changed" if message.topic == OFFERS else "product.withdrawn",
        time=datetime.fromtimestamp(message.timestamp_ms / 1000, UTC),
        topic=message.topic,
        key=key,
        data=fact,
        partition=message.partition,
        offset=message.offset,
    )
