"""Decisions under caps, budgets and order numbers: cut anywhere, returned, never exceeded."""

from collections import Counter, defaultdict
from datetime import timedelta
from uuid import NAMESPACE_OID, uuid5

from hypothesis import given, settings
from hypothesis import strategies as st

from services.loyalty.books.ledger import Account
from services.loyalty.books.points import is_void
from services.loyalty.earning import orders, usage
from services.loyalty.earning.decisions import Evidence
from services.loyalty.earning.orders import Known, Terms
from services.loyalty.earning.rules import EarningRule
from services.loyalty.terms.cart import Shopper
from services.loyalty.terms.definitions import Book, Version
from services.loyalty.tests.conftest import STORES
from services.loyalty.tests.shop import NOON, Order, histories, line

FAST = settings(derandomize=True, deadline=None, max_examples=60)
LONG_AGO = NOON - timedelta(days=900)
RULES = {
    "plain": {"points": 3, "steps": "parts", "rounding": "nearest"},
    "capped": {"points": 2, "caps": {"per_month": 150, "ever": 200}},
    "budget": {"points": 1, "caps": {"budget": 60}},
    "first": {"kind": "bonus", "points": 50, "when": {"order_number": 1}},
    "double": {"kind": "multiplier", "percent": 200, "caps": {"per_day": 90}},
}
PEOPLE = {"ada": "ada", "anon:1": "ada", "bob": "bob"}


class Shop:
    """What the store would keep, in memory."""

    def __init__(self, **rules) -> None:
        versions = [
            ("EarningRule", Version(id_, 1, LONG_AGO, EarningRule(**body)))
            for id_, body in (rules or RULES).items()
        ]
        self.terms = Terms(Book(versions), STORES)
        self.orders, self.accounts, self.lots, self.decided = {}, {}, {}, {}
        self.counted, self.budgets = defaultdict(Counter), Counter()

    def give(self, events):
        judged = orders.judge(events, STORES)
        for owner in orders.owners_of(self.orders, judged).values():
            self.accounts.setdefault(owner, Account(owner, uuid5(NAMESPACE_OID, owner)))
        evidence = Evidence(
            shoppers={
                owner: Shopper(owner, orders_before=self.counted[person][usage.ORDERS])
                for owner, person in PEOPLE.items()
            },
            people=PEOPLE,
            decided=dict(self.decided),
            counted={person: dict(places) for person, places in self.counted.items()},
            budgets=dict(self.budgets),
        )
        known = Known(self.orders, self.accounts, list(self.lots.values()), evidence=evidence)
        out = orders.fold(known, judged, self.terms)
        self.orders |= out.orders
        self.accounts |= {a.customer_id: a for a in out.wallet.accounts.values()}
        self.lots |= out.wallet.lots
        self.decided |= out.decided.decisions
        for owner, places in out.decided.counted.items():
            self.counted[PEOPLE[owner]].update(places)
        self.budgets.update(out.decided.budgets)
        return self

    def held(self):
        """What each person holds of each rule's points, by what stands in the orders."""
        found = Counter()
        for order_id, state in self.orders.items():
            if decision := self.decided.get(order_id):
                now = usage.held(decision.credits, state.lines)
                for place, amount in now.places.items():
                    found[PEOPLE[state.customer_id], place] += amount
        return {place: amount for place, amount in found.items() if amount}

    def counts(self):
        return {
            (person, place): amount
            for person, places in self.counted.items()
            for place, amount in places.items()
            if amount and place != usage.ORDERS
        }


STREAMS = st.tuples(
    histories("o1", "ada"),
    histories("o2", "anon:1"),
    histories("o3", "bob"),
    histories("o4", "ada"),
).map(lambda many: sorted((e for one in many for e in one), key=lambda e: e.data.revision))


@given(STREAMS, st.data())
@FAST
def test_any_cutting_of_a_stream_ends_in_the_same_decisions_and_counts(stream, data):
    whole, cut, left = Shop().give(stream), Shop(), list(stream)
    while left:
        size = data.draw(st.integers(1, len(left)))
        cut.give(left[:size])
        left = left[size:]

    assert cut.decided == whole.decided
    assert cut.orders == whole.orders
    assert (cut.counts(), +cut.budgets) == (whole.counts(), +whole.budgets)


@given(STREAMS)
@FAST
def test_what_is_counted_is_what_the_orders_hold_and_within_every_cap(stream):
    shop = Shop()
    cancelled = set()
    for event in stream:
        shop.give([event])

        assert shop.counts() == shop.held()
        if is_void(event.type, event.data.lines):
            cancelled.add(event.data.order_id)
        elif event.data.order_id in cancelled:
            break  # a cancellation that was none: what was decided stands, and may be too much
        assert shop.budgets["budget"] <= 60
        for (_, (subject, period)), amount in shop.counts().items():
            caps = {"rule/capped": {7: 150, 4: 200}, "rule/double": {10: 90}}
            assert 0 <= amount <= caps[subject][len(period)]


@given(
    st.lists(st.tuples(st.integers(1, 9_999), st.integers(1, 4)), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
@FAST
def test_a_full_return_in_any_steps_is_a_history_without_the_order(parts, random):
    lines = tuple(line(str(n), total, pieces) for n, (total, pieces) in enumerate(parts))
    order, shop = Order("o1", "ada", lines), Shop()
    shop.give(order.life())
    earned = shop.accounts["ada"].active
    order = order.every(shipped="all", delivered="all")
    pieces = [each.line_id for each in lines for _ in range(each.quantity)]
    random.shuffle(pieces)
    gone = Counter()
    for revision, name in enumerate(pieces, start=5):
        gone[name] += 1
        order = order.change(name, returned=gone[name])
        shop.give([order.event("order.returned", revision)])

    assert earned == sum(line.awarded for line in shop.orders["o1"].lines.values())
    assert shop.accounts["ada"].active == 0
    assert not shop.counts()
    assert not +shop.budgets
    assert shop.counted["ada"][usage.ORDERS] == 0


def test_a_decision_is_taken_on_what_was_then_known_and_stands():
    shop = Shop()
    order = Order("o1", "ada", (line("1", 1_000),))
    shop.give([order.event("order.paid", 1)])
    decided = shop.decided["o1"]

    shop.give([Order("o2", "ada", (line("1", 1_000),)).event("order.paid", 1)])
    shop.give([order.every(shipped=1).event("order.shipped", 2)])
    assert shop.decided["o1"] == decided

    shop.give([order.change("1", total_minor=2_000).event("order.changed", 3)])
    assert shop.decided["o1"].shopper == decided.shopper, "it still is the first of his orders"


def test_an_order_that_is_decided_anew_has_the_room_that_it_held_itself():
    shop = Shop(r={"caps": {"budget": 60, "per_month": 60}})
    order = Order("o1", "ada", (line("1", 4_000),))
    shop.give([order.event("order.paid", 1)])

    shop.give([order.change("1", total_minor=5_500).event("order.changed", 2)])
    assert shop.budgets["r"] == sum(shop.counts().values()) == 55

    shop.give([order.change("1", total_minor=9_900).event("order.changed", 3)])
    assert shop.budgets["r"] == sum(shop.counts().values()) == 60
