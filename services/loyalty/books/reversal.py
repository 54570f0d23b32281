"""Taking back what an order earned, also where it is spent or expired. Pure.

The order's own lots give first what remains in them. What has expired in them is taken from
the expired: nobody holds it any more. What was spent, or is reserved, is the programme's to
decide (`programme.Returns.spent`): taken from the member's other lots and then owed; owed at
once; or told, so that the refund is lowered by what the points were worth.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.loyalty.books import lots, wallet
from services.loyalty.books.ledger import AccountKind, Deed, Journal, Posting
from services.loyalty.books.programme import Returns
from services.loyalty.books.wallet import Wallet

Source = tuple[AccountKind, UUID | None, int]
"""From which account, and lot, how many points are taken."""


@dataclass(frozen=True, slots=True)
class Reversal:
    """What was booked: `owed` of it the member owes now, `settled` lowers his refund."""

    journal: Journal
    owed: int = 0
    settled: int = 0


def take_back(
    book: Wallet,
    account_id: UUID,
    deed: Deed,
    postings: Sequence[Posting],
    policy: Returns,
    *,
    now: datetime,
) -> Reversal:
    """Book a reversal. `postings`, by line, credit CLAWED_BACK from PENDING or from ACTIVE.

    Those from ACTIVE are taken from where the points are now.
    """
    pending = [each for each in postings if each.debit is AccountKind.PENDING]
    active = [each for each in postings if each.debit is AccountKind.ACTIVE]
    wanted = sum(each.points for each in active)
    sources = (
        list(_sources(book, account_id, deed, wanted, policy=policy, now=now)) if wanted else []
    )
    journal = book.book(account_id, deed, "reverse", [*pending, *_spread(active, sources)])
    owed, settled = (
        sum(points for kind, _, points in sources if kind is short)
        for short in (AccountKind.OWED, AccountKind.SETTLED)
    )
    return Reversal(journal, owed, settled)


def _sources(
    book: Wallet, account_id: UUID, deed: Deed, wanted: int, *, policy: Returns, now: datetime
) -> Iterator[Source]:
    """Where the points are: each account, and each of its lots, once."""
    short = wanted
    own = book.of_document(account_id, deed)
    for lot in own:
        if lot.is_over(now) and lot.remaining:
            wallet.expire(book, lot)
        if points := _take(book, lot.id, "remaining", short):
            yield AccountKind.ACTIVE, lot.id, points
            short -= points
    for lot in book.of_document(account_id, deed):
        if points := _take(book, lot.id, "expired", short):
            yield AccountKind.EXPIRED, lot.id, points
            short -= points
    # An order brought from elsewhere may have no lot: its points lie in the member's others.
    if short and (policy.spent == "negative" or not own):
        for part in lots.pick(book.of(account_id), short, now):
            book.put(book.lots[part.lot_id].move("remaining", "used", part.points))
            yield AccountKind.ACTIVE, part.lot_id, part.points
            short -= part.points
    if short:
        yield AccountKind.SETTLED if policy.spent == "refund" else AccountKind.OWED, None, short


def _take(book: Wallet, lot_id: UUID, share: lots.Share, points: int) -> int:
    lot = book.lots[lot_id]
    has: int = getattr(lot, share)
    take = min(points, has)
    if take:
        book.put(lot.move(share, "taken_back", take))
    return take


def _spread(postings: Iterable[Posting], sources: Iterable[Source]) -> Iterator[Posting]:
    """The postings, line by line, from the sources in their order."""
    left = iter(sources)
    source, lot_id, rest = next(left, (AccountKind.ACTIVE, None, 0))
    for posting in postings:
        points = posting.points
        while points:
            if not rest:
                source, lot_id, rest = next(left)
            take = min(points, rest)
            yield Posting(posting.line, source, posting.credit, take, lot_id)
            points, rest = points - take, rest - take
