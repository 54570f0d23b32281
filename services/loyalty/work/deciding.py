"""Loads what earning rules decide on, and saves what a fold of orders has come to.

What is asked for depends on the rules that are laid down: no facts about shoppers, products
or caps are read that no rule asks for, and each kind is one statement, whatever the batch.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.earning import caps, orders, snapshots
from services.loyalty.earning.caps import Place, Used
from services.loyalty.earning.carts import Product, known
from services.loyalty.earning.decisions import Decided, Evidence
from services.loyalty.earning.orders import Judged, Known, OrderState, Outcome, Terms
from services.loyalty.earning.rules import Asked, asked
from services.loyalty.earning.shoppers import ALWAYS, shopper_of
from services.loyalty.earning.usage import ORDERS, RULE, used
from services.loyalty.store import decisions as store
from services.loyalty.store import holds as hold_store
from services.loyalty.store import orders as order_store
from services.loyalty.store import products as product_store
from services.loyalty.store import shoppers as shopper_store
from services.loyalty.terms.cart import Cart, Shopper
from services.loyalty.work import booking, tiering
from shared.aliases import Person
from shared.stores import Stores


def to_lock(terms: Terms, people: Mapping[str, Person], earners: Iterable[str]) -> set[str]:
    """Whose accounts are to be locked besides the owners': a cap holds for all ids of a person."""
    if not asked(terms.book).capped:
        return set()
    return {member for earner in earners for member in people[earner].members}


async def load(
    conn: AsyncConnection,
    judged: Collection[Judged],
    owners: Mapping[str, str],
    people: Mapping[str, Person],
    terms: Terms,
) -> Evidence:
    """What the batch's orders are decided on; the owners are locked."""
    decided = await store.load(conn, {event.data.order_id for event, _ in judged})
    earning = [event for event, verdict in judged if verdict == "earns"]
    if not earning:
        return Evidence(decided=decided)
    concerned = {
        owner: people[owner] for e in earning if (owner := owners.get(e.data.order_id)) is not None
    }
    wanted = asked(terms.book)
    labels: set[str] = set()
    if wanted.capped:
        for event in earning:
            before = decided.get(event.data.order_id)
            placed_at = event.data.placed_at or (before.placed_at if before else event.time)
            labels |= caps.labels(placed_at.astimezone(terms.stores.get(event.data.store).tz))
    counted = await _counted(conn, concerned.values(), wanted, labels)
    shoppers = await load_shoppers(conn, concerned, wanted, counted)
    bought = {line.product_id for e in earning for line in e.data.lines if line.product_id}
    return Evidence(
        products=await load_products(conn, bought, wanted),
        shoppers=shoppers,
        people={owner: person.canonical_id for owner, person in concerned.items()},
        decided=decided,
        counted=counted,
        budgets=await _budgets(conn, wanted),
    )


async def load_one(
    conn: AsyncConnection, cart: Cart, customer_id: str, person: Person, wanted: Asked
) -> tuple[Cart, Shopper, Used]:
    """A cart that is only asked about, who would buy it, and what is counted; nothing is locked.
    Without a customer id nobody is known."""
    shopper, counted = Shopper(customer_id), {}
    if customer_id:
        labels = caps.labels(cart.at.astimezone(cart.zone)) if wanted.capped else set()
        if labels or wanted.numbers:
            counted = await _counted(conn, [person], wanted, labels)
        found = await load_shoppers(conn, {customer_id: person}, wanted, counted)
        shopper = found[customer_id]
    products = await load_products(conn, {item.product_id for item in cart.items}, wanted)
    budgets = await _budgets(conn, wanted)
    return known(cart, products), shopper, used(list(counted.values()), [budgets])


