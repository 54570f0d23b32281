"""Orders that earned elsewhere: a later return takes back exactly what they had earned."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.tests.closer import costs_tie
from services.loyalty.tests.office import Office
from services.loyalty.tests.shop import Order, erasure, line
from services.loyalty.tests.test_joining import TERMS
from services.loyalty.tests.test_tiering import lay_down
from services.loyalty.tests.test_worker import DB, RUNS, balanced
from shared.errors import Fatal

AWARDS = (
    *("customer_id", "order_id", "line_id", "points", "total_minor", "quantity"),
    *("ordered_at", "points_back", "status", "store"),
)
ORDERED = "2026-10-20T08:00:00Z"


@pytest.fixture
def office(door, tmp_path, capsys):
    return Office(door, tmp_path, capsys)


def award(line_id="1", points=30, total_minor=1000, quantity=2, **more):
    told = {"customer_id": "ada", "order_id": "o1", "ordered_at": ORDERED, "store": "web"}
    told |= {"line_id": line_id, "points": points, "total_minor": total_minor}
    told |= {"quantity": quantity, "points_back": 0, "status": "active"} | more
    return tuple(told[name] for name in AWARDS)


async def bring_both(office, awards, *balances):
    """Awards, and the balances that they are part of."""
    await office.bring(office.file(*balances, name="balances.csv"))
    await office.bring(office.file(*awards, header=AWARDS, name="awards.csv"), "awards")


async def seen(ask, customer="ada"):
    account = await ask(f"/v1/accounts/{customer}")
    return account["pending"], account["active"], account["owed"]


def old(*lines, revision=7, type_="order.returned"):
    """The platform's snapshot of an order that loyalty has never heard of before."""
    return Order(lines=lines).event(type_, revision)


async def test_a_return_of_an_order_never_seen_takes_back_what_it_earned_elsewhere(
    office, door, ask
):
    await bring_both(office, [award(points=31), award("2", points=9, quantity=1)], LOT)

    half = line("1", 1000, 2, delivered=2, returned=1), line("2", 700, delivered=1)
    await door.give(old(*half))
    assert await seen(ask) == (0, 185, 0), "half of 31, rounded down for good when all is back"
    whole = line("1", 1000, 2, delivered=2, returned=2), line("2", 700, delivered=1)
    await door.give(old(*whole, revision=8))

    assert await seen(ask) == (0, 169, 0)
    told = await ask("/v1/orders/o1")
    assert [(each["awarded"], each["active"]) for each in told["lines"]] == [(31, 0), (9, 9)]
    [given_] = told["lines"][0]["rules"]
    assert (given_["rule_id"], given_["points"]) == (f"import/{office.batch}", 31)
    assert given_["inputs"]["quantity"] == 2
    why = await ask("/v1/orders/o1/explanation")
    assert (why["import_id"], why["points"], why["rules"]) == (office.batch, 40, [])
    said = [(each["line_id"], each["points"], each["rules"][0]["verdict"]) for each in why["lines"]]
    assert said == [("1", 31, "imported"), ("2", 9, "imported")]
    assert await door.query("SELECT 1 FROM qualifying") == [], "it counted elsewhere"
    [cost] = (await costs_tie(door))["rules"]
    assert (cost["name"], cost["points"], cost["reversed"]) == (f"import/{office.batch}", 0, 31)
    await balanced(ask)


LOT = ("ada", 200, "2026-01-05", "2027-06-30")


async def test_the_award_stands_though_prices_and_rules_here_are_others(office, door, ask):
    await bring_both(office, [award(points=30)], LOT)

    await door.give(old(line("1", 999_999, 2, delivered=2), type_="order.completed"))
    assert await seen(ask) == (0, 200, 0)
    await door.give(old(line("1", 999_999, 2, delivered=2, returned=2), revision=8))

    assert await seen(ask) == (0, 170, 0)


async def test_what_was_taken_back_elsewhere_is_not_taken_twice(office, door, ask):
    await bring_both(office, [award(points=30, points_back=15)], LOT)

    await door.give(old(line("1", 1000, 2, delivered=2, returned=1)))
    assert await seen(ask) == (0, 200, 0)
    await door.give(old(line("1", 1000, 2, delivered=2, returned=2), revision=8))

    assert await seen(ask) == (0, 185, 0)


