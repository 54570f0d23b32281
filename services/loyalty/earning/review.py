"""What becomes of an order that was held for review. Pure.

Released, its points become active when they would have: what was due meanwhile matures at
its own time. Declined, what is pending is taken back, and no later event earns again.
"""

from datetime import datetime

from services.loyalty.books.ledger import Account, Deed
from services.loyalty.books.lines import differences, next_due
from services.loyalty.earning import orders
from services.loyalty.earning.limits import under
from services.loyalty.earning.orders import OrderState, Outcome, Terms
from shared.events.envelope import Event

HOLD = "hold"
"""The source of journals that a decision on a held order has caused."""


def release(
    state: OrderState, account: Account, terms: Terms, out: Outcome, *, now: datetime
) -> OrderState:
    state = state._replace(hold="released", activates_at=next_due(state.lines))
    while state.activates_at and state.activates_at <= now:
        state = orders.mature(state, account, terms, out)
    return state


def decline(
    state: OrderState, account: Account, terms: Terms, out: Outcome, *, cause: Event
) -> OrderState:
    lines = under("declined", state.lines)
    moves = differences(state.lines, lines)
    # Below zero: a decision, which no revision of the order is.
    deed = Deed(HOLD, state.order_id, -1, cause, state.store)
    orders.post(moves, deed, account, terms, out, earned_in=state.earned_in)
    return state._replace(lines=lines, hold="declined", activates_at=None)