async def fold(
    conn: AsyncConnection, known: Known, judged: Sequence[Judged], terms: Terms
) -> Outcome:
    """The books after these events, within the budgets as they are, which are locked."""
    outcome = orders.fold(known, judged, terms)
    if short := await lock_budgets(conn, outcome.decided, terms):
        # Others spent of a budget meanwhile: decide again on what is left of it, now ours.
        known = replace(known, evidence=replace(known.evidence, budgets=short))
        outcome = orders.fold(known, judged, terms)
    return outcome


async def lock_budgets(
    conn: AsyncConnection, decided: Decided, terms: Terms
) -> dict[str, int] | None:
    """Lock the budgets, the last rows that the batch locks, if it spends of any. What is spent of
    them, if it is so much that the batch must be decided again.

    All at once: decided again, it may spend of others, and two batches that took those then
    would wait for each other in a ring.
    """
    if not any(decided.budgets.values()):
        return None
    every = asked(terms.book).budgets | decided.budgets.keys()
    spent = await shopper_store.lock_budgets(conn, every)
    if all(
        points <= 0 or spent[rule_id] + points <= decided.limits[rule_id]
        for rule_id, points in decided.budgets.items()
    ):
        return None
    return spent


async def save(
    conn: AsyncConnection,
    read: Mapping[str, OrderState],
    before: Evidence,
    outcome: Outcome,
    stores: Stores,
) -> None:
    """All that a fold of orders has come to, a batch's or a joining's: orders, points, decisions
    with what is counted for them and their history, tiers, and what is held for review.

    `read` has the orders as they were read: OrderMoved if one is another by now.
    """
    await order_store.save(conn, read, outcome.orders.values())
    await booking.save(conn, outcome.wallet, stores)
    decided = outcome.decided
    await store.save(conn, before.decided, decided.decisions.values(), decided.made)
    await store.keep_awards(conn, snapshots.of(decided.made))
    await shopper_store.add_tallies(conn, decided.counted)
    spent = {rule_id: points for rule_id, points in decided.budgets.items() if points}
    if spent:
        await shopper_store.add_to_budgets(conn, spent)
    await tiering.save(conn, outcome.ladder)
    await hold_store.add(conn, outcome.weighed.holds)


async def load_shoppers(
    conn: AsyncConnection,
    people: Mapping[str, Person],
    wanted: Asked,
    counted: Mapping[str, Mapping[Place, int]],
) -> dict[str, Shopper]:
    """Who buys, by customer id: what all ids of the person are known by together."""
    members = {member for person in people.values() for member in person.members}
    names = wanted.facts | ALWAYS
    facts = await shopper_store.load_facts(conn, members, names) if wanted.facts else {}
    return {
        owner: shopper_of(
            owner,
            [fact for member in person.members for fact in facts.get(member, ())],
            counted.get(person.canonical_id, {}).get(ORDERS, 0),
        )
        for owner, person in people.items()
    }


async def load_products(
    conn: AsyncConnection, product_ids: Collection[str], wanted: Asked
) -> dict[str, Product]:
    """What the catalogue says of them; nothing if no rule asks."""
    ids = {product_id for product_id in product_ids if product_id}
    return await product_store.load(conn, ids) if wanted.products else {}


async def _counted(
    conn: AsyncConnection, people: Iterable[Person], wanted: Asked, labels: set[str]
) -> dict[str, dict[Place, int]]:
    """By canonical id: of all ids of the person together."""
    every = list(people)
    members = {member for person in every for member in person.members}
    subjects = {ORDERS[0], *(RULE + rule_id for rule_id in wanted.capped)}
    tallies = await shopper_store.load_tallies(conn, members, subjects, {ORDERS[1], *labels})
    found: dict[str, dict[Place, int]] = {}
    for person in every:
        sums: Counter[Place] = Counter()
        for member in person.members:
            sums.update(tallies.get(member, {}))
        found[person.canonical_id] = dict(sums)
    return found


async def _budgets(conn: AsyncConnection, wanted: Asked) -> dict[str, int]:
    return await shopper_store.load_budgets(conn, wanted.budgets) if wanted.budgets else {}
