"""The lines of an order that earn: what should be booked of each, and how to get there. Pure.

A line's points are pending or active as a whole. With a programme that waits (`after_days`)
a line that has arrived keeps the time at which its points are due, from the first event
that said so on; the points mature then, whether or not an event comes by.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.loyalty.books import points
from services.loyalty.books.ledger import AccountKind, JournalKind, Posting
from services.loyalty.books.programme import Activation
from shared.events.envelope import Event
from shared.events.orders import OrderSnapshot


class LineState(NamedTuple):
    """A line's award, and what of it is booked: a tuple, as it is kept."""

    basis_minor: int
    awarded: int
    pending: int = 0
    active: int = 0
    due: int = 0
    """When its points become active, in seconds of the epoch; 0: it has not arrived."""


Lines = Mapping[str, LineState]
NOTHING = LineState(0, 0)


def targets(
    event: Event,
    bases: Mapping[str, int],
    awarded: Mapping[str, int],
    before: Lines,
    activation: Activation,
    *,
    stays: bool = False,
) -> dict[str, LineState]:
    """What the event's snapshot says should be booked, by line.

    With `stays` a line that has arrived is not sent back by a snapshot that does not say so.
    """
    order: OrderSnapshot = event.data
    void = points.is_void(event.type, order.lines)
    arrived = _arrived(event, before, activation)
    if stays:
        arrived = arrived | {line_id for line_id, line in before.items() if line.due}
    now, wait = event.time.timestamp(), timedelta(activation.after_days)
    due_now = int((event.time + wait).timestamp())
    found: dict[str, LineState] = {}
    for line in order.lines:
        line_id = line.line_id
        if line_id in bases:
            gross = awarded[line_id]
            net = 0 if void else points.kept(gross, line, order)
            known, due = before.get(line_id, NOTHING), 0
            if line_id in arrived:
                due = known.due or due_now
            # What the clock has made active stays so, if an event from before it comes late.
            certain = due and (due <= now or known.active)
            split = (0, net) if certain else (net, 0)
            found[line_id] = LineState(bases[line_id], gross, *split, due)
    return found


def _arrived(event: Event, before: Lines, activation: Activation) -> set[str]:
    lines = event.data.lines
    match activation.on:
        case "paid":
            return {line.line_id for line in lines}
        case "delivered":
            return points.arrivals(event.type, lines)
        case "completed":
            if event.type == "order.completed":
                return {line.line_id for line in lines}
            return {line_id for line_id, line in before.items() if line.due}


def differences(before: Lines, after: Lines) -> dict[JournalKind, list[Posting]]:
    """The postings that lead from one to the other, in the order in which they are booked.

    What becomes active comes out of pending; what pending lacks for that is earned; what is
    taken back is taken from where it is.
    """
    earn: list[Posting] = []
    activate: list[Posting] = []
    reverse: list[Posting] = []
    for line in sorted(before.keys() | after.keys()):
        old, new = before.get(line, NOTHING), after.get(line, NOTHING)
        rise = new.active - old.active
        gap = new.pending - old.pending + max(0, rise)
        if gap > 0:
            earn.append(Posting(line, AccountKind.ISSUED, AccountKind.PENDING, gap))
        if rise > 0:
            activate.append(Posting(line, AccountKind.PENDING, AccountKind.ACTIVE, rise))
        if gap < 0:
            reverse.append(Posting(line, AccountKind.PENDING, AccountKind.CLAWED_BACK, -gap))
        if rise < 0:
            reverse.append(Posting(line, AccountKind.ACTIVE, AccountKind.CLAWED_BACK, -rise))
    return {"earn": earn, "activate": activate, "reverse": reverse}


def next_due(lines: Lines) -> datetime | None:
    """When the next of its points become active by themselves."""
    dues = [line.due for line in lines.values() if line.due and line.pending]
    return datetime.fromtimestamp(min(dues), UTC) if dues else None


def matured(lines: Lines, due: datetime) -> dict[str, LineState]:
    """The lines after the points that are due by then have become active."""
    until = due.timestamp()
    return {
        line_id: line._replace(pending=0, active=line.active + line.pending)
        if line.due and line.due <= until
        else line
        for line_id, line in lines.items()
    }
