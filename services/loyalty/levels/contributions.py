"""What an order or an action counts for a tier, and what an event changes of it. Pure.

An order counts on the day on which it was placed, for what is kept of it: the money of its
product lines in the base currency, one order while a piece of it is kept, and the points
that it has earned and not given back. Whatever is returned of it later is taken from that
same day. An action counts on the day on which it was done, for the points that it earned.
"""

from collections.abc import Iterable
from datetime import date, datetime, tzinfo
from typing import Literal, NamedTuple
from uuid import UUID

from services.loyalty.books import points
from services.loyalty.books.ledger import Account
from services.loyalty.books.lines import Lines, LineState
from services.loyalty.books.points import Verdict
from services.loyalty.levels.tiers import Bucket, day_in
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot

Outlook = Literal["same", "grows", "may_shrink"]


class Counted(NamedTuple):
    """What an order counts for now, and on which day for ever."""

    day: date
    bucket: Bucket


class Change(NamedTuple):
    """What an event changes of one day of one account."""

    customer_id: str
    account_id: UUID
    day: date
    change: Bucket
    cause: Event
    document: str
    """The order, or the action as the books name it."""


def day_of(event: Event, placed_at: datetime, zone: tzinfo) -> date:
    """The day on which the order counts: nothing is placed after it is heard of."""
    return day_in(zone, min(placed_at, event.time))


def bucket_of(event: Event, lines: Lines) -> Bucket:
    """What the order counts for, as the event tells it; `lines` are those that earn."""
    order: OrderSnapshot = event.data
    if points.is_void(event.type, order.lines):
        return Bucket()
    earning = [line for line in order.lines if line.line_id in lines]
    spend_minor = sum(points.kept(lines[line.line_id].basis_minor, line, order) for line in earning)
    earned = sum(line.pending + line.active for line in lines.values())
    return Bucket(max(0, spend_minor), int(_keeps(earning)), earned)


def _keeps(lines: Iterable[Line]) -> bool:
    """Whether a piece is left that was not given back, by goods or by money."""
    return any(
        line.cancelled + line.returned < line.quantity
        and not 0 < line.total_minor <= line.refunded_minor
        for line in lines
    )


def changes(
    before: Counted | None, after: Counted | None, account: Account, cause: Event
) -> list[Change]:
    """What leads from one to the other: at most one change, of the order's own day."""
    if after is None:
        return []
    change = after.bucket.minus(before.bucket) if before else after.bucket
    if before and not any(change):
        return []
    document = cause.data.order_id
    return [Change(account.customer_id, account.account_id, after.day, change, cause, document)]


def outlook(
    event: Event, verdict: Verdict, lines: Lines, before: Counted | None, base_currency: str
) -> Outlook:
    """Whether an event will change what its order counts for, seen from what is booked of it.

    It decides what is loaded before the order is decided, so it may be too careful.
    """
    if verdict != "earns":
        return "may_shrink" if before and any(before.bucket) else "same"
    if before is None:
        return "grows"
    bases = points.bases_of(event.data, base_currency)
    if {line_id: line.basis_minor for line_id, line in lines.items()} != bases:
        return "may_shrink"
    kept = {
        line.line_id: LineState(
            bases[line.line_id], 0, points.kept(lines[line.line_id].awarded, line, event.data)
        )
        for line in event.data.lines
        if line.line_id in bases
    }
    change = bucket_of(event, kept).minus(before.bucket)
    if not any(change):
        return "same"
    return "may_shrink" if min(change) < 0 else "grows"


def takes_back(event: Event) -> bool:
    """Whether something of the order was taken back so far, or may be by this."""
    if event.type in {"order.changed", "order.cancelled"}:
        return True
    return any(line.cancelled or line.returned or line.refunded_minor for line in event.data.lines)
