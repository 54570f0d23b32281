"""Which orders earn nothing because their buyer is no member, and wait for his joining. Pure.

Whether the buyer is a member is decided once for an order: when it is first heard of as
paid. Joining decides anew, for what was paid within the days that the terms credit: such an
order then earns what it would have earned, dated by its newest event, expiry included.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.loyalty.books.points import Verdict
from services.loyalty.earning.orders import Judged, OrderState
from services.loyalty.members import membership
from services.loyalty.members.membership import Stay
from services.loyalty.terms.definitions import Book
from shared.events.envelope import Event

NOT_A_MEMBER: Verdict = "not_a_member"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A paid order of who was no member: the last event of it, and when it was paid."""

    customer_id: str
    """Whose account it belongs to."""
    paid_at: datetime
    event: Event


@dataclass(frozen=True, slots=True)
class Admitted:
    """The orders with their verdicts, and those that wait: `first` heard of, or `again`."""

    judged: list[Judged] = field(default_factory=list)
    first: dict[str, Waiting] = field(default_factory=dict)
    again: dict[str, Waiting] = field(default_factory=dict)


def admit(
    judged: Iterable[Judged],
    states: Mapping[str, OrderState],
    owners: Mapping[str, str],
    stays: Mapping[str, Sequence[Stay]],
    book: Book,
) -> Admitted:
    """The verdicts with `not_a_member` among them. `stays` are those of each owner's person."""
    out = Admitted()
    told: dict[str, tuple[int, Verdict]] = {
        id_: (state.revision, state.verdict) for id_, state in states.items()
    }
    for event, verdict in judged:
        order = event.data
        owner = owners.get(order.order_id)
        revision, known = told.get(order.order_id, (0, None))
        if order.revision > revision:  # an older one changes nothing
            if verdict == "earns" and known != "earns" and owner:
                verdict = _decide(Waiting(owner, event.time, event), known, stays, book, out)  # noqa: PLW2901
            told[order.order_id] = (order.revision, verdict)
        out.judged.append((event, verdict))
    return out


def _decide(
    waiting: Waiting,
    known: Verdict | None,
    stays: Mapping[str, Sequence[Stay]],
    book: Book,
    out: Admitted,
) -> Verdict:
    """Whether the order's buyer is a member, as it was decided before, or now."""
    if known != NOT_A_MEMBER:
        terms = membership.terms_at(book, waiting.paid_at)
        if membership.admits(stays.get(waiting.customer_id, ()), terms, waiting.paid_at):
            return "earns"
        if terms.credit_days:
            out.first[waiting.event.data.order_id] = waiting
    else:
        _keep(out, waiting)
    return NOT_A_MEMBER


def _keep(out: Admitted, waiting: Waiting) -> None:
    """A newer revision of an order that waits; when it was paid stays as it was."""
    order_id = waiting.event.data.order_id
    if before := out.first.get(order_id):
        out.first[order_id] = replace(waiting, paid_at=before.paid_at)
    else:
        out.again[order_id] = waiting


def creditable(
    waiting: Iterable[Waiting],
    states: Mapping[str, OrderState],
    stays: Sequence[Stay],
    book: Book,
) -> list[Waiting]:
    """Those that earn now that these stays are known, and still are as they waited."""
    return [
        each
        for each in waiting
        if (state := states.get(each.event.data.order_id))
        and state.verdict == NOT_A_MEMBER
        and state.revision == each.event.data.revision
        and membership.admits(stays, membership.terms_at(book, each.paid_at), each.paid_at)
    ]
