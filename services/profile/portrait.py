"""A person in one answer: the members' rows, joined. Pure, and quick for the usual one row."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from services.profile import attributes, traits
from services.profile.attributes import Attributes
from services.profile.traits import Traits

Row = Mapping[str, Any]

COUNTED = (
    "orders",
    "units",
    "spend_minor",
    "placed_orders",
    "placed_minor",
    "orders_left_out",
    "first_order_at",
    "last_order_at",
)
SEEN = ("first_seen_at", "last_seen_at")


def portrait(rows: Sequence[Row], customer_id: str, currency: str) -> dict[str, Any]:
    """The answer about whoever has this id; `rows` are the members', at least one.

    A row is of `profile`, with the person's `canonical_id` and `members` where it has any.
    """
    first = rows[0]
    answer = {
        "customer_id": customer_id,
        "canonical_id": first.get("canonical_id") or customer_id,
        "members": first.get("members") or [customer_id],
        "currency": currency,
    }
    if len(rows) == 1:
        answer["attributes"] = from_json(first["attributes"])
        answer |= {name: first[name] for name in COUNTED}
        answer["browse"] = from_json(first["browse"])
        answer |= {name: first[name] for name in SEEN}
        return answer
    person = traits.join([_traits(row) for row in rows], customer_id)
    answer["attributes"] = attributes.join([_attributes(row) for row in rows], customer_id).values
    answer |= {name: getattr(person, name) for name in (*COUNTED, "browse", *SEEN)}
    return answer


def _traits(row: Row) -> Traits:
    counted = {name: row[name] for name in (*COUNTED, *SEEN)}
    return Traits(row["customer_id"], browse=from_json(row["browse"]), **counted)


def _attributes(row: Row) -> Attributes:
    return Attributes(row["customer_id"], from_json(row["attributes"]), from_json(row["stamps"]))
