"""Gives members rewards: checks, takes the price, the piece and the code, writes the coupon.

The person's accounts are locked first, so what he may have only so often is counted under his
own lock; what all members share, stocks and pools, comes last. An issue has a derived id: asked
for again, it is the same coupon.
"""

import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.benefits import codes, coupon_facts
from services.loyalty.benefits.coupons import Coupon, Step
from services.loyalty.benefits.rewards import (
    REFUSALS,
    NotOffered,
    OutOfStock,
    Reward,
    Standing,
    misses,
    period_start,
)
from services.loyalty.books import points
from services.loyalty.books import wallet as wallets
from services.loyalty.books.ledger import AccountKind, Deed
from services.loyalty.books.wallet import DEED_ACCOUNTS_MAX, Wallet
from services.loyalty.earning.orders import Terms
from services.loyalty.earning.shoppers import shopper_of
from services.loyalty.levels.ladder import ranked
from services.loyalty.levels.tiers import Tier
from services.loyalty.store import coupons as store
from services.loyalty.store import members as member_store
from services.loyalty.store import shoppers as shopper_store
from services.loyalty.store import stocks
from services.loyalty.terms.cart import Shopper
from services.loyalty.terms.definitions import Version
from services.loyalty.work import booking, tiering
from shared import aliases, outbox
from shared.events.envelope import Event
from shared.stores import Stores


@dataclass(frozen=True, slots=True)
class Ask:
    """One reward for one member. `given`: he did not take it of his own accord."""

    id: UUID
    customer_id: str
    version: Version[Reward]
    cause: Event
    given: bool = False


Made = tuple[Ask, Coupon]


async def issue(conn: AsyncConnection, ask: Ask, terms: Terms, *, pooled: bool) -> Coupon:
    """The coupon, paid; a named error says why there is none. `pooled` false: paid with the points
    of the one id."""
    reward, now = ask.version.body, ask.cause.time
    wallet, members = await _open(conn, ask, pooled=pooled)
    if found := (await store.load(conn, [ask.id])).get(ask.id):
        return found
    known = await standings(conn, ask.customer_id, members, [ask.version], now=now, terms=terms)
    standing = known[ask.version.id].holding(wallet.spendable(now))
    for reason in misses(reward, standing):
        if reason in REFUSALS and not (ask.given and reason == "occasion"):
            raise REFUSALS[reason]
    coupon = coupon_of(ask, terms.stores)
    if reward.points:
        to = AccountKind.DONATED if reward.kind == "donation" else AccountKind.REDEEMED
        parts = wallets.spend(wallet, deed_of(coupon, reward, ask.cause), reward.points, to, now)
        coupon = replace(coupon, points=reward.points, parts=parts)
        wallet.facts.extend(coupon_facts.paid(coupon, wallet, ask.cause))
    await booking.save(conn, wallet, terms.stores)
    made = await hand_out(conn, [(ask, coupon)], terms.stores.base_currency)
    if not made:
        raise OutOfStock
    return made[0]


async def give(conn: AsyncConnection, asks: Collection[Ask], stores: Stores) -> int:
    """Free rewards for many, whose accounts are locked; how many. Who has had his is left out, and
    who comes when there is none left. A fixed number of statements for each reward."""
    if not asks:
        return 0
    had = await store.load(conn, [ask.id for ask in asks])
    new = [(ask, coupon_of(ask, stores)) for ask in asks if ask.id not in had]
    return len(await hand_out(conn, new, stores.base_currency))


async def hand_out(conn: AsyncConnection, new: Sequence[Made], currency: str) -> list[Coupon]:
    """Write the coupons, as far as there are pieces and codes for them."""
    made = await _with_codes(conn, await _with_pieces(conn, new))
    await store.add(conn, [coupon for _, coupon in made])
    steps = [Step(coupon, "issue", None, ask.cause) for ask, coupon in made]
    await store.add_steps(conn, steps)
    facts = [
        coupon_facts.issued(coupon, ask.version.body, currency, ask.cause) for ask, coupon in made
    ]
    await outbox.enqueue(conn, facts)
    return [coupon for _, coupon in made]


def deed_of(coupon: Coupon, reward: Reward, cause: Event) -> Deed:
    """What the next step of the coupon books."""
    revision = coupon.step * DEED_ACCOUNTS_MAX
    return Deed(coupon_facts.DOCUMENT, str(coupon.id), revision, cause, reward.home())


def coupon_of(ask: Ask, stores: Stores) -> Coupon:
    """What is issued, still without its code. A donation is used up as it is made."""
    reward, now = ask.version.body, ask.cause.time
    return Coupon(
        id=ask.id,
        customer_id=ask.customer_id,
        reward_id=ask.version.id,
        reward_version=ask.version.version,
        issued_at=now,
        expires_at=reward.expires_at(now, stores.get(reward.home()).tz),
        state="used" if reward.kind == "donation" else "issued",
    )


