"""Loads and saves what orders were promised of offers (`claims.py`).

Locks: the person by name, then his order's claim, then budgets in key order, and nothing
after those; so neither claims nor the worker's batches can wait for each other in a ring.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.benefits import codes, discounts, presenting
from services.loyalty.benefits.presenting import Buyer, Shown, Whose
from services.loyalty.books.programme import programme_at
from services.loyalty.earning.caps import Used as RulesUsed
from services.loyalty.earning.orders import Terms
from services.loyalty.earning.rules import Asked as RulesAsked
from services.loyalty.earning.rules import asked as asked_of
from services.loyalty.levels.ladder import ranked
from services.loyalty.promotions import claims
from services.loyalty.promotions.claims import AlreadyCounted, Claim, Promised
from services.loyalty.promotions.offers import Offer
from services.loyalty.promotions.stacking import Basket, OfferVersion, Use, Used, apply
from services.loyalty.store import claims as store
from services.loyalty.store import coupons as coupon_store
from services.loyalty.store import definitions
from services.loyalty.terms.cart import Cart, Shopper
from services.loyalty.terms.conditions import asks_catalogue, facts_of
from services.loyalty.terms.definitions import Book
from services.loyalty.work import deciding, tiering
from shared import aliases
from shared.aliases import Person
from shared.errors import NotFound
from shared.events.envelope import Event
from shared.stores import Stores
from shared.world import World

CLAIMS_MAX = 500
NO_CLAIM = "no offer has been claimed for this order"


class Asking(NamedTuple):
    """A cart, who buys it ("": nobody is known), and the codes of coupons that he brings. `pooled`
    false: the one id alone, and not all ids of the person."""

    cart: Cart
    customer_id: str
    codes: Collection[str] = ()
    whose: Whose = "any"
    pooled: bool = True


class Asked(NamedTuple):
    """A cart, and what rules and offers ask of it."""

    cart: Cart
    shopper: Shopper
    members: Collection[str]
    offers: Sequence[OfferVersion]
    """In force."""
    counted: RulesUsed
    shown: Shown


async def ask(conn: AsyncConnection, asking: Asking, terms: Terms) -> Asked:
    """What the catalogue knows of the cart, who buys it, and his coupons, as far as it is asked
    for: without codes no coupon is read."""
    cart, customer_id, pooled = asking.cart, asking.customer_id, asking.pooled
    person = Person(customer_id, (customer_id,))
    if customer_id and pooled:
        person = await aliases.person_of(conn, customer_id)
    shown = await _show(conn, asking, person.members, terms.book)
    offers = terms.book.in_force(Offer, cart.at)
    wanted = _wanted(terms.book, offers, shown)
    cart, shopper, counted = await deciding.load_one(conn, cart, customer_id, person, wanted)
    cart = replace(cart, rewards=discounts.used_on(cart, shown.good.values()))
    if customer_id:
        plans = tiering.plans_in(terms.book, terms.stores)
        tiers = await tiering.tiers_at(conn, {customer_id: cart.at}, plans, pooled=pooled)
        shopper = ranked(shopper, tiers.get(customer_id))
    return Asked(cart, shopper, person.members, offers, counted, shown)


async def _show(
    conn: AsyncConnection, asking: Asking, members: Collection[str], book: Book
) -> Shown:
    if not asking.codes:
        return Shown({}, {})
    found = await coupon_store.load_by_digest(conn, map(codes.digest, asking.codes))
    known = frozenset(members) - {""}
    buyer = Buyer(known, asking.whose)
    return presenting.show(asking.codes, found.values(), asking.cart, buyer, book)


async def used(conn: AsyncConnection, asked: Asked) -> Used:
    """What has come of the offers so far, for a quote: nothing is locked."""
    names = _budgeted(asked.offers)
    budgets = await store.load_budgets(conn, names) if names else {}
    return _with_member(budgets, await _of_member(conn, asked.offers, asked.members))


async def claim(
    conn: AsyncConnection, asking: Asking, promised: Sequence[Promised], stores: Stores
) -> Claim:
    """Take what was quoted, exactly, or nothing; a new claim takes the place of the order's old
    one. Coupons count that the order holds: another order cannot have offers by the same."""
    cart, customer_id = asking.cart, asking.customer_id
    person = await aliases.person_of(conn, customer_id)
    await store.lock_person(conn, person.canonical_id)
    before = await store.open_one(conn, cart.order_id, cart.at)
    if before.state == "counted":
        raise AlreadyCounted
    terms = Terms(await definitions.book(conn), stores)
    asked = await ask(conn, asking._replace(whose="held"), terms)
    named = {each.offer_id for each in promised}
    offers = [one for one in asked.offers if one.id in named]
    by_member = await _of_member(conn, offers, asked.members)
    names = {*_budgeted(offers), *(each.offer_id for each in before.given if each.budgeted)}
    budgets = await store.lock_budgets(conn, names) if names else {}
    count = claims.used_without(_with_member(budgets, by_member), before)
    given = claims.keep(apply(Basket.of(asked.cart, asked.shopper, offers, count)), promised)
    minutes = programme_at(terms.book, cart.at).redemption.reserve_minutes
    until = cart.at + timedelta(minutes=minutes)
    after = Claim(cart.order_id, customer_id, "claimed", until, given)
    await store.save(conn, [after])
    await store.move_budgets(conn, claims.moves([before], [after]))
    return after


async def release(conn: AsyncConnection, order_id: str) -> Claim:
    """Free what the order was promised; AlreadyCounted once it is paid."""
    found = (await store.lock(conn, [order_id])).get(order_id)
    if found is None:
        raise NotFound(NO_CLAIM)
    if found.state == "counted":
        raise AlreadyCounted
    after = replace(found, state="released")
    await _save(conn, [found], [after])
    return after


async def follow(conn: AsyncConnection, book: Book, applied: Collection[Event]) -> None:
    """Count and free, as the orders' newest revisions say; the last locks of a batch."""
    if not applied or not book.newest(Offer):
        return  # a store without offers pays nothing for them
    found = await store.lock(conn, [event.data.order_id for event in applied])
    after = claims.follow(found, applied)
    await _save(conn, [found[order_id] for order_id in after], list(after.values()))


