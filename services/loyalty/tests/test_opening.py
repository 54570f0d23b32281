"""Opening balances and awards in the books, and out of them again: pure."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.arrivals import opening
from services.loyalty.arrivals.import_rows import AwardRow, BalanceRow, brought
from services.loyalty.arrivals.opening import Batch, Brought
from services.loyalty.books.ledger import Account, AccountKind

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
BATCH = Batch(7, NOW)
IDS = ("ada", "bob", "eve")


def account(customer_id, owed=0):
    return Account(customer_id, uuid5(UUID(int=1), customer_id), owed=owed)


@st.composite
def balances(draw):
    return [
        BalanceRow(
            row,
            draw(st.sampled_from(IDS)),
            draw(st.integers(1, 500)),
            NOW - timedelta(draw(st.integers(0, 400))),
            draw(st.none() | st.integers(1, 400).map(lambda days: NOW + timedelta(days))),
            "web",
            "",
            draw(st.sampled_from(("", "o1"))),
        )
        for row in range(2, 2 + draw(st.integers(1, 12)))
    ]


def moved(journals, kind):
    """What the programme's account has given, less what came back."""
    flows = [posting for journal in journals for posting in journal.postings]
    out = sum(posting.points for posting in flows if posting.debit is kind)
    return out - sum(posting.points for posting in flows if posting.credit is kind)


@given(balances(), st.dictionaries(st.sampled_from(IDS), st.integers(0, 600)))
def test_what_a_file_brings_is_what_the_books_got_whoever_owes(rows, owed):
    accounts = {id_: account(id_, owed.get(id_, 0)) for id_ in IDS}

    opened = opening.open_lots(BATCH, accounts, rows)

    wallet = opened.wallet
    assert moved(wallet.journals, AccountKind.OPENING) == sum(row.points for row in rows)
    for id_ in IDS:
        own = wallet.accounts[accounts[id_].account_id]
        given_ = sum(row.points for row in rows if row.customer_id == id_)
        assert own.active - own.owed == given_ - owed.get(id_, 0)
        assert not (own.active and own.owed), "a debt is paid first"
        lots = wallet.of(own.account_id)
        assert own.active == sum(lot.remaining for lot in lots)
    assert len(wallet.lots) == len(rows), "each row is a lot of its own, with its own dates"
    assert len({journal.id for journal in wallet.journals}) == len(rows)


@given(balances(), st.data())
def test_what_was_not_used_goes_back_and_the_rest_is_named(rows, data):
    accounts = {id_: account(id_) for id_ in IDS}
    opened = opening.open_lots(BATCH, accounts, rows)
    spent, lots, held = {}, [], dict(opened.wallet.accounts)
    for lot in opened.wallet.lots.values():
        used = data.draw(st.integers(0, lot.remaining))
        lots.append(lot.move("remaining", "used", used))
        spent[lot.id] = used
        own = held[lot.account_id]
        held[lot.account_id] = Account(
            own.customer_id, own.account_id, active=own.active - used, version=own.version
        )

    back = opening.take_back(BATCH, held.values(), lots, {}, opened.rows)

    total = sum(row.points for row in rows) - sum(spent.values())
    assert -moved(back.wallet.journals, AccountKind.OPENING) == total
    assert all(own.active == 0 for own in back.wallet.accounts.values())
    assert all(lot.remaining == 0 for lot in back.wallet.lots.values())
    assert {each.row.lot_id: each.points for each in back.kept} == {
        id_: used for id_, used in spent.items() if used
    }


@st.composite
def awards(draw):
    whose = {f"o{n}": draw(st.sampled_from(IDS)) for n in range(3)}
    found = []
    for row in range(2, 2 + draw(st.integers(1, 10))):
        order_id = draw(st.sampled_from(sorted(whose)))
        points = draw(st.integers(0, 300))
        back = draw(st.integers(0, points))
        pending = draw(st.booleans())
        place = (whose[order_id], order_id, str(row), points, back)
        found.append(AwardRow(row, *place, 1000, 1, NOW - timedelta(1), "web", pending))
    return found


@given(awards(), st.integers(0, 10))
def test_awards_are_the_same_however_the_file_is_cut_and_go_back_whole(rows, cut):
    accounts = {id_: account(id_) for id_ in IDS}
    whole = opening.open_awards(BATCH, accounts, {}, rows)
    first = opening.open_awards(BATCH, accounts, {}, rows[:cut])
    own = {each.customer_id: each for each in first.wallet.accounts.values()}
    second = opening.open_awards(BATCH, own, first.orders, rows[cut:])

    assert {**first.orders, **second.orders} == whole.orders
    assert second.wallet.accounts == whole.wallet.accounts
    assert [*first.rows, *second.rows] == whole.rows
    pending = sum(brought(row) for row in rows)
    assert moved(whole.wallet.journals, AccountKind.OPENING) == pending

    held = whole.wallet.accounts.values()
    back = opening.take_back(BATCH, held, [], whole.orders, whole.rows)

    assert not back.kept
    assert back.emptied == {row.order_id for row in rows}
    assert all(each.pending == 0 for each in back.wallet.accounts.values())


def test_an_order_that_has_gone_on_keeps_what_it_brought():
    row = Brought(2, account("ada").account_id, None, 30, "o1", "1")

    back = opening.take_back(BATCH, [account("ada")], [], {}, [row])

    [stays] = back.kept
    kept, points, why = stays.row, stays.points, stays.why
    assert (kept, points) == (row, 30)
    assert "has had events" in why
