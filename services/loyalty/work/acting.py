"""Loads and saves what customers earn by what they do beside ordering (`actions.py`).

Nothing is read or kept of a kind for which no rule is laid down. What an action earns is
spendable at once. What was decided is noted with every rule's verdict, also where it is
nothing: the same thing is not decided twice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books import wallet as wallets
from services.loyalty.books.ledger import Account, AccountKind, Deed, Posting
from services.loyalty.books.programme import programme_at
from services.loyalty.books.wallet import Wallet
from services.loyalty.earning import actions, awarding, caps, usage
from services.loyalty.earning.actions import SOURCE, Done, Key
from services.loyalty.earning.awarding import Awards
from services.loyalty.earning.caps import Place
from services.loyalty.earning.orders import Terms
from services.loyalty.earning.rules import all_rules, asked, rulebook_at
from services.loyalty.levels.contributions import Change
from services.loyalty.levels.ladder import Ladder, ranked
from services.loyalty.levels.tiers import Bucket
from services.loyalty.members import membership
from services.loyalty.spending import announcements
from services.loyalty.store import actions as store
from services.loyalty.store import membership as membership_store
from services.loyalty.store import shoppers as shopper_store
from services.loyalty.store.actions import Kept
from services.loyalty.work import deciding
from shared import aliases
from shared.aliases import Person
from shared.events.envelope import Event, derived_id


@dataclass(frozen=True, slots=True)
class Tally:
    """What is counted against caps and budgets: by canonical id, and of all; `added` is new."""

    people: Mapping[str, Person]
    places: Mapping[str, Counter[Place]]
    budgets: Counter[str]
    added: dict[str, Counter[Place]]
    spent: Counter[str]


def kinds_of(terms: Terms) -> set[str]:
    """The kinds of actions that some rule is for."""
    return {kind for rule in all_rules(terms.book) for kind in rule.body.actions.kinds}


async def find(conn: AsyncConnection, events: Iterable[Event], terms: Terms) -> list[Done]:
    """The actions that a rule may have points for, and that are not known yet."""
    kinds = kinds_of(terms)
    if not kinds:
        return []
    return await _new(conn, [d for d in actions.of(events, terms.stores) if d.kind in kinds])


async def follow(
    conn: AsyncConnection, dones: Sequence[Done], wallet: Wallet, ladder: Ladder, terms: Terms
) -> None:
    """Award them over a wallet in which their customers' accounts are locked, with those of all
    ids of the persons on the ladder."""
    fresh = await _of_members(conn, await _new(conn, dones), terms)  # as it is under the lock
    if not fresh:
        return
    known = await store.load_streaks(conn, {done.customer_id for done in fresh})
    made = actions.streaks(fresh, known, terms.stores)
    wanted = asked(terms.book)
    tally = await _count(conn, fresh, terms)
    shoppers = await deciding.load_shoppers(conn, tally.people, wanted, tally.places)
    kept: list[tuple[Key, Kept]] = []
    for done in fresh:
        action = actions.as_action(done, terms.stores, made.get(done.key))
        rulebook = rulebook_at(terms.book, done.at, terms.stores.base_currency)
        person = tally.people[done.customer_id].canonical_id
        used = usage.used([tally.places[person]], [tally.budgets])
        shopper = shoppers[done.customer_id]
        if wanted.tiers_of_actions:
            shopper = ranked(shopper, ladder.tier(done.customer_id, done.at))
        awards = awarding.award_action(action, shopper, rulebook, used)
        kept.append((done.key, _keep(done, awards)))
        if awards.points:
            _note(tally, done, awards, action.cart.at.astimezone(action.cart.zone))
            account = _book(wallet, done, awards, terms)
            ladder.count_action(_counted(done, account, awards, terms))
    await store.add(conn, kept)
    last = {(one.customer_id, one.activity_id): one for one in made.values()}
    await store.save_streaks(conn, list(last.values()))
    await shopper_store.add_tallies(conn, tally.added)
    if tally.spent:
        await shopper_store.add_to_budgets(conn, tally.spent)


async def _new(conn: AsyncConnection, dones: Sequence[Done]) -> list[Done]:
    if not dones:
        return []
    known = await store.load_done(conn, {done.key for done in dones})
    return [done for done in dones if done.key not in known]


async def _of_members(conn: AsyncConnection, dones: Sequence[Done], terms: Terms) -> list[Done]:
    """What members did; others' actions earn nothing, nor later, and are not noted."""
    if not dones:
        return []
    stays = await membership_store.list_of_persons(conn, {done.customer_id for done in dones})
    return [
        done
        for done in dones
        if membership.admits(
            stays.get(done.customer_id, ()), membership.terms_at(terms.book, done.at), done.at
        )
    ]


