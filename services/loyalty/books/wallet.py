"""What a transaction does to points: accounts and lots together, and the journals of it. Pure.

A wallet is opened over the accounts and lots that were loaded and locked, and collects what
changes; `booking.py` saves it. Every operation here moves lots and books the same points in
one step, so ACTIVE is the sum of what remains in the lots and RESERVED of what is reserved,
whatever happens. Who owes points pays them with the next that become active.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.loyalty.books import ledger, lots
from services.loyalty.books.ledger import Account, AccountKind, Deed, Journal, JournalKind, Posting
from services.loyalty.books.lots import Lot, Part
from shared.errors import Conflict
from shared.events.envelope import Event

DEED_ACCOUNTS_MAX = 1_000
"""Of one person: revisions of deeds that may touch several accounts are this far apart."""
LOT_KINDS = frozenset({AccountKind.ACTIVE, AccountKind.RESERVED})
"""The accounts whose points lie in lots."""
SPENT_AS: dict[AccountKind, JournalKind] = {
    AccountKind.RESERVED: "reserve",
    AccountKind.DONATED: "donate",
    AccountKind.ADJUSTED: "adjust",
}
"""The journals of what is spent to other accounts than REDEEMED."""


class NotEnoughPoints(Conflict):
    """The account holds fewer spendable points than this asks for."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """The accounts by account id, the lots by id; what has changed of them; what is booked."""

    accounts: dict[UUID, Account]
    lots: dict[UUID, Lot]
    journals: list[Journal] = field(default_factory=list)
    facts: list[Event] = field(default_factory=list)
    known: set[UUID] = field(default_factory=set)
    """The lots that were loaded: others are new."""
    by_account: dict[UUID, set[UUID]] = field(default_factory=lambda: defaultdict(set))
    """The ids of each account's lots."""
    changed: set[UUID] = field(default_factory=set)
    moved: set[UUID] = field(default_factory=set)
    """The accounts that hold something else than before."""

    @classmethod
    def open(cls, accounts: Iterable[Account], found: Iterable[Lot] = ()) -> "Wallet":
        wallet = cls({a.account_id: a for a in accounts}, {})
        wallet.bring(found)
        return wallet

    def bring(self, found: Iterable[Lot]) -> None:
        """More lots of the same accounts, as they are kept; what is here already stays as it is."""
        for lot in found:
            if lot.id not in self.lots:
                self.lots[lot.id] = lot
                self.by_account[lot.account_id].add(lot.id)
                self.known.add(lot.id)

    def put(self, lot: Lot) -> None:
        self.lots[lot.id] = lot
        self.by_account[lot.account_id].add(lot.id)
        self.changed.add(lot.id)

    def book(
        self, account_id: UUID, deed: Deed, kind: JournalKind, postings: Iterable[Posting]
    ) -> Journal:
        """Write one journal, and what the account holds after it. Lots are the caller's."""
        journal = ledger.journal_of(account_id, deed, kind, postings)
        for _, debit, credit, _, lot_id in journal.postings:
            in_lots = debit in LOT_KINDS or credit in LOT_KINDS
            assert lot_id or not in_lots, "what moves in or out of a lot names it"
        self.accounts[account_id] = ledger.book(self.accounts[account_id], journal)
        self.moved.add(account_id)
        self.journals.append(journal)
        return journal

    def spendable(self, now: datetime, of: Collection[UUID] | None = None) -> int:
        """In these accounts; None: in all that are here."""
        return sum(lot.remaining for lot in self.lots_of(of) if not lot.is_over(now))

    def lots_of(self, accounts: Collection[UUID] | None) -> list[Lot]:
        return [lot for lot in self.lots.values() if accounts is None or lot.account_id in accounts]

    def of(self, account_id: UUID) -> list[Lot]:
        """The account's lots that are here, in the order in which they are spent."""
        return lots.by_expiry(self.lots[id_] for id_ in self.by_account.get(account_id, ()))

    def of_document(self, account_id: UUID, deed: Deed) -> list[Lot]:
        """The lots that the deed's document has earned."""
        own = (self.lots[id_] for id_ in self.by_account.get(account_id, ()))
        return lots.by_expiry(
            lot for lot in own if lot.document == deed.document and lot.source == deed.source
        )


def activate(
    wallet: Wallet,
    account_id: UUID,
    deed: Deed,
    postings: Sequence[Posting],
    expires_at: datetime | None,
    *,
    kind: JournalKind = "activate",
) -> Journal:
    """Points become spendable: into the lot of this document and date, less what is owed.

    `postings` all credit ACTIVE.
    """
    points = sum(posting.points for posting in postings)
    same = [lot for lot in wallet.of_document(account_id, deed) if lot.expires_at == expires_at]
    lot = same[0] if same else _new_lot(account_id, deed, expires_at)
    wallet.put(lot.add(points))
    into = [Posting(p.line, p.debit, p.credit, p.points, lot.id) for p in postings]
    return wallet.book(account_id, deed, kind, [*into, *repay(wallet, account_id, [lot.id])])


