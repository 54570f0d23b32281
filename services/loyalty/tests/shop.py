"""A shop that publishes orders, as a platform would, and what profile says of its customers."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from shared.events import codec
from shared.events.envelope import Event
from shared.events.orders import Line, OrderSnapshot, Tender
from shared.events.profiles import ErasureRequested, ProfileMerged, ProfileUnmerged

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def line(
    line_id: str = "1", total_minor: int = 1000, quantity: int = 1, kind: str = "product", **more
) -> Line:
    return Line(
        line_id=line_id,
        kind=kind,
        quantity=quantity,
        unit_price_minor=total_minor // max(1, quantity),
        total_minor=total_minor,
        **more,
    )


@dataclass(frozen=True)
class Order:
    """An order as it goes through life; each `event` is its next revision."""

    order_id: str = "o1"
    customer: str = "ada"
    lines: tuple[Line, ...] = (line(),)
    revision: int = 0
    more: dict = field(default_factory=dict)

    def change(self, line_id: str, **counts) -> "Order":
        """The order with other counts on one line."""
        lines = [
            each.model_copy(update=counts) if each.line_id == line_id else each
            for each in self.lines
        ]
        return replace(self, lines=tuple(lines))

    def every(self, **counts) -> "Order":
        """Counts for all lines; `all` stands for the line's quantity."""
        lines = [
            each.model_copy(
                update={k: each.quantity if v == "all" else v for k, v in counts.items()}
            )
            for each in self.lines
        ]
        return replace(self, lines=tuple(lines))

    def event(self, type_: str, revision: int, **more) -> Event:
        more = {"store": "web", "currency": "EUR", **self.more, **more}
        total_minor = min(10**15, sum(each.total_minor for each in self.lines))
        if type_ != "order.placed":
            money = (Tender(kind="money", amount_minor=max(0, total_minor)),)
            more.setdefault("tenders", money)
        snapshot = OrderSnapshot(
            customer_id=self.customer,
            order_id=self.order_id,
            revision=revision,
            total_minor=total_minor,
            lines=self.lines,
            **more,
        )
        return codec.make(
            type_,
            snapshot,
            id=f"{self.order_id}-{revision}",
            source="shop",
            time=NOON + timedelta(minutes=revision),
        )

    def life(self) -> list[Event]:
        """Placed, paid, shipped, delivered: nothing goes wrong."""
        return [
            self.event("order.placed", 1),
            self.event("order.paid", 2),
            self.every(shipped="all").event("order.shipped", 3),
            self.every(shipped="all", delivered="all").event("order.delivered", 4),
        ]


def merged(customer, canonical, members, version=1):
    fact = ProfileMerged(
        customer_id=customer, canonical_id=canonical, members=members, version=version
    )
    return profile_event("profile.merged", fact, f"m{version}-{customer}")


def unmerged(customer, members, removed, version=2):
    fact = ProfileUnmerged(
        customer_id=customer,
        canonical_id=customer,
        members=members,
        removed=removed,
        version=version,
    )
    return profile_event("profile.unmerged", fact, f"u{version}-{customer}")


def profile_event(type_, fact, name):
    return codec.make(type_, fact, id=name, source="regulars/profile", time=NOON)


def erasure(customer, until=NOON + timedelta(days=1)):
    fact = ErasureRequested(
        customer_id=customer,
        request_id="r1",
        members=(customer,),
        erased_until=until,
        deadline=until,
    )
    return profile_event("erasure.requested", fact, "x1")


STEPS = ("paid", "ship", "deliver", "cancel", "return", "refund", "complete", "reprice")


@st.composite
def histories(draw, order_id: str = "o1", customer: str = "ada") -> list[Event]:
    """Every revision of an order to which anything may happen, in any sequence."""
    lines = [
        line(
            str(number),
            total_minor=draw(st.integers(0, 9_999)),
            quantity=draw(st.integers(1, 4)),
            kind=draw(st.sampled_from(("product", "product", "product", "shipping"))),
        )
        for number in range(draw(st.integers(1, 4)))
    ]
    order = Order(order_id, customer, tuple(lines))
    events = [order.event("order.placed", 1)]
    for revision, what in enumerate(draw(st.lists(st.sampled_from(STEPS), max_size=8)), start=2):
        order, type_ = step(draw, order, what)
        events.append(order.event(type_, revision))
    return events


def step(draw, order: Order, what: str) -> tuple[Order, str]:
    """The order after a step that befalls one of its lines, and the event's type."""
    chosen = draw(st.sampled_from(order.lines))
    pieces = draw(st.integers(0, chosen.quantity - chosen.cancelled - chosen.returned))
    left_minor = max(0, chosen.total_minor - chosen.refunded_minor)
    type_, counts = {
        "paid": ("order.paid", {}),
        "complete": ("order.completed", {}),
        "ship": ("order.shipped", {"shipped": chosen.quantity - chosen.cancelled}),
        "deliver": ("order.delivered", {"delivered": draw(st.integers(0, 4))}),
        "cancel": ("order.cancelled", {"cancelled": chosen.cancelled + pieces}),
        "return": ("order.returned", {"returned": chosen.returned + pieces}),
        "refund": (
            "order.refunded",
            {"refunded_minor": chosen.refunded_minor + draw(st.integers(0, left_minor))},
        ),
        "reprice": ("order.changed", {"total_minor": draw(st.integers(0, 9_999))}),
    }[what]
    return order.change(chosen.line_id, **counts), type_
