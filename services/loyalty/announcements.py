"""What others are told of a journal. Pure.

The balance in an event is that of the account under the event's own customer id, right
after the journal. Of a person with several ids the API tells the sum.
"""

from typing import Any
from uuid import UUID

from services.loyalty.ledger import SOURCE, Account, Journal
from services.loyalty.points import Rule
from services.loyalty.reversal import Reversal
from shared.events import codec
from shared.events.envelope import Event
from shared.events.loyalty import PointsActivated, PointsEarned, PointsExpired, PointsReversed


def announce(
    journal: Journal,
    account: Account,
    rule: Rule,
    earned_in: UUID | None,
    reversal: Reversal | None = None,
) -> Event:
    """The event that follows from an order's journal; its id is the cause's, whatever the retry."""
    common = {
        **common_of(journal, account),
        "order_id": journal.document,
        "order_revision": journal.revision if journal.revision > 0 else None,
    }
    match journal.kind:
        case "earn":
            earned = PointsEarned(
                **common, pending=True, rule_id=rule.id, rule_version=rule.version
            )
            return _follow(journal, "points.earned", earned)
        case "activate":
            return _follow(journal, "points.activated", PointsActivated(**common))
        case "reverse":
            reversed_ = PointsReversed(
                **common,
                direction="taken_back",
                of_journal_id=str(earned_in) if earned_in else None,
                reason=journal.cause.type,
                owed=reversal.owed if reversal else 0,
                settled=reversal.settled if reversal else 0,
            )
            return _follow(journal, "points.reversed", reversed_)
        case _:
            raise AssertionError(f"no order books {journal.kind}")


def expired(journal: Journal, account: Account) -> Event:
    """Points were not spent in time."""
    common = common_of(journal, account)
    return _follow(
        journal, "points.expired", PointsExpired(**common, expired_at=journal.cause.time)
    )


def common_of(journal: Journal, account: Account) -> dict[str, Any]:
    """What every event about a journal tells."""
    return {
        "customer_id": account.customer_id,
        "journal_id": str(journal.id),
        "points": journal.points,
        "balance": {
            "active": account.active - account.owed,
            "pending": account.pending,
            "reserved": account.reserved,
        },
        "store": journal.store or None,
    }


def _follow(journal: Journal, type_: str, data: Any) -> Event:
    return codec.follow(journal.cause, f"points/{journal.kind}", type_, data, source=SOURCE)