async def test_pending_points_come_with_the_award_and_become_active_here(office, door, ask):
    await bring_both(office, [award(points=30, status="pending")], LOT)
    assert await seen(ask) == (30, 200, 0)

    await door.give(old(line("1", 1000, 2, delivered=2), type_="order.delivered"))

    assert await seen(ask) == (0, 230, 0)
    assert (await balanced(ask))["accounts"]["opening"] == -230


async def test_active_points_are_not_sent_back_by_a_snapshot_before_arrival(office, door, ask):
    await bring_both(office, [award(points=30)], LOT)

    await door.give(old(line("1", 1000, 2, shipped=2), type_="order.shipped"))

    assert await seen(ask) == (0, 200, 0)


async def test_a_lot_that_names_its_order_gives_its_own_points_first(office, door, ask):
    own = ("ada", 30, "2026-10-25", "2028-01-01", "web", "", "o1")
    await bring_both(office, [award(points=30)], LOT, own)

    await door.give(old(line("1", 1000, 2, delivered=2, returned=2)))

    lots = await door.query("SELECT document, remaining, taken_back FROM lot ORDER BY remaining")
    assert [tuple(lot)[1:] for lot in lots] == [(0, 30), (200, 0)]
    assert (lots[0].document, lots[1].document[-2:]) == ("o1", "/2")
    await balanced(ask)


@pytest.mark.parametrize("spent", ["negative", "next_earning", "refund"])
async def test_without_a_lot_of_its_own_the_members_other_points_give(office, door, ask, spent):
    async with door.client() as http:
        body = {"starts_at": "2000-01-01T00:00:00Z", "returns": {"spent": spent}}
        headers = {"Idempotency-Key": "p"}
        await http.put("/v1/programmes/default", json=body, headers=headers)
    await bring_both(office, [award(points=300)], LOT)

    await door.give(old(line("1", 1000, 2, delivered=2, returned=2)))

    assert await seen(ask) == (0, 0, 0 if spent == "refund" else 100)
    await balanced(ask)


async def test_an_order_that_is_known_here_is_named(office, door):
    await door.give(*Order().life())
    path = office.file(award(), award(order_id="o2"), header=AWARDS)

    with pytest.raises(Fatal, match="1 rows are wrong"):
        await office.bring(path, "awards")
    assert "row 2, order_id: is known here already" in office.said()
    said = await office.bring(path, "awards", skip_wrong=True)

    assert "1 rows, 0 points, 1 customers" in said


async def test_lines_of_an_order_may_be_far_apart(office, door, ask, monkeypatch):
    monkeypatch.setattr("services.loyalty.work.imports.CHUNK_ROWS", 2)
    rows = [award(str(n), 10, status="pending", order_id=f"o{n % 2}") for n in range(7)]

    await office.bring(office.file(*rows, header=AWARDS), "awards")

    assert [len((await ask(f"/v1/orders/o{n}"))["lines"]) for n in (0, 1)] == [4, 3]
    assert await seen(ask) == (70, 0, 0)
    await balanced(ask)


async def test_what_became_of_brought_rows_does_not_keep_a_killed_run_from_going_on(
    office, door, ask, monkeypatch
):
    rows = [
        award("1", 10, status="pending", order_id=f"o{n}", customer_id=f"c{n}") for n in range(4)
    ]
    path = office.file(*rows, header=AWARDS)
    await office.bring_and_die(monkeypatch, path, "awards")
    here = line("1", 1000, 2, delivered=2)
    await door.give(Order("o0", "c0", (here,)).event("order.delivered", 7), erasure("c1"))

    assert "the ledger has 40 points in 4 rows" in await office.bring(path, "awards")

    assert await seen(ask, "c0") == (0, 10, 0)
    assert await seen(ask, "c3") == (10, 0, 0)
    await balanced(ask)


