"""What a referral moves in the books: points for each side, and back again. Pure.

A side is a document of its own, so its points are a lot of their own. What is taken back
follows the programme's `returns.spent`, as for orders.
"""

from collections.abc import Iterable
from datetime import datetime

from services.loyalty.books import ledger, reversal
from services.loyalty.books import wallet as wallets
from services.loyalty.books.ledger import Account, AccountKind, Deed, Posting
from services.loyalty.books.programme import programme_at
from services.loyalty.books.wallet import Wallet
from services.loyalty.earning.orders import Terms
from services.loyalty.inviting.referral_awards import differences
from services.loyalty.inviting.referrals import SOURCE, OrderFact, Referral
from services.loyalty.spending import announcements
from shared.events import codec
from shared.events.loyalty import PointsReversed

REASONS = {"referrer": "referral", "friend": "invited"}
"""What each side is told that its points are for."""


def document_of(referral: Referral, side: str) -> str:
    """Names a side of a referral in the books, and nobody."""
    return f"{referral.id}/{side}"


def at_of(before: Referral, orders: Iterable[OrderFact]) -> datetime:
    """When what is booked happened: with the newest of the friend's orders, once he was
    registered, and never before what was booked last."""
    told = [order.told_at for order in orders]
    told += [at for at in (before.registered_at, before.qualified_at) if at]
    return max(told)


def book(
    before: Referral, after: Referral, orders: Iterable[OrderFact], wallet: Wallet, terms: Terms
) -> None:
    """Post the difference on each side whose account is there. `orders` are the friend's."""
    at = at_of(after, orders)
    cause = ledger.cause_of(ledger.SOURCE, f"referral/{after.id}/{after.step}", at)
    owners = {"referrer": after.referrer_id, "friend": after.customer_id}
    accounts = {account.customer_id: account for account in wallet.accounts.values()}
    for side, points in differences(before, after).items():
        account = accounts.get(owners[side] or "")
        if account is None:
            continue  # he was erased: what he had is nobody's
        deed = Deed(SOURCE, document_of(after, side), after.step, cause, after.store)
        if points > 0:
            _give(wallet, account, deed, points, terms, reason=REASONS[side])
        else:
            _take_back(wallet, account, deed, -points, terms, reason=after.reason)


def _give(
    wallet: Wallet, account: Account, deed: Deed, points: int, terms: Terms, *, reason: str
) -> None:
    at, zone = deed.cause.time, terms.stores.get(deed.store).tz
    expires_at = programme_at(terms.book, at).expiry.expires_at(at, zone)
    postings = [Posting("", AccountKind.ISSUED, AccountKind.ACTIVE, points)]
    journal = wallets.activate(wallet, account.account_id, deed, postings, expires_at, kind="earn")
    wallet.facts.append(announcements.earned(journal, wallet.accounts[account.account_id], reason))


def _take_back(
    wallet: Wallet, account: Account, deed: Deed, points: int, terms: Terms, *, reason: str
) -> None:
    at, own = deed.cause.time, account.account_id
    postings = [Posting("", AccountKind.ACTIVE, AccountKind.CLAWED_BACK, points)]
    policy = programme_at(terms.book, at).returns
    taken = reversal.take_back(wallet, own, deed, postings, policy, now=at)
    fact = PointsReversed(
        **announcements.common_of(taken.journal, wallet.accounts[own]),
        direction="taken_back",
        reason=f"referral: {reason}",
        owed=taken.owed,
        settled=taken.settled,
    )
    name = f"points/reverse/{deed.document}"
    told = codec.follow(deed.cause, name, "points.reversed", fact, source=ledger.SOURCE)
    wallet.facts.append(told)