def spend(
    wallet: Wallet,
    deed: Deed,
    points: int,
    to: AccountKind,
    now: datetime,
    *,
    of: Collection[UUID] | None = None,
) -> tuple[Part, ...]:
    """Take points from these accounts, the first to expire first; None: from all that are here,
    which then are one person's. A batch's wallet holds many persons'.

    To RESERVED they can come back; elsewhere they are used. NotEnoughPoints if there are
    fewer that have not expired.
    """
    assert points > 0, "nothing is not spent"
    parts = lots.pick(wallet.lots_of(of), points, now)
    if lots.total(parts) < points:
        raise NotEnoughPoints(
            f"{points} points are asked for and {lots.total(parts)} can be spent",
            spendable=lots.total(parts),
        )
    reserves = to is AccountKind.RESERVED
    for part in parts:
        lot = wallet.lots[part.lot_id]
        wallet.put(lot.move("remaining", "reserved" if reserves else "used", part.points))
    _book_parts(wallet, deed, SPENT_AS.get(to, "redeem"), parts, _all(AccountKind.ACTIVE, to))
    return tuple(parts)


def settle(wallet: Wallet, deed: Deed, parts: Sequence[Part]) -> None:
    """What was reserved is spent."""
    for part in parts:
        wallet.put(wallet.lots[part.lot_id].move("reserved", "used", part.points))
    _book_parts(wallet, deed, "redeem", parts, _all(AccountKind.RESERVED, AccountKind.REDEEMED))


def free(wallet: Wallet, deed: Deed, parts: Sequence[Part], now: datetime) -> int:
    """What was reserved goes back to its own lots; how much of it had expired meanwhile."""
    return _back(wallet, deed, parts, now, ("reserved", AccountKind.RESERVED))


def give_back(wallet: Wallet, deed: Deed, parts: Sequence[Part], now: datetime) -> int:
    """What was spent goes back to its own lots; how much of it had expired meanwhile."""
    return _back(wallet, deed, parts, now, ("used", AccountKind.REDEEMED))


def expire(wallet: Wallet, lot: Lot) -> Journal:
    """What remains of a lot at its date. The deed is the lot's own, so it happens once; what comes
    to a lot that has expired, late or back, expires as another."""
    assert lot.expires_at, "a lot without a date never expires"
    due = int(lot.expires_at.timestamp())
    gone = lot.expired + lot.taken_back  # grows with each expiry, and never falls
    cause = ledger.cause_of(ledger.SOURCE, f"lot/{lot.id}@{due}+{gone}", lot.expires_at)
    deed = Deed("lot", str(lot.id), due + gone, cause, lot.store)
    wallet.put(lot.move("remaining", "expired", lot.remaining))
    active, expired = AccountKind.ACTIVE, AccountKind.EXPIRED
    posting = Posting(lot.document, active, expired, lot.remaining, lot.id)
    return wallet.book(lot.account_id, deed, "expire", [posting])


def _back(
    wallet: Wallet,
    deed: Deed,
    parts: Sequence[Part],
    now: datetime,
    origin: tuple[lots.Share, AccountKind],
) -> int:
    share, account = origin
    over = {part.lot_id for part in parts if wallet.lots[part.lot_id].is_over(now)}
    for part in parts:
        target: lots.Share = "expired" if part.lot_id in over else "remaining"
        wallet.put(wallet.lots[part.lot_id].move(share, target, part.points))

    def postings(account_id: UUID, own: list[Part]) -> list[Posting]:
        back = [_posting(part, account, AccountKind.ACTIVE) for part in own]
        lost = [
            _posting(part, AccountKind.ACTIVE, AccountKind.EXPIRED)
            for part in own
            if part.lot_id in over
        ]
        alive = [part.lot_id for part in own if part.lot_id not in over]
        return [*back, *lost, *repay(wallet, account_id, alive)]

    kind: JournalKind = "free" if share == "reserved" else "give_back"
    _book_parts(wallet, deed, kind, parts, postings)
    return sum(part.points for part in parts if part.lot_id in over)


def repay(wallet: Wallet, account_id: UUID, lot_ids: Iterable[UUID]) -> list[Posting]:
    """What the account owes is paid from lots that have just got points."""
    owed = wallet.accounts[account_id].owed
    paid: list[Posting] = []
    for id_ in lot_ids:
        if part := min(owed, wallet.lots[id_].remaining):
            wallet.put(wallet.lots[id_].move("remaining", "used", part))
            paid.append(Posting("", AccountKind.ACTIVE, AccountKind.OWED, part, id_))
            owed -= part
    return paid


def _new_lot(account_id: UUID, deed: Deed, expires_at: datetime | None) -> Lot:
    at = deed.cause.time
    return Lot(
        lots.lot_id(at, deed.source, deed.document, expires_at),
        account_id,
        deed.source,
        deed.document,
        deed.store,
        at,
        expires_at,
        points=0,
        remaining=0,
    )


def _all(debit: AccountKind, credit: AccountKind) -> Callable[[UUID, list[Part]], list[Posting]]:
    return lambda _, own: [_posting(part, debit, credit) for part in own]


def _posting(part: Part, debit: AccountKind, credit: AccountKind) -> Posting:
    return Posting(str(part.lot_id), debit, credit, part.points, part.lot_id)


def _book_parts(
    wallet: Wallet,
    deed: Deed,
    kind: JournalKind,
    parts: Sequence[Part],
    postings: Callable[[UUID, list[Part]], list[Posting]],
) -> None:
    """One journal for each account that has a part in it."""
    by_account: defaultdict[UUID, list[Part]] = defaultdict(list)
    for part in parts:
        by_account[wallet.lots[part.lot_id].account_id].append(part)
    assert len(by_account) < DEED_ACCOUNTS_MAX, "a person has fewer ids"
    for index, (account_id, own) in enumerate(sorted(by_account.items())):
        step = deed._replace(revision=deed.revision + index)
        wallet.book(account_id, step, kind, postings(account_id, own))