async def _count(conn: AsyncConnection, dones: Sequence[Done], terms: Terms) -> Tally:
    """Of caps the members' own; budgets are locked, the last rows but the actions' own."""
    people = await aliases.people_of(conn, {done.customer_id for done in dones})
    rules = [rule for rule in all_rules(terms.book) if rule.body.on == "action"]
    labels = {
        label
        for done in dones
        for label in caps.labels(done.at.astimezone(terms.stores.get(done.store).tz))
    }
    members = {member for person in people.values() for member in person.members}
    subjects = {usage.ORDERS[0], *(usage.RULE + rule.id for rule in rules)}
    counted = await shopper_store.load_tallies(conn, members, subjects, {usage.ORDERS[1], *labels})
    places: dict[str, Counter[Place]] = {}
    for person in people.values():
        places[person.canonical_id] = Counter()
        for member in person.members:
            places[person.canonical_id].update(counted.get(member, {}))
    limited = {rule.id for rule in rules if rule.body.caps.budget}
    budgets = await shopper_store.lock_budgets(conn, limited) if limited else {}
    return Tally(people, places, Counter(budgets), {}, Counter())


def _note(tally: Tally, done: Done, awards: Awards, at: datetime) -> None:
    """Count what was given against the caps and budgets of the rules that gave it."""
    person = tally.people[done.customer_id].canonical_id
    for each in awards.rules:
        limits = each.rule.body.caps
        for _, label, _ in caps.periods(limits, at):
            place = (f"{usage.RULE}{each.rule.id}", label)
            tally.places[person][place] += each.points
            tally.added.setdefault(done.customer_id, Counter())[place] += each.points
        if limits.budget is not None and each.points:
            tally.budgets[each.rule.id] += each.points
            tally.spent[each.rule.id] += each.points


def _book(wallet: Wallet, done: Done, awards: Awards, terms: Terms) -> Account:
    account = next(a for a in wallet.accounts.values() if a.customer_id == done.customer_id)
    deed = Deed(SOURCE, document_of(done), 1, done.cause, done.store)
    store_ = terms.stores.get(done.store)
    expires_at = programme_at(terms.book, done.at).expiry.expires_at(done.at, store_.tz)
    postings = [
        Posting(each.rule.id, AccountKind.ISSUED, AccountKind.ACTIVE, each.points)
        for each in awards.rules
        if each.points
    ]
    journal = wallets.activate(wallet, account.account_id, deed, postings, expires_at, kind="earn")
    after = wallet.accounts[account.account_id]
    wallet.facts.append(announcements.earned(journal, after, done.kind, awards.given_by))
    return after


def _counted(done: Done, account: Account, awards: Awards, terms: Terms) -> Change:
    """What it counts for a tier."""
    return Change(
        account.customer_id,
        account.account_id,
        actions.day_of(done, terms.stores),
        Bucket(points=awards.points),
        done.cause,
        document_of(done),
    )


def document_of(done: Done) -> str:
    """Names the action in the books, and nobody."""
    return derived_id(done.cause, f"{SOURCE}/{done.kind}")


def _keep(done: Done, awards: Awards) -> Kept:
    verdicts = [
        {
            "rule_id": each.rule.id,
            "version": each.rule.version,
            "verdict": each.lines[awarding.ACTION_LINE].verdict if each.lines else each.verdict,
            "points": each.points,
        }
        for each in awards.rules
    ]
    return Kept(done.kind, done.thing, document_of(done), done.at, awards.points, verdicts)