async def shoppers_of(
    conn: AsyncConnection,
    people: Mapping[str, Collection[str]],
    versions: Sequence[Version[Reward]],
    at: datetime,
    terms: Terms,
) -> dict[str, Shopper]:
    """Who asks, by customer id, each with all ids of his, as far as these rewards want to know."""
    names = {f"segment/{name}" for each in versions for name in each.body.segments}
    if any(each.body.occasion == "birthday" for each in versions):
        names.add("birthday")
    ids = {id_ for members in people.values() for id_ in members}
    facts = await shopper_store.load_facts(conn, ids, names) if names else {}
    tiers: Mapping[str, Tier] = {}
    if any(each.body.tiers for each in versions):
        plans = tiering.plans_in(terms.book, terms.stores)
        tiers = await tiering.tiers_at(conn, dict.fromkeys(people, at), plans)
    known = {
        customer_id: shopper_of(
            customer_id, [fact for id_ in members for fact in facts.get(id_, ())], orders=0
        )
        for customer_id, members in people.items()
    }
    return {id_: ranked(shopper, tiers.get(id_)) for id_, shopper in known.items()}


async def standings(
    conn: AsyncConnection,
    customer_id: str,
    members: Collection[str],
    versions: Sequence[Version[Reward]],
    *,
    now: datetime,
    terms: Terms,
) -> dict[str, Standing]:
    """How the person stands with each of these rewards, but for his points."""
    shoppers = await shoppers_of(conn, {customer_id: members}, versions, now, terms)
    shopper, stores = shoppers[customer_id], terms.stores
    since = {
        each.id: period_start(limit.per, now, stores.get(each.body.home()).tz) or store.BEGINNING
        for each in versions
        if (limit := each.body.limit)
    }
    got = await store.count_got(conn, members, since)
    stocked = {each.id: each.body.stock for each in versions if each.body.stock is not None}
    issued = await stocks.list_issued(conn, stocked) if stocked else {}
    left: dict[str, int] = {id_: stock - issued.get(id_, 0) for id_, stock in stocked.items()}
    if pooled := [each.id for each in versions if each.body.codes == "pool"]:
        filled = await stocks.list_filled(conn, pooled)
        left |= {id_: 0 for id_ in pooled if id_ not in filled}
    return {
        each.id: Standing(shopper, 0, got.get(each.id, 0), left.get(each.id)) for each in versions
    }


async def _open(conn: AsyncConnection, ask: Ask, *, pooled: bool) -> tuple[Wallet, Collection[str]]:
    """The member's points, and all ids of his, under whichever he asks: locked at one row that
    all of them have, though he may have had no account yet."""
    if points.is_guest(ask.customer_id):
        raise NotOffered("a guest has no account: register first")
    person = await aliases.person_of(conn, ask.customer_id)
    await member_store.add_missing(conn, {person.canonical_id, ask.customer_id})
    if not pooled:
        await member_store.lock(conn, person.members)
    wallet = await booking.open_person(
        conn,
        ask.customer_id,
        ask.cause.time,
        wanted=max(1, ask.version.body.points),
        pooled=pooled,
    )
    return wallet, person.members


async def _with_pieces(conn: AsyncConnection, new: Sequence[Made]) -> list[Made]:
    """Those for whom there is a piece, the first to ask first."""
    stocked = {
        ask.version.id: stock for ask, _ in new if (stock := ask.version.body.stock) is not None
    }
    wanted = Counter(ask.version.id for ask, _ in new if ask.version.id in stocked)
    left = await stocks.take(conn, wanted, stocked)
    kept = []
    for ask, coupon in new:
        if ask.version.id in stocked:
            left[ask.version.id] -= 1
            if left[ask.version.id] < 0:
                continue
        kept.append((ask, coupon))
    return kept


async def _with_codes(conn: AsyncConnection, new: Sequence[Made]) -> list[Made]:
    """Each with a code of ours or of the shop's pool; where that is empty there is no coupon."""
    pooled: defaultdict[str, list[Made]] = defaultdict(list)
    coded = []
    for ask, coupon in new:
        if ask.version.body.codes == "pool":
            pooled[ask.version.id].append((ask, coupon))
        elif ask.version.body.kind == "donation":
            coded.append((ask, coupon))
        else:
            code = codes.encode(secrets.token_bytes(codes.RANDOM_BYTES))
            coded.append((ask, _named(coupon, code)))
    for reward_id, waiting in sorted(pooled.items()):
        taken = await stocks.take_codes(conn, reward_id, len(waiting))
        served = zip(waiting, taken, strict=False)  # with too few codes the last get none
        coded += [(ask, _named(coupon, code)) for (ask, coupon), code in served]
    return coded


def _named(coupon: Coupon, code: str) -> Coupon:
    return replace(coupon, code=code, digest=codes.digest(code))
