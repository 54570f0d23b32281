"""A person's accounts, locked: the first lock of every transaction that concerns a member.

A person is all ids that were merged. Each of them has an account from then on: so two requests
for one person that come under two of his ids at once meet, and so does an order that is
first heard of at the same moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books.ledger import Account
from services.loyalty.store import members
from shared import aliases
from shared.errors import Unprocessable

NOT_KNOWN = ("anon:", "guest:")


class NobodyKnown(Unprocessable):
    """Only a customer can be a member: a visitor or a guest is nobody yet."""


@dataclass(frozen=True, slots=True)
class Held:
    """A person, and his accounts by customer id; the one that was asked for has one."""

    customer_id: str
    members: tuple[str, ...]
    accounts: Mapping[str, Account]


def refuse_nobody(customer_id: str) -> None:
    """Refuse ids of visitors and guests."""
    if customer_id.startswith(NOT_KNOWN):
        raise NobodyKnown("send the id that he has as a customer")


async def hold(conn: AsyncConnection, customer_id: str) -> Held:
    """Lock the person behind a customer's id until commit."""
    refuse_nobody(customer_id)
    person = await aliases.person_of(conn, customer_id)
    await members.add_missing(conn, {customer_id, *person.members})
    return Held(customer_id, person.members, await members.lock(conn, person.members))