async def time_out_due(conn: AsyncConnection, world: World) -> bool:
    """Free what checkouts claimed and never came back for; whether there may be more."""
    now = world.clock.now()
    due = await store.list_due(conn, now, CLAIMS_MAX)
    found = await store.lock(conn, due) if due else {}
    over = [one for one in found.values() if one.state == "claimed" and one.expires_at <= now]
    await _save(conn, over, [replace(one, state="released") for one in over])
    return len(due) == CLAIMS_MAX


async def _save(conn: AsyncConnection, before: list[Claim], after: list[Claim]) -> None:
    await store.save(conn, after)
    if moved := claims.moves(before, after):
        await store.lock_budgets(conn, moved)
        await store.move_budgets(conn, moved)


def _wanted(book: Book, offers: Collection[OfferVersion], shown: Shown) -> RulesAsked:
    """What must be known to judge a cart by the rules, and by these offers and coupons."""
    rules, bodies = asked_of(book), [one.body for one in offers]
    facts = {name for body in bodies for name in facts_of(body.when)}
    selections = [
        *(body.lines for body in bodies),
        *(one.reward.lines for one in shown.good.values()),
    ]
    products = any(map(asks_catalogue, selections))
    return replace(rules, facts=rules.facts | facts, products=rules.products or products)


async def _of_member(
    conn: AsyncConnection, offers: Collection[OfferVersion], members: Collection[str]
) -> dict[str, int]:
    """How often the person has used the offers that ask for it."""
    if all(one.body.uses_per_member is None for one in offers):
        return {}
    return await store.count_uses(conn, members)


def _with_member(budgets: Used, by_member: dict[str, int]) -> Used:
    """The counts of a person beside those of all."""
    found = {id_: Use(0, 0, uses) for id_, uses in by_member.items()}
    for id_, use in budgets.items():
        found[id_] = replace(use, by_member=by_member.get(id_, 0))
    return found


def _budgeted(offers: Collection[OfferVersion]) -> set[str]:
    return {one.id for one in offers if one.body.is_budgeted}
