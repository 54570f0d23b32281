"""What others are told of a journal. Pure.

The balance in an event is that of the account under the event's own customer id, right
after the journal. Of a person with several ids the API tells the sum.
"""

from typing import Any, assert_never
from uuid import UUID

from services.loyalty.ledger import Account, Journal
from services.loyalty.points import Rule
from shared.events import codec
from shared.events.envelope import Event
from shared.events.loyalty import PointsActivated, PointsEarned, PointsReversed

SOURCE = "regulars/loyalty"


def announce(journal: Journal, account: Account, rule: Rule, earned_in: UUID | None) -> Event:
    """The event that follows from the journal; its id is the cause's, whatever the retry."""
    order = journal.cause.data
    common: dict[str, Any] = {
        "customer_id": account.customer_id,
        "journal_id": str(journal.id),
        "points": journal.points,
        "balance": {
            "active": account.active,
            "pending": account.pending,
            "reserved": account.reserved,
        },
        "order_id": order.order_id,
        "order_revision": order.revision,
        "store": order.store,
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
            )
            return _follow(journal, "points.reversed", reversed_)
        case _:
            assert_never(journal.kind)


def _follow(journal: Journal, type_: str, data: Any) -> Event:
    return codec.follow(journal.cause, f"points/{journal.kind}", type_, data, source=SOURCE)
