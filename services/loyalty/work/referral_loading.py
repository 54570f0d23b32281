"""Loads what referrals are judged by: both persons, what they ordered and were seen with."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.earning.orders import Terms
from services.loyalty.inviting.referrals import Facts, OrderFact, Referral, Signal
from services.loyalty.members import membership
from services.loyalty.members.membership import Stay
from services.loyalty.store import membership as membership_store
from services.loyalty.store import referral_facts as fact_store
from services.loyalty.store import referrals as store
from services.loyalty.store import shoppers as shopper_store
from shared import aliases
from shared.aliases import Person


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that a transaction's referrals are judged by, by customer id."""

    people: Mapping[str, Person]
    orders: Sequence[OrderFact]
    signals: Sequence[Signal]
    joined: Mapping[str, datetime]
    oldest: Mapping[str, datetime]
    ancestors: Mapping[str, set[str]]
    siblings: Sequence[Referral]
    """Of all ids of the friends."""
    stays: Mapping[str, Sequence[Stay]]

    def members(self, customer_id: str | None) -> tuple[str, ...]:
        return self.people[customer_id].members if customer_id else ()

    def person(self, customer_id: str | None) -> str:
        return self.people[customer_id].canonical_id if customer_id else ""

    def admits(self, customer_id: str, at: datetime | None, terms: Terms) -> bool:
        """Whether he was a member then."""
        stays = self.stays.get(customer_id, ())
        return at is not None and membership.admits(stays, membership.terms_at(terms.book, at), at)

    def may_book(self, row: Referral, locked: Collection[str]) -> bool:
        """Whether the accounts that it may move are locked. An order that came after they were
        listed and before they were locked may have made it need more."""
        friend = self.members(row.customer_id)
        buys = any(order.customer_id in friend for order in self.orders)
        return not buys or all(side in locked for side in row.sides)

    def above(self, referrer_id: str | None) -> set[str]:
        found = self.ancestors.get(referrer_id or "", set())
        return {member for each in found for member in self.members(each)}


def facts_of(row: Referral, loaded: Loaded) -> Facts:
    friend = loaded.members(row.customer_id)
    others = set(friend) - {row.customer_id}
    since = [at for id_ in others if (at := loaded.joined.get(id_))]
    since += [at for id_ in friend if (at := loaded.oldest.get(id_))]
    rivals = [
        one
        for one in loaded.siblings
        if one.customer_id in others and one.registered_at and one.referrer_id
    ]
    mine = (row.registered_at, row.id)
    return Facts(
        friend,
        loaded.members(row.referrer_id),
        loaded.above(row.referrer_id),
        [order for order in loaded.orders if order.customer_id in friend],
        loaded.signals,
        min(since, default=None),
        first=row.registered_at is None
        or all(mine < (one.registered_at, one.id) for one in rivals if one.registered_at),
    )


async def load(conn: AsyncConnection, rows: Sequence[Referral], every: set[str]) -> Loaded:
    """Seven statements, whatever the number of rows."""
    referrers = {row.referrer_id for row in rows if row.referrer_id}
    ancestors = await store.load_ancestors(conn, referrers)
    above = {id_ for found in ancestors.values() for id_ in found}
    sides = {side for row in rows for side in row.sides}
    people = await aliases.people_of(conn, {*every, *above, *sides})
    known = {member for person in people.values() for member in person.members}
    joined = await shopper_store.load_facts(conn, every, {"joined"})
    return Loaded(
        people=people,
        orders=await fact_store.load_orders(conn, every),
        signals=await fact_store.load_signals(conn, known),
        joined={
            id_: datetime.fromisoformat(fact.value)
            for id_, facts in joined.items()
            for fact in facts
            if fact.value
        },
        oldest=await fact_store.load_oldest(conn, every),
        ancestors=ancestors,
        siblings=await store.list_of_friends(conn, every),
        stays=await membership_store.list_of_persons(conn, every),
    )
