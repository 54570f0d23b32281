"""What becomes of the points of who has left: all that remains is forfeited. Pure.

Points that were pending then are forfeited when they become active, and reserved ones when
they come back: whoever opens the wallet of somebody who has left finds it empty, whether or
not the job has come by. An order that is returned later takes from what was forfeited, so
nobody owes points that he no longer had.
"""

from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from services.loyalty.books import ledger
from services.loyalty.books.ledger import SOURCE, AccountKind, Deed, Posting
from services.loyalty.books.wallet import Wallet
from services.loyalty.spending import announcements
from shared.events import codec
from shared.events.loyalty import PointsExpired

MEMBERSHIP = "membership"
"""The source of journals whose document is somebody's leaving."""
LEFT = "left"
"""The reason that is told."""


def forfeit(wallet: Wallet, account_id: UUID, left_at: datetime) -> int:
    """Take what remains in the account's lots; how much it was."""
    own = [lot for lot in wallet.of(account_id) if lot.remaining]
    if not own:
        return 0
    account = wallet.accounts[account_id]
    at = max(left_at, *(lot.earned_at for lot in own))
    # The account's own count of journals is the revision: it is locked, and only grows.
    name = _document(account_id)
    cause = ledger.cause_of(SOURCE, f"{MEMBERSHIP}/{name}/{account.version}", at)
    deed = Deed(MEMBERSHIP, name, account.version, cause)
    postings = [
        Posting(lot.document, AccountKind.ACTIVE, AccountKind.EXPIRED, lot.remaining, lot.id)
        for lot in own
    ]
    for lot in own:
        wallet.put(lot.move("remaining", "expired", lot.remaining))
    journal = wallet.book(account_id, deed, "forfeit", postings)
    if account.customer_id:
        common = announcements.common_of(journal, wallet.accounts[account_id])
        fact = PointsExpired(**common, expired_at=at, reason=LEFT)
        told = codec.follow(cause, "points/forfeit", "points.expired", fact, source=SOURCE)
        wallet.facts.append(told)
    return journal.points


def _document(account_id: UUID) -> str:
    """A name that leads nowhere: an account's id is never shown beside a customer's."""
    return blake2b(account_id.bytes, digest_size=12, person=b"leaving").hexdigest()
