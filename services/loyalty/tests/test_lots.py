"""Lots and wallets: the first to expire is spent first, and what comes back is as it was."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.loyalty.books import lots, wallet
from services.loyalty.books.ledger import Account, AccountKind, Deed, cause_of
from services.loyalty.books.lots import NEVER, Lot
from services.loyalty.books.wallet import NotEnoughPoints, Wallet
from services.loyalty.tests.shop import NOON

ADA, VISITOR = UUID(int=1), UUID(int=2)


@st.composite
def held(draw):
    """Lots of a person with two ids, some of them over at NOON."""
    days = st.one_of(st.none(), st.integers(-3, 30))
    found = []
    for number in range(draw(st.integers(1, 8))):
        day, points = draw(days), draw(st.integers(0, 50))
        found.append(
            Lot(
                UUID(int=100 + number),
                draw(st.sampled_from((ADA, VISITOR))),
                "order",
                f"o{number}",
                "web",
                NOON - timedelta(days=draw(st.integers(0, 9))),
                None if day is None else NOON + timedelta(days=day),
                points,
                points,
            )
        )
    return found


def open_(found):
    sums = {
        id_: sum(lot.remaining for lot in found if lot.account_id == id_) for id_ in (ADA, VISITOR)
    }
    return Wallet.open([Account(str(id_), id_, active=sums[id_]) for id_ in sums], found)


def deed(step=1):
    return Deed("test", "t", step * wallet.DEED_ACCOUNTS_MAX, cause_of("test", "t", NOON))


def after(found, book):
    return [book.lots[lot.id] for lot in found]


@given(held(), st.integers(1, 200))
def test_the_first_to_expire_is_spent_first_and_nothing_that_is_over(found, points):
    book = open_(found)
    assume(points <= book.spendable(NOON))

    wallet.spend(book, deed(), points, AccountKind.REDEEMED, NOON)

    spent = [lot for lot in after(found, book) if lot.used]
    left = [lot for lot in after(found, book) if lot.remaining and not lot.is_over(NOON)]
    assert sum(lot.used for lot in spent) == points
    assert not any(lot.is_over(NOON) for lot in spent)
    keys = [(lot.expires_at or NEVER, lot.earned_at, lot.id) for lot in spent]
    assert (
        not left
        or not keys
        or max(keys) <= min((lot.expires_at or NEVER, lot.earned_at, lot.id) for lot in left)
    )


@given(held(), st.integers(1, 200))
def test_more_than_there_is_is_refused_and_nothing_is_moved(found, more):
    book = open_(found)

    with pytest.raises(NotEnoughPoints):
        wallet.spend(book, deed(), book.spendable(NOON) + more, AccountKind.RESERVED, NOON)

    assert after(found, book) == found
    assert not book.journals


@given(held(), st.integers(1, 200))
def test_reserved_and_freed_is_as_before(found, points):
    book = open_(found)
    assume(points <= book.spendable(NOON))

    parts = wallet.spend(book, deed(), points, AccountKind.RESERVED, NOON)
    lost = wallet.free(book, deed(2), parts, NOON)

    assert (after(found, book), lost) == (found, 0)


@given(held(), st.integers(1, 200), st.data())
def test_a_part_confirmed_is_a_part_redeemed_and_the_rest_freed(found, points, data):
    book, other = open_(found), open_(found)
    assume(points <= book.spendable(NOON))
    part = data.draw(st.integers(1, points))

    parts = wallet.spend(book, deed(), points, AccountKind.RESERVED, NOON)
    spent, rest = lots.split(parts, part)
    wallet.settle(book, deed(2), spent)
    wallet.free(book, deed(3), rest, NOON)
    wallet.spend(other, deed(), part, AccountKind.REDEEMED, NOON)

    assert after(found, book) == after(found, other)
    assert book.accounts[ADA].active == other.accounts[ADA].active


@given(held(), st.integers(1, 200), st.integers(0, 40))
def test_what_expired_meanwhile_stays_expired_and_the_rest_returns_to_its_own_lot(
    found, points, days
):
    book = open_(found)
    assume(points <= book.spendable(NOON))
    later = NOON + timedelta(days=days)

    parts = wallet.spend(book, deed(), points, AccountKind.REDEEMED, NOON)
    lost = wallet.give_back(book, deed(2), parts, later)

    over = {lot.id for lot in found if lot.is_over(later)}
    assert lost == sum(part.points for part in parts if part.lot_id in over)
    for before, now in zip(found, after(found, book), strict=True):
        assert now.remaining + now.expired == before.remaining
        assert now.expires_at == before.expires_at
    assert sum(account.active for account in book.accounts.values()) == sum(
        lot.remaining for lot in book.lots.values()
    )
