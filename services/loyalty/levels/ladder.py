"""The persons of a batch as they rise and fall, event by event. Pure.

So each order is decided by the tier that its buyer has after all that came before it, in the
same batch or in another.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from uuid import NAMESPACE_OID, UUID, uuid5

from services.loyalty.books.ledger import SOURCE
from services.loyalty.levels.contributions import Change
from services.loyalty.levels.dossier import Dossier
from services.loyalty.levels.progress import tier_at
from services.loyalty.levels.standing import Move, Person, Told, Why, advance, count
from services.loyalty.levels.tiers import Bucket, Plans, Tier
from services.loyalty.terms.cart import Shopper
from shared.events import codec
from shared.events.envelope import Event
from shared.events.loyalty import TierChanged
from shared.events.profiles import ProfileMerged

Key = tuple[UUID, ...]
"""The accounts of a person."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A move as it is kept: under which account, and what was behind it."""

    account_id: UUID
    move: Move
    document: str
    cause_source: str
    cause_id: str


@dataclass(frozen=True, slots=True)
class Roster:
    """What was loaded: persons by the ids that were asked for, and the merges of the batch."""

    plans: Plans = field(default_factory=Plans)
    by_id: Mapping[str, Dossier] = field(default_factory=dict)
    joined: tuple[Event, ...] = ()


@dataclass(slots=True)
class Ladder:
    """Collects what becomes of the persons of a roster; `tiering.save` keeps it."""

    plans: Plans = field(default_factory=Plans)
    by_id: Mapping[str, Dossier] = field(default_factory=dict)
    by_account: dict[UUID, Dossier] = field(default_factory=dict)
    people: dict[Key, tuple[Dossier, Person]] = field(default_factory=dict)
    """Those of whom something is new."""
    loaded: dict[Key, Person] = field(default_factory=dict)
    days: defaultdict[tuple[UUID, date], Bucket] = field(
        default_factory=lambda: defaultdict(Bucket)
    )
    unloaded: set[UUID] = field(default_factory=set)
    """Accounts that changed against expectation: their standing is made anew at the next event."""
    entries: list[Entry] = field(default_factory=list)
    facts: list[Event] = field(default_factory=list)

    @classmethod
    def open(cls, roster: Roster) -> "Ladder":
        """Over what was loaded, after the batch's merges."""
        dossiers = roster.by_id.values()
        by_account = {each.account_id: one for one in dossiers for each in one.holdings}
        ladder = cls(roster.plans, roster.by_id, by_account)
        for event in roster.joined:
            ladder.rejoin(event)
        return ladder

    def person(self, account_id: UUID) -> Person:
        dossier = self.by_account[account_id]
        key = _key(dossier)
        if found := self.people.get(key):
            return found[1]
        if key not in self.loaded:
            self.loaded[key] = dossier.person
        return self.loaded[key]

    def tier(self, customer_id: str, at: datetime) -> Tier | None:
        """The tier with which a customer buys at a moment; None: he has none."""
        dossier = self.by_id.get(customer_id)
        if dossier is None:
            plan = self.plans.at(at)
            return plan.tiers[0] if plan else None
        return tier_at(self.plans, self.person(dossier.holdings[0].account_id), at)

    def count(self, change: Change) -> None:
        """What an event changes of an account's day, and of the person's tier with it."""
        account_id, key = change.account_id, (change.account_id, change.day)
        self.days[key] = self.days[key].plus(change.change)
        if account_id not in self.by_account:
            if self.plans.days:
                self.unloaded.add(account_id)
            return
        person, cause = self.person(account_id), change.cause
        told = count(self.plans, person, change.day, change.change, cause.time)
        self.put(account_id, told, cause, change.document)

    def count_action(self, change: Change) -> None:
        """The same of an action, where the day's plan counts those."""
        plan = self.plans.on(change.day)
        if plan and plan.counts_actions:
            self.count(change)

    def rejoin(self, event: Event) -> None:
        """A merge or an unmerge: the person is made anew of the ids that he now has."""
        dossier = self.by_id.get(event.key)
        if dossier is None:
            return
        account_id = dossier.holdings[0].account_id
        person = self.person(account_id)
        if person.standing.earned is None:
            why: Why = "merged" if isinstance(event.data, ProfileMerged) else "unmerged"
            self.put(account_id, advance(self.plans, person, event.time, why), event)

    def put(self, account_id: UUID, told: Told, cause: Event | None, document: str = "") -> None:
        """The person after something, which is told."""
        dossier, (person, moves) = self.by_account[account_id], told
        self.people[_key(dossier)] = dossier, person
        for move in moves:
            event = _announce(dossier.canonical_id, move, cause)
            self.facts.append(event)
            if move.due or cause is None:
                entry = Entry(account_id, move, document, SOURCE, event.id)
            else:
                entry = Entry(account_id, move, document, cause.source, cause.id)
            self.entries.append(replace(entry, document="") if move.due else entry)


def ranked(shopper: Shopper, tier: Tier | None) -> Shopper:
    """The shopper as rules see him: with his tier, and what it makes of the base points."""
    if tier is None:
        return shopper
    return replace(shopper, tier=tier.code, tier_percent=tier.benefits.multiplier_percent)


def _key(dossier: Dossier) -> Key:
    return tuple(holding.account_id for holding in dossier.holdings)


def _announce(customer_id: str, move: Move, cause: Event | None) -> Event:
    """What others are told, under the person's canonical id: so one person's stay in order."""
    fact = TierChanged(
        customer_id=customer_id,
        tier=move.tier,
        before=move.before or None,
        direction=move.direction,
        reason=move.why,
        valid_until=move.valid_until,
        qualifying=max(0, move.counter),
        version=move.version,
    )
    if cause and not move.due:
        return codec.follow(cause, f"tier/{move.version}", "tier.changed", fact, source=SOURCE)
    name = f"{SOURCE}/tier/{customer_id}/{move.version}/{move.at.isoformat()}"
    return codec.make(
        "tier.changed",
        fact,
        id=str(uuid5(NAMESPACE_OID, name)),
        source=SOURCE,
        time=move.at,
        backfill=bool(cause and cause.backfill),
    )
