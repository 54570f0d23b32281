"""Earning that looks wrong is held: its points stay pending until somebody has looked. Pure.

An order is weighed when it is awarded points, first or anew, while none of them is active:
against the points of one order, and the points and orders of its customer (all ids of the
person) on that business day. What exceeds a limit is held, whole. Released, its points become
active when they would have been; declined, they are taken back, and the order earns nothing
any more. Either is decided once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from services.loyalty.books.lines import Lines
from services.loyalty.books.programme import DEFAULT
from services.loyalty.terms.definitions import Book, Definition
from shared.errors import Conflict
from shared.events.envelope import Event
from shared.stores import Stores

HoldState = Literal["", "held", "released", "declined"]
"""Of an order; empty: nobody looks at it."""

AtMost = Annotated[int, Field(ge=1, le=10**12)] | None


class NotHeld(Conflict):
    """This order is not held, or somebody has decided on it."""


class EarningLimits(Definition):
    """Above which earning waits for review; without a number nothing is held for it."""

    order_points_max: AtMost = None
    """Of one order."""
    day_points_max: AtMost = None
    """Of one member's orders in a day of the store."""
    day_orders_max: AtMost = None
    """How many of one member's orders earn in a day of the store."""


@dataclass(frozen=True, slots=True)
class Day:
    """What a member has earned by orders on one day."""

    points: int = 0
    orders: int = 0


@dataclass(frozen=True, slots=True)
class Excess:
    """One limit that an order exceeds."""

    limit: str
    allowed: int
    found: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an order's points stay pending, and what became of it."""

    order_id: str
    customer_id: str | None
    """None: he was erased."""
    points: int
    excesses: tuple[Excess, ...]
    inputs: Mapping[str, object]
    """What was known when it was held."""
    held_at: datetime
    state: HoldState = "held"
    decided_by: str | None = None
    decided_at: datetime | None = None
    comment: str = ""


def limits_at(book: Book, at: datetime) -> tuple[EarningLimits, int] | None:
    """The limits in force and their version; None: nothing is ever held."""
    found = book.one_in_force(EarningLimits, DEFAULT, at)
    return (found.body, found.version) if found else None


def exceeded(limits: EarningLimits, points: int, after: Day) -> tuple[Excess, ...]:
    """Which limits an order of so many points exceeds, with what its day comes to by it."""
    told = (
        ("order_points_max", limits.order_points_max, points),
        ("day_points_max", limits.day_points_max, after.points),
        ("day_orders_max", limits.day_orders_max, after.orders),
    )
    return tuple(
        Excess(name, allowed, found)
        for name, allowed, found in told
        if allowed is not None and found > allowed
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """An order that is awarded `points`, of which `booked` were there before."""

    order_id: str
    owner: str
    points: int
    booked: int


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a batch has added to its days so far, and what of it is held."""

    days: dict[tuple[str, date], Day] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Watch:
    """What a batch's orders are weighed by.

    `days` has, by person and day, what is booked already. `people` names the person of an
    id that was merged.
    """

    book: Book
    stores: Stores
    days: Mapping[tuple[str, date], Day] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)

    def hold_of(
        self, event: Event, owner: str, booked: Lines, lines: Lines, weighed: Weighed
    ) -> HoldState:
        """Whether the order that shall have these lines is held; `booked` is what it has."""
        if any(line.active for line in booked.values()):
            return ""
        points = sum(line.pending + line.active for line in lines.values())
        before = sum(line.pending for line in booked.values())
        at = event.time.astimezone(self.stores.get(event.data.store).tz)
        order = Candidate(event.data.order_id, owner, points, before)
        return "held" if self.weigh(order, at, weighed) else ""

    def weigh(self, order: Candidate, at: datetime, weighed: Weighed) -> bool:
        """Whether the order is to be held. `at` is in the store's zone."""
        found = limits_at(self.book, at)
        gained = order.points - order.booked
        if found is None or gained <= 0:
            return False
        limits, version = found
        place = self.people.get(order.owner, order.owner), at.date()
        before = weighed.days.get(place) or self.days.get(place) or Day()
        after = Day(before.points + gained, before.orders + (not order.booked))
        weighed.days[place] = after
        excesses = exceeded(limits, order.points, after)
        if excesses:
            inputs = {
                "limits_version": version,
                "day": at.date().isoformat(),
                "day_points_before": before.points,
                "day_orders_before": before.orders,
            }
            hold = Hold(order.order_id, order.owner, order.points, excesses, inputs, at)
            weighed.holds.append(hold)
        return bool(excesses)


def under(hold: HoldState, lines: Lines) -> Lines:
    """The lines as they are booked while the order is in that state."""
    if hold == "held":
        return {
            line_id: line._replace(pending=line.pending + line.active, active=0)
            for line_id, line in lines.items()
        }
    if hold == "declined":
        return {line_id: line._replace(pending=0, active=0) for line_id, line in lines.items()}
    return lines
