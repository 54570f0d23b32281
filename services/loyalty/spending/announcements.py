"""What others are told of a journal. Pure.

The balance in an event is that of the account under the event's own customer id, right
after the journal. Of a person with several ids the API tells the sum.
"""

from functools import lru_cache
from typing import Any
from uuid import UUID

from services.loyalty.books.ledger import SOURCE, Account, Journal, JournalKind
from services.loyalty.books.points import RuleName
from services.loyalty.books.reversal import Reversal
from services.loyalty.books.wallet import Wallet
from services.loyalty.spending.reservations import Reservation, Shortfall
from shared.events import codec
from shared.events.envelope import Event
from shared.events.loyalty import (
    RULES_MAX,
    PointsActivated,
    PointsEarned,
    PointsExpired,
    PointsRedeemed,
    PointsReversed,
    PointsShortfall,
    RuleNamed,
)


def announce(
    journal: Journal,
    account: Account,
    rules: tuple[RuleName, ...],
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
            earned = PointsEarned(**common, pending=True, **_named(rules))
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


def earned(
    journal: Journal, account: Account, kind: str, rules: tuple[RuleName, ...] = ()
) -> Event:
    """Points for something else than an order, spendable at once; a referral's by no rule."""
    told = common_of(journal, account) | _named(rules)
    fact = PointsEarned(**told, pending=False, reason=kind)
    name = f"points/{journal.document}"
    return codec.follow(journal.cause, name, "points.earned", fact, source=SOURCE)


@lru_cache(maxsize=256)
def _named(rules: tuple[RuleName, ...]) -> dict[str, Any]:
    """The rules that gave points, the one that gave most first; few of them for many orders."""
    every = [RuleNamed(rule_id=rule.id, rule_version=rule.version) for rule in rules]
    if not every:
        return {}
    first = every[0]
    return {
        "rule_id": first.rule_id,
        "rule_version": first.rule_version,
        "rules": tuple(every[:RULES_MAX]),
    }


def expired(journal: Journal, account: Account) -> Event:
    """Points were not spent in time."""
    common = common_of(journal, account)
    return _follow(
        journal, "points.expired", PointsExpired(**common, expired_at=journal.cause.time)
    )


def redeemed(reservation: Reservation, wallet: Wallet, cause: Event) -> Event:
    """Points were spent on an order."""
    points = reservation.confirmed - reservation.given_back
    told = _of_reservation(reservation, wallet, "redeem") | {"points": points}
    fact = PointsRedeemed(
        **told, amount_minor=reservation.share_minor(points), currency=reservation.currency
    )
    return _follow_reservation(reservation, cause, "points.redeemed", fact)


def given_back(reservation: Reservation, points: int, wallet: Wallet, cause: Event) -> Event:
    """Points that were spent came back with the order."""
    told = _of_reservation(reservation, wallet, "give_back")
    del told["reservation_id"]
    told["points"] = points
    fact = PointsReversed(**told, direction="given_back", reason=cause.type)
    return _follow_reservation(reservation, cause, "points.reversed", fact)


def shortfall(missing: Shortfall, cause: Event) -> Event:
    """An order was paid with points that were not there."""
    fact = PointsShortfall(
        customer_id=cause.key,
        order_id=missing.order_id,
        reservation_id=missing.reservation_id,
        points=missing.points,
        reason=missing.reason,
    )
    name = f"shortfall/{missing.reservation_id}"
    return codec.follow(cause, name, "points.shortfall", fact, source=SOURCE)


def _of_reservation(reservation: Reservation, wallet: Wallet, kind: JournalKind) -> dict[str, Any]:
    """Told of the first account that was booked; of a person with several ids, one of them."""
    journal = next(j for j in wallet.journals if (j.document, j.kind) == (reservation.id, kind))
    common = common_of(journal, wallet.accounts[journal.account_id])
    return common | {
        "customer_id": reservation.customer_id,
        "order_id": reservation.order_id,
        "reservation_id": reservation.id,
    }


def _follow_reservation(reservation: Reservation, cause: Event, type_: str, data: Any) -> Event:
    name = f"reservation/{reservation.id}/{reservation.step}"
    return codec.follow(cause, name, type_, data, source=SOURCE)


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
