"""Every event type that this release knows: its topic, its model, its key.

One type may live on two topics (`survey.answered`: in the shop, or by the link of a
message). What a record is, is decided by topic and type together; `TOPIC_OF` names the
first topic, which is the shop's.
"""

from collections.abc import Callable
from difflib import get_close_matches
from operator import attrgetter
from typing import Any, NamedTuple

from shared.events import (
    browse,
    catalog,
    customers,
    engagement,
    erasures,
    feedback,
    ledger,
    loyalty,
    notices,
    offers,
    orders,
    profiles,
)
from shared.events.envelope import Fact

MODULES = (
    orders,
    browse,
    customers,
    catalog,
    offers,
    feedback,
    engagement,
    profiles,
    loyalty,
    ledger,
    notices,
    erasures,
)


class Kind(NamedTuple):
    """How one type on one topic is read."""

    model: type[Fact]
    validate_json: Callable[[bytes], Fact]  # the model's own validator: no adapter in between
    key_of: Callable[[Any], str]


def _offer_key(data: offers.OfferChanged) -> str:
    return f"{data.store}:{data.sku}"


def _block_key(data: ledger.LedgerSealed) -> str:
    return str(data.block)


KEY_NAMES = {catalog.TOPIC: "product_id", offers.TOPIC: "store:sku", ledger.TOPIC: "block"}
"""What the record key is; on every other topic it is customer_id."""

COMPACTED = frozenset(KEY_NAMES)

KEY_OF: dict[str, Callable[[Any], str]] = {
    module.TOPIC: attrgetter("customer_id") for module in MODULES
} | {catalog.TOPIC: attrgetter("product_id"), offers.TOPIC: _offer_key, ledger.TOPIC: _block_key}

KINDS: dict[str, dict[str, Kind]] = {
    module.TOPIC: {
        name: Kind(model, model.__pydantic_validator__.validate_json, KEY_OF[module.TOPIC])
        for name, model in module.TYPES.items()
    }
    for module in MODULES
}

TOPICS_OF: dict[str, tuple[str, ...]] = {
    name: tuple(topic for topic, kinds in KINDS.items() if name in kinds)
    for kinds in KINDS.values()
    for name in kinds
}
TOPIC_OF: dict[str, str] = {name: topics[0] for name, topics in TOPICS_OF.items()}
MODELS: dict[str, type[Fact]] = {name: KINDS[topic][name].model for name, topic in TOPIC_OF.items()}


def nearest(name: str, known: Any) -> str:
    """The known name that `name` was probably meant to be, or empty."""
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.6)), "")
