"""A claim: the offers that an order was promised, and what counts of them. Pure.

    claimed -> counted    the order is paid: the use and its cost count for ever
            -> released   not wanted, timed out, or the order is cancelled: free again

An order has one claim. It counts as the order's newest revision says: paid after the time
was over it counts again, for the customer got what he was promised, even where the budget
is over by then; cancelled whole after it was paid it is free again. A test order counts none:
once it is paid its claim is free.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

from services.loyalty.books import points
from services.loyalty.promotions.stacking import UNUSED, Applied, GiftGiven, Use, Used, Verdict
from services.loyalty.terms.conditions import Part
from services.loyalty.terms.definitions import DefinitionId
from shared.errors import Conflict
from shared.events.envelope import Event
from shared.events.fields import Amount
from shared.events.orders import OrderSnapshot

State = Literal["claimed", "counted", "released"]
GOES_ON = frozenset({"order.paid", "order.shipped", "order.delivered", "order.completed"})
"""Types that say of a released claim that its order is bought all the same; a refund does not."""


class OffersChanged(Conflict):
    """An offer no longer gives what the order was promised; quote the cart again."""


class AlreadyCounted(Conflict):
    """The order has been paid, so its offers are counted for ever."""


class Promised(Part):
    """An offer as it was quoted."""

    offer_id: DefinitionId
    discount_minor: Amount = 0


class Given(Part):
    """An offer on an order. `budgeted`: it counts in the offer's budget."""

    offer_id: str
    version: int
    discount_minor: int
    cost_minor: int
    budgeted: bool
    by_line: dict[str, int]
    gift: GiftGiven | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The offers of one order, and whether they count."""

    order_id: str
    customer_id: str | None
    """None: erased."""
    state: State
    expires_at: datetime
    given: tuple[Given, ...]

    @property
    def counts(self) -> bool:
        return self.state != "released"

    @property
    def by_line(self) -> dict[str, int]:
        """All discounts by line."""
        found: dict[str, int] = {}
        for each in self.given:
            for line_id, minor in each.by_line.items():
                found[line_id] = found.get(line_id, 0) + minor
        return found


class Move(NamedTuple):
    """By how much the use of an offer's budget grows."""

    uses: int
    cost_minor: int


def keep(applied: Applied, promised: Sequence[Promised]) -> tuple[Given, ...]:
    """What the order gets; OffersChanged unless it is exactly what was promised."""
    now = {verdict.offer.id: verdict for verdict in applied.verdicts}
    changed = [_change(each, now.get(each.offer_id)) for each in promised]
    if differing := [each for each in changed if each]:
        raise OffersChanged("; ".join(differing))
    return tuple(
        Given(
            offer_id=verdict.offer.id,
            version=verdict.offer.version,
            discount_minor=verdict.discount_minor,
            cost_minor=verdict.cost_minor,
            budgeted=verdict.offer.body.is_budgeted,
            by_line=dict(verdict.by_line),
            gift=verdict.gift,
        )
        for verdict in applied.applying
    )


def _change(promised: Promised, now: Verdict | None) -> str:
    if now is None:
        return f"{promised.offer_id} is not in force"
    if now.reason:
        return f"{promised.offer_id} does not apply: {now.reason}"
    if now.discount_minor != promised.discount_minor:
        return f"{promised.offer_id} gives {now.discount_minor}, not {promised.discount_minor}"
    return ""


def moves(before: Iterable[Claim], after: Iterable[Claim]) -> dict[str, Move]:
    """What changed claims do to the budgets, by offer; what stays as it is moves nothing."""
    found: dict[str, Move] = {}
    for sign, claims in ((-1, before), (1, after)):
        for given in [one for claim in claims if claim.counts for one in claim.given]:
            if given.budgeted:
                uses, cost = found.get(given.offer_id, Move(0, 0))
                found[given.offer_id] = Move(uses + sign, cost + sign * given.cost_minor)
    return {offer_id: move for offer_id, move in found.items() if move != Move(0, 0)}


def used_without(used: Used, own: Claim) -> Used:
    """The uses as if the order had claimed nothing: a new claim takes the old one's place."""
    if not own.counts:
        return used
    found = dict(used)
    for given in own.given:
        use = found.get(given.offer_id, UNUSED)
        found[given.offer_id] = Use(
            use.uses - given.budgeted,
            use.cost_minor - given.cost_minor * given.budgeted,
            use.by_member - 1,
        )
    return found


def follow(claims: Mapping[str, Claim], applied: Collection[Event]) -> dict[str, Claim]:
    """The claims that the newest revisions of their orders change."""
    found: dict[str, Claim] = {}
    for event in applied:
        order = event.data
        claim = found.get(order.order_id) or claims.get(order.order_id)
        if claim is None:
            continue
        state = _state(claim, event)
        if state != claim.state:
            found[order.order_id] = replace(claim, state=state)
    return found


def _state(claim: Claim, event: Event) -> State:
    order = event.data
    if points.is_void(event.type, order.lines) or _is_cancelled_whole(order):
        return "released"
    if claim.state == "released" and event.type not in GOES_ON:
        return "released"
    if not points.is_paid(event.type, order):
        return claim.state
    return "released" if order.test else "counted"


def _is_cancelled_whole(order: OrderSnapshot) -> bool:
    bought = [line for line in order.lines if line.kind == "product" and line.quantity]
    return bool(bought) and all(line.cancelled == line.quantity for line in bought)
