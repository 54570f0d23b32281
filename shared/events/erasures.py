"""crm.erasures.v1: the receipts of an erasure, one from each service."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from shared.events.envelope import CustomerFact
from shared.events.fields import Code, Count, Id

TOPIC = "crm.erasures.v1"


class ErasureCompleted(CustomerFact, use_attribute_docstrings=True):
    """This service holds nothing about the person any more, but for what `gone_by` names."""

    service: Code
    request_id: Id
    erased: Annotated[dict[Code, Count], Field(max_length=100)]
    """Rows erased or made nameless, by table or store."""
    gone_by: Annotated[dict[Code, AwareDatetime], Field(max_length=20)] = Field(
        default_factory=dict
    )
    """What ages out by itself, such as topics and backups, and when it will be gone."""


TYPES: dict[str, type[CustomerFact]] = {"erasure.completed": ErasureCompleted}