async def test_awards_are_taken_back_unless_their_order_has_gone_on(office, door, ask, monkeypatch):
    monkeypatch.setattr("services.loyalty.work.import_back.CHUNK_ROWS", 2)
    rows = [award(str(n), 10, status="pending", order_id=f"o{n % 2}") for n in range(5)]
    path = office.file(*rows, header=AWARDS)
    await office.bring(path, "awards")
    lines = [line(str(n), 1000, 2, delivered=2) for n in (1, 3)]
    await door.give(old(*lines, type_="order.delivered"))

    said = await office.reverse()

    assert "row 3: 10 points stay: its order has had events" in said
    assert "30 points went back" in said
    assert await seen(ask) == (0, 20, 0)
    await ask("/v1/orders/o0", status=404)
    assert (await balanced(ask))["accounts"]["opening"] == -20
    await office.bring(path, "awards", skip_wrong=True)
    assert await seen(ask) == (30, 20, 0)


@given(st.data())
@DB
async def test_returns_in_any_parts_sum_to_the_award(door, tmp_path_factory, capsys, data):
    office = Office(door, tmp_path_factory.mktemp("any"), capsys)
    run = next(RUNS)
    customer, order_id = f"c{run}", f"o{run}"
    points, quantity = data.draw(st.integers(0, 999)), data.draw(st.integers(1, 7))
    told = {"customer_id": customer, "order_id": order_id, "quantity": quantity}
    await office.bring(
        office.file((customer, points + 5, "2026-01-05"), name=f"b{run}.csv"),
    )
    await office.bring(
        office.file(award(points=points, **told), header=AWARDS, name=f"a{run}.csv"), "awards"
    )
    returned = revision = 0
    while returned < quantity:
        returned += data.draw(st.integers(0, quantity - returned))
        revision += 1
        if revision > 4:
            returned = quantity
        gone = line("1", 1000, quantity, delivered=quantity, returned=returned)
        order = Order(order_id, customer, (gone,))
        await door.give(order.event("order.returned", revision))

    async with door.client() as http:
        account = (await http.get(f"/v1/accounts/{customer}")).json()
    assert (account["active"], account["owed"]) == (5, 0)


@pytest.mark.parametrize("status", ["active", "pending"])
async def test_a_published_history_of_a_brought_order_earns_nothing_again(
    office, door, ask, status
):
    await lay_down(door)
    lines = line("1", 60_000, 2), line("2", 700)
    pending = status == "pending"
    await bring_both(office, [award(points=30, status=status)], LOT)
    before = await seen(ask)
    history = [replace(each, backfill=True) for each in Order(lines=lines).life()]

    for events in (history[:2], history[1:3], history):
        await door.give(*events)
        assert await seen(ask) == ((0, 230, 0) if events is history and pending else before)
    await door.give(*reversed(history))

    assert await seen(ask) == (0, 230 if pending else 200, 0), "not again, in whatever order"
    told = await ask("/v1/orders/o1")
    assert [each["awarded"] for each in told["lines"]] == [30], "what was not brought earns nothing"
    assert await door.query("SELECT 1 FROM qualifying") == [], "nor does it count for a tier"
    whole = line("1", 60_000, 2, delivered=2, returned=2), line("2", 700, delivered=1)
    await door.give(old(*whole, revision=8))
    assert await seen(ask) == (0, 200 if pending else 170, 0)
    await balanced(ask)


async def test_a_brought_order_of_who_has_not_joined_here_is_settled_all_the_same(
    office, door, ask
):
    async with door.client() as http:
        answer = await http.put(
            "/v1/membership-terms/default", json=TERMS, headers={"Idempotency-Key": "t"}
        )
        assert answer.status_code == 200, answer.text
    await bring_both(office, [award(points=30)], LOT)

    await door.give(*Order(lines=(line("1", 1_000, 2),)).life())
    assert await seen(ask) == (0, 200, 0)
    await door.give(old(line("1", 1_000, 2, delivered=2, returned=2), revision=8))

    assert await seen(ask) == (0, 170, 0)
    assert await door.query("SELECT 1 FROM waiting_order") == []
    await balanced(ask)


async def test_a_cancelled_history_takes_the_award_back_and_only_that(office, door, ask):
    await bring_both(office, [award(points=30)], LOT)
    order = Order(lines=(line("1", 1_000, 2),))

    await door.give(order.event("order.placed", 1), order.event("order.paid", 2))
    assert await seen(ask) == (0, 200, 0)
    await door.give(order.every(cancelled="all").event("order.cancelled", 3))

    assert await seen(ask) == (0, 170, 0)
    await balanced(ask)
