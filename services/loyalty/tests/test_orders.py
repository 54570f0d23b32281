"""The fold: whatever happens to an order, and in whatever order it is told."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.loyalty.books import wallet as wallets
from services.loyalty.books.ledger import Account, AccountKind, Deed, cause_of
from services.loyalty.books.programme import Activation, Expiry, Programme, Returns
from services.loyalty.books.wallet import Wallet
from services.loyalty.earning import orders
from services.loyalty.earning.orders import Known, Terms
from services.loyalty.terms.definitions import Book, Version
from services.loyalty.tests.conftest import STORES
from services.loyalty.tests.shop import NOON, Order, histories, line
from shared.errors import Reject

FAST = settings(derandomize=True, deadline=None, max_examples=60)


PLAIN = Programme()


class Books:
    """What the store would keep, in memory."""

    def __init__(self, programme=PLAIN) -> None:
        self.orders, self.accounts, self.lots, self.journals, self.facts = {}, {}, {}, [], []
        self.terms = Terms(Book([("Programme", Version("default", 1, NOON, programme))]), STORES)

    def give(self, events, people=None):
        judged = orders.judge(events, STORES)
        for owner in orders.owners_of(self.orders, judged).values():
            self.accounts.setdefault(owner, Account(owner, uuid5(NAMESPACE_OID, owner)))
        known = Known(self.orders, self.accounts, self.lots.values(), people or {})
        out = orders.fold(known, judged, self.terms)
        self.orders |= out.orders
        self.keep(out.wallet)
        return self

    def keep(self, wallet):
        self.accounts |= {a.customer_id: a for a in wallet.accounts.values()}
        self.lots |= wallet.lots
        self.journals += wallet.journals
        self.facts += wallet.facts

    def spend(self, points, now=NOON + timedelta(days=1)):
        """Everything spent at once, as at a checkout."""
        wallet = Wallet.open(self.accounts.values(), self.lots.values())
        deed = Deed("test", "spent", 1, cause_of("test", "spent", now))
        wallets.spend(wallet, deed, points, AccountKind.REDEEMED, now)
        self.keep(wallet)
        return self

    def booked(self):
        return {
            id_: {name: (one.pending, one.active) for name, one in state.lines.items()}
            for id_, state in self.orders.items()
        }

    def sums(self):
        """Every account of the ledger from its postings, by customer or programme."""
        held = Counter()
        for journal in self.journals:
            for posting in journal.postings:
                for kind, points in ((posting.debit, -1), (posting.credit, 1)):
                    owner = journal.account_id if kind < AccountKind.ISSUED else None
                    held[owner, kind] += points * posting.points
        return held


def kinds(books):
    return [(journal.kind, journal.points) for journal in books.journals]


def test_points_are_pending_when_paid_and_active_when_delivered():
    books = Books().give(Order().life())

    assert kinds(books) == [("earn", 10), ("activate", 10)]
    assert books.accounts["ada"].active == 10


def test_an_order_first_seen_delivered_earns_and_activates_at_once():
    books = Books().give(Order().life()[3:])

    assert kinds(books) == [("earn", 10), ("activate", 10)]


def test_a_cancelled_order_gives_back_what_was_pending():
    order = Order()
    cancelled = order.every(cancelled="all").event("order.cancelled", 3)

    books = Books().give([*order.life()[:2], cancelled])

    assert kinds(books) == [("earn", 10), ("reverse", 10)]
    assert books.accounts["ada"].pending == 0


def test_an_order_cancelled_by_a_shop_that_counts_no_pieces_is_cancelled_whole():
    order = Order()

    books = Books().give([*order.life()[:2], order.event("order.cancelled", 3)])

    assert books.accounts["ada"].pending == 0


RETURNED = Order().every(delivered="all", returned="all").event("order.returned", 5)


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        ("negative", (0, 3)),  # of the 5 points of the other order none is left
        ("next_earning", (5, 8)),
        ("refund", (5, 0)),
    ],
)
def test_points_already_spent_are_taken_as_the_programme_says(policy, left):
    other = Order("o2", lines=(line("1", 500),))
    books = Books(Programme(returns=Returns(spent=policy)))
    books.give(Order().life()).spend(8).give(other.life())

    books.give([RETURNED])

    account = books.accounts["ada"]
    assert (account.active, account.owed) == left
    told = books.facts[-1].data
    assert (told.points, told.owed, told.settled) == (10, left[1], 8 if policy == "refund" else 0)


def test_a_debt_is_paid_by_the_next_points():
    books = Books().give(Order().life()).spend(10).give([RETURNED])
    owed = books.accounts["ada"].owed

    books.give(Order("o2", lines=(line("1", 1_700),)).life())

    account = books.accounts["ada"]
    assert (owed, account.owed, account.active) == (10, 0, 7)
    assert books.facts[-1].data.points == 17


YEAR = Programme(expiry=Expiry(after_months=12), activation=Activation(after_days=7))
LATE = NOON + timedelta(days=500)


def test_points_wait_for_the_end_of_the_return_window():
    books = Books(YEAR).give(Order().life())
    account, order = books.accounts["ada"], books.orders["o1"]
    assert (account.pending, account.active) == (10, 0)
    assert order.activates_at == Order().life()[3].time + timedelta(days=7)

    books.give([replace(Order().every(delivered="all").event("order.completed", 5), time=LATE)])

    assert (books.accounts["ada"].pending, books.accounts["ada"].active) == (0, 10)
    activated = [j for j in books.journals if j.kind == "activate"]
    assert [(j.cause.time, j.revision < 0) for j in activated] == [(order.activates_at, True)]
    [lot] = books.lots.values()
    assert lot.expires_at == datetime(2027, 11, 9, tzinfo=UTC)  # the end of the day in the store


def test_what_is_returned_before_its_points_were_due_never_becomes_active():
    books = Books(YEAR).give([*Order().life(), RETURNED])

    assert books.orders["o1"].activates_at is None
    assert kinds(books) == [("earn", 10), ("reverse", 10)]


def test_expired_points_of_a_returned_order_are_taken_from_the_expired():
    books = Books(YEAR).give(Order().life())

    books.give([replace(RETURNED, time=LATE)])

    assert kinds(books) == [("earn", 10), ("activate", 10), ("expire", 10), ("reverse", 10)]
    account = books.accounts["ada"]
    assert (account.active, account.owed) == (0, 0)
    assert [lot.taken_back for lot in books.lots.values()] == [10]
    held = books.sums()
    assert held[None, AccountKind.EXPIRED] == 0
    assert held[None, AccountKind.CLAWED_BACK] == 10


def test_a_dearer_order_earns_the_difference():
    order = Order()
    dearer = Order(lines=(line("1", 1000), line("2", 250)))

    books = Books().give([order.event("order.paid", 1), dearer.event("order.changed", 2)])

    assert kinds(books) == [("earn", 10), ("earn", 2)]


def test_a_delivery_that_was_none_makes_the_points_pending_again():
    order = Order()
    delivered = order.every(delivered="all").event("order.delivered", 2)

    books = Books().give([delivered, order.event("order.shipped", 3)])

    account = books.accounts["ada"]
    assert (account.pending, account.active) == (10, 0)


def test_an_order_that_turns_out_to_be_a_test_takes_everything_back():
    order = Order()

    books = Books().give([order.event("order.paid", 1), order.event("order.changed", 2, test=True)])

    assert books.accounts["ada"].pending == 0
    assert books.orders["o1"].verdict == "test_order"


def test_an_order_id_of_another_customer_is_refused_by_name():
    books = Books().give([Order().event("order.paid", 1)])

    with pytest.raises(Reject, match="another customer"):
        books.give([Order(customer="bob").event("order.paid", 1)])


def test_another_id_of_the_same_person_may_carry_the_order_on():
    books = Books().give(Order(customer="anon:1").life()[:2])

    books.give(Order(customer="ada").life()[3:], {"anon:1": ("ada", "anon:1")})

    assert books.accounts["anon:1"].active == 10
    assert "ada" not in books.accounts


def test_a_guests_order_goes_to_whoever_claims_it():
    books = Books().give(Order(customer="guest:o1").life()[:2])

    books.give(Order(customer="ada").life()[3:])

    assert books.accounts["ada"].active == 10


def test_a_retry_names_the_same_journals_and_facts():
    first, second = Books().give(Order().life()), Books().give(Order().life())

    assert [j.id for j in first.journals] == [j.id for j in second.journals]
    assert [f.id for f in first.facts] == [f.id for f in second.facts]
    assert len({j.id for j in first.journals}) == 2


def test_every_business_key_names_its_own_journal():
    paid = [Order("o1").event("order.paid", 1), Order("o2").event("order.paid", 1)]
    dearer = Order("o1", lines=(line("1", 2000),)).event("order.changed", 2)

    books = Books().give([*paid, replace(dearer, time=paid[0].time)])

    assert len({journal.id for journal in books.journals}) == 3
    assert books.accounts["ada"].version == 3


def test_journals_sort_as_they_happened():
    books = Books().give(Order().life()[3:])

    assert books.journals == sorted(books.journals, key=lambda journal: journal.id)


@given(histories(), st.randoms(use_true_random=False))
@FAST
def test_revisions_in_any_order_with_gaps_and_repeats_end_in_the_last_ones_state(history, random):
    told = [e for e in history[:-1] if random.random() < 0.7] + [history[-1]]
    told += [e for e in told if random.random() < 0.3]
    random.shuffle(told)

    assert Books().give(told).booked() == Books().give(history[-1:]).booked()


@given(histories(), histories("o2"), histories("o3", "bob"), st.data())
@FAST
def test_any_cutting_of_a_stream_ends_in_the_same_books(one, two, three, data):
    stream = sorted([*one, *two, *three], key=lambda event: event.data.revision)
    whole = Books().give(stream)
    cut = Books()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        cut.give(stream[:size])
        stream = stream[size:]

    assert cut.orders == whole.orders
    assert cut.accounts == whole.accounts
    assert cut.journals == whole.journals
    assert cut.facts == whole.facts
    assert cut.lots == whole.lots


@given(histories(), histories("o2"))
@FAST
def test_balances_are_the_postings_and_the_books_sum_to_zero(one, two):
    books = Books().give([*one, *two])

    held, account = books.sums(), books.accounts["ada"]
    assert sum(held.values()) == 0
    assert account.pending == held[account.account_id, AccountKind.PENDING]
    assert account.active == held[account.account_id, AccountKind.ACTIVE]
    assert account.owed == -held[account.account_id, AccountKind.OWED]
    assert account.active == sum(lot.remaining for lot in books.lots.values())
    lines = [one for state in books.orders.values() for one in state.lines.values()]
    assert account.pending == sum(one.pending for one in lines)
    assert account.active == sum(one.active for one in lines)


@given(
    st.lists(st.tuples(st.integers(1, 9_999), st.integers(1, 4)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
    st.sampled_from(({"returned"}, {"refunded_minor"}, {"returned", "refunded_minor"})),
)
@FAST
def test_a_full_refund_in_any_order_of_lines_gives_back_what_was_earned(parts, random, told):
    order = Order(lines=tuple(line(str(n), t, q) for n, (t, q) in enumerate(parts)))
    books = Books().give(order.life())
    earned = books.accounts["ada"].active
    order = order.every(shipped="all", delivered="all")
    pieces = [each.line_id for each in order.lines for _ in range(each.quantity)]
    random.shuffle(pieces)
    gone = Counter()
    for revision, name in enumerate(pieces, start=5):
        one = next(each for each in order.lines if each.line_id == name)
        gone[name] += 1
        refunded_minor = one.total_minor * gone[name] // one.quantity
        change = {"refunded_minor": refunded_minor, "returned": gone[name]}
        order = order.change(name, **{key: change[key] for key in told})
        books.give([order.event("order.returned", revision)])

    assert earned == sum(total for total, _ in parts) // 100
    assert books.accounts["ada"].active == 0
    assert sum(points for kind, points in kinds(books) if kind == "reverse") == earned
