"""Orders of who is no member: they wait, and joining credits what they would have earned."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.books.ledger import Account
from services.loyalty.earning import admission, orders
from services.loyalty.earning.admission import Waiting
from services.loyalty.earning.decisions import Evidence
from services.loyalty.earning.orders import Known, OrderState, Terms
from services.loyalty.members import membership
from services.loyalty.members.membership import Joining, MembershipTerms, Stay
from services.loyalty.terms.definitions import Book, Version
from services.loyalty.tests.shop import NOON, Order, histories
from shared.stores import Store, Stores

STORES = Stores("EUR", {"web": Store(id="web")})
BY_JOINING = MembershipTerms(mode="joining", credit_days=30)
START = datetime.fromisoformat("2020-01-01T00:00:00Z")
BOOK = Book([("MembershipTerms", Version("default", 1, START, BY_JOINING))])
TERMS = Terms(BOOK, STORES)
DAY = timedelta(days=1)
JOINS_AT = NOON + 2 * DAY


def joined(at=JOINS_AT, terms=BY_JOINING):
    return membership.join([], terms, Joining("", "web", at), customer_id="ada", now=at)


@dataclass
class Shop:
    """Loyalty in memory: one customer, her orders, and what waits."""

    stays: list[Stay] = field(default_factory=list)
    account: Account = field(default_factory=lambda: Account("ada", UUID(int=1)))
    lots: dict = field(default_factory=dict)
    states: dict[str, OrderState] = field(default_factory=dict)
    decided: dict = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    journals: list = field(default_factory=list)

    def give(self, *events):
        judged = orders.judge(events, STORES)
        owners = orders.owners_of(self.states, judged)
        found = admission.admit(judged, self.states, owners, {"ada": self.stays}, BOOK)
        self.waiting |= found.first
        for id_, each in found.again.items():
            before = self.waiting.get(id_)
            if before and before.event.data.revision < each.event.data.revision:
                self.waiting[id_] = replace(each, paid_at=before.paid_at)
        self._fold(self.states, found.judged)

    def join(self, at=JOINS_AT):
        self.stays = [joined(at)]
        chosen = admission.creditable(self.waiting.values(), self.states, self.stays, BOOK)
        anew = {id_: s._replace(revision=s.revision - 1) for id_, s in self.states.items()}
        self._fold(anew, [(each.event, "earns") for each in chosen])
        for each in chosen:
            del self.waiting[each.event.data.order_id]
        return len(chosen)

    def _fold(self, states, judged):
        lots, evidence = list(self.lots.values()), Evidence(decided=dict(self.decided))
        known = Known(states, {"ada": self.account}, lots, evidence=evidence)
        out = orders.fold(known, judged, TERMS)
        self.account = out.wallet.accounts[self.account.account_id]
        self.lots = out.wallet.lots
        self.states |= out.orders
        self.decided |= out.decided.decisions
        self.journals += out.wallet.journals

    @property
    def lines(self):
        """What is booked of each line; when it arrived is as of the first event that says so."""
        return {
            id_: {name: line._replace(due=0) for name, line in state.lines.items()}
            for id_, state in self.states.items()
        }

    @property
    def purse(self):
        return self.account.pending, self.account.active, self.account.owed


@given(histories(), st.data())
def test_what_waited_earns_what_it_would_have_earned(history, data):
    cut = data.draw(st.integers(0, len(history)))
    member, late, never = Shop([joined()]), Shop(), Shop()

    member.give(*history)
    late.give(*history[:cut])
    late.join()
    late.give(*history[cut:])
    never.give(*history)

    assert late.purse == member.purse
    assert late.lines == member.lines
    assert never.purse == (0, 0, 0)
    assert not never.journals


@given(histories(), st.lists(st.integers(1, 9), max_size=4))
def test_a_batch_that_is_cut_anywhere_leaves_the_same_orders_waiting(history, cuts):
    whole, parts = Shop(), Shop()

    whole.give(*history)
    rest = list(history)
    for cut in cuts:
        parts.give(*rest[:cut])
        rest = rest[cut:]
    parts.give(*rest)

    assert parts.waiting == whole.waiting
    assert parts.states == whole.states


@given(histories(), st.permutations(range(9)))
def test_joining_credits_once_whatever_comes_again(history, order):
    shop = Shop()
    shop.give(*history)

    shop.join()
    after, booked = shop.purse, len(shop.journals)
    shop.give(*[history[n] for n in order if n < len(history)])

    assert shop.join() == 0
    assert (shop.purse, len(shop.journals)) == (after, booked)


def test_an_order_that_was_unpaid_is_decided_when_it_is_paid():
    shop = Shop()
    placed, paid, *_ = Order().life()
    shop.give(placed)
    assert not shop.waiting

    shop.give(replace(paid, time=JOINS_AT - timedelta(days=31)))

    assert shop.waiting
    assert shop.join() == 0, "it was paid before the days that are credited"


def test_an_order_that_went_on_without_what_waits_of_it_is_not_credited():
    shop = Shop()
    shop.give(Order().event("order.paid", 1))
    shop.states["o1"] = shop.states["o1"]._replace(revision=2)

    assert shop.join() == 0


def test_an_older_revision_decides_nothing():
    shop = Shop()
    shop.give(Order(more={"test": True}).event("order.paid", 5))

    shop.give(Order().event("order.paid", 3))
    assert not shop.waiting
    shop.give(Order().event("order.paid", 6))

    assert shop.waiting["o1"].event.data.revision == 6
    assert shop.states["o1"].verdict == "not_a_member"
