"""What the worker does with the event stream, against real PostgreSQL."""

import asyncio
import itertools
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.loyalty.tests.shop import NOON, Order, erasure, histories, line, merged, unmerged
from shared import dead_letters
from shared.events import codec
from shared.events.orders import Tender
from shared.letters_cli import replay
from shared.message import Message
from shared.partition import partition_of
from shared.testing import PARTITIONS

RUNS = itertools.count()
"""Names of their own for each example: the database stays."""
DB = settings(
    derandomize=True,
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


APPEND_ONLY = ("journal", "posting", "award_snapshot")


async def balanced(ask):
    books = await ask("/v1/ledger/reconciliation")
    assert books["balanced"], books
    assert books["sum"] == 0
    kept = books["kept"]
    assert books["liability"] == kept["pending"] + kept["active"] + kept["reserved"]
    return books


async def purse(ask, customer="ada"):
    account = await ask(f"/v1/accounts/{customer}")
    return account["pending"], account["active"]


async def test_points_are_pending_when_paid_active_when_delivered_gone_when_returned(door, ask):
    order = Order(lines=(line("1", 1234), line("2", 866)))
    placed, paid, shipped, delivered = order.life()
    seen = []
    for event in (placed, paid, shipped, delivered):
        await door.give(event)
        if event is not placed:
            seen.append(await purse(ask))
    arrived = order.every(shipped="all", delivered="all")
    await door.give(arrived.change("1", returned=1).event("order.returned", 5))
    seen.append(await purse(ask))

    assert seen == [(21, 0), (21, 0), (0, 21), (0, 9)]
    await balanced(ask)


async def test_what_happened_is_published(door):
    order = Order()
    returned = order.every(delivered="all", returned="all").event("order.returned", 5)
    await door.give(*order.life(), returned)

    events = await door.published()

    assert [(e.type, e.key, e.data.points) for e in events] == [
        ("points.earned", "ada", 10),
        ("points.activated", "ada", 10),
        ("points.reversed", "ada", 10),
    ]
    earned, activated, reversed_ = (event.data for event in events)
    assert (earned.pending, earned.rule_id, earned.rule_version) == (True, "base", 1)
    assert (earned.balance.pending, earned.balance.active) == (10, 0)
    assert (activated.balance.pending, activated.balance.active) == (0, 10)
    assert reversed_.direction == "taken_back"
    assert reversed_.of_journal_id == earned.journal_id
    assert events[2].time == returned.time


async def test_history_stays_history_in_what_follows_from_it(door):
    await door.give(replace(Order().event("order.paid", 1), backfill=True))

    [event] = await door.published()

    assert event.backfill


async def test_a_redelivered_batch_has_one_effect(door, ask):
    await door.give(*Order().life())

    await door.again(*door.log.messages)

    assert await purse(ask) == (0, 10)
    assert (await balanced(ask))["journals"] == 2


async def test_an_event_republished_in_another_partition_or_under_another_id_has_one(door, ask):
    life = Order().life()
    await door.give(*life)

    await door.handle([door.log.append(event, partition=3) for event in life])
    await door.give(*[replace(event, id=f"again-{event.id}") for event in life])

    assert await purse(ask) == (0, 10)
    assert (await balanced(ask))["journals"] == 2


async def ledger_of(door):
    """Every row of the ledger, without what is drawn or tells when it was written."""
    return await door.query("""
        SELECT j.id, j.document, j.revision, j.kind, j.cause_id, p.line, p.debit, p.credit,
            p.points, m.customer_id, b.pending, b.active, b.version
        FROM journal j JOIN posting p ON p.journal_id = j.id
        JOIN balance b ON b.account_id = j.account_id
        JOIN member m ON m.account_id = j.account_id AND p.account_id = j.account_id
        ORDER BY j.id, p.position
    """)


@given(st.data())
@DB
async def test_any_cutting_of_the_stream_writes_the_same_ledger(door, other_door, data):
    run = next(RUNS)
    customers = [f"{who}-{run}" for who in ("ada", "bob")]
    one = data.draw(histories(f"1-{run}", customers[0]))
    two = data.draw(histories(f"2-{run}", customers[1]))
    stream = sorted([*one, *two], key=lambda event: event.data.revision)

    await door.give(*stream)
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        await other_door.give(*stream[:size])
        stream = stream[size:]

    assert await ledger_of(other_door) == await ledger_of(door)


@given(st.data())
@DB
async def test_whatever_happens_the_books_balance_and_the_last_revision_counts(door, ask, data):
    run = next(RUNS)
    history = data.draw(histories(f"1-{run}", f"ada-{run}"))
    told = data.draw(st.permutations([*history, *data.draw(st.lists(st.sampled_from(history)))]))
    cut = data.draw(st.integers(0, len(told)))
    last = history[-1].data
    alone = last.model_copy(update={"order_id": f"2-{run}", "customer_id": f"bob-{run}"})

    for part in filter(None, (told[:cut], told[cut:])):
        await door.give(*part)
    await door.give(
        codec.make(history[-1].type, alone, id=f"2-{run}", source="shop", time=history[-1].time)
    )

    ours, theirs = await ask(f"/v1/orders/1-{run}"), await ask(f"/v1/orders/2-{run}")
    assert (ours["pending"], ours["active"]) == (theirs["pending"], theirs["active"])
    assert ours["lines"] == theirs["lines"]
    await balanced(ask)


async def test_an_order_that_another_partition_moves_meanwhile_is_read_again(door, ask):
    placed, paid, _, delivered = Order().life()
    await door.give(placed)
    handle = door.service.handler.handle

    async with door.engine.begin() as conn:  # as another worker would, whose key is another id
        await handle(conn, [paid], door.world)
        late = asyncio.create_task(door.give(delivered))
        while not await door.query("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # PostgreSQL has no event for it
    await late

    assert await purse(ask) == (0, 10)
    assert await door.query("SELECT 1 FROM dead_letter") == []
    await balanced(ask)


async def test_two_batches_of_one_customer_at_once_add_up(door, ask):
    await door.give(*Order("o1").life())
    handle = door.service.handler.handle

    async with door.engine.begin() as conn:
        await handle(conn, Order("o2").life(), door.world)
        late = asyncio.create_task(door.give(*Order("o3").life()))
        while not await door.query("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await late

    assert await purse(ask) == (0, 30)
    await balanced(ask)


async def test_an_order_of_thousands_of_lines_is_exact(door, ask):
    lines = tuple(line(f"{n:04}", 99) for n in range(2_000))

    await door.give(*Order(lines=lines).life())

    assert await purse(ask) == (0, 1_980)
    await balanced(ask)


async def test_orders_that_earn_nothing_say_why(door, ask):
    reasons = {
        "guest": Order("g", "guest:g"),
        "test_order": Order("t", more={"test": True}),
        "store_excluded": Order("s", more={"store": "outlet"}),
        "no_base_total": Order("c", more={"currency": "USD"}),
    }

    await door.give(*[event for order in reasons.values() for event in order.life()])

    assert {
        reason: (await ask(f"/v1/orders/{order.order_id}"))["verdict"]
        for reason, order in reasons.items()
    } == {reason: reason for reason in reasons}
    books = await balanced(ask)
    assert (books["journals"], books["kept"]["accounts"]) == (0, 0)
    assert books["orders_without_base_total"] == 1


async def test_an_order_in_another_currency_earns_in_the_base_currency(door, ask):
    dollars = Order(more={"currency": "USD", "base_total_minor": 920, "rate": 0.92})

    await door.give(*dollars.life())

    assert await purse(ask) == (0, 9)


async def test_a_merge_pools_what_is_read_and_an_unmerge_parts_it_exactly(door, ask):
    both = ("ada", "anon:1")
    await door.give(*Order("o1", "ada").life(), *Order("o2", "anon:1").life()[:2])
    apart = [await purse(ask, one) for one in both]

    await door.give(*[merged(one, "ada", both) for one in both])
    together = [await purse(ask, one) for one in both]
    history = await ask("/v1/accounts/ada/history")
    await door.give(*Order("o2", "anon:1").life()[2:])
    await door.give(unmerged("ada", ("ada",), ("anon:1",)))
    await door.give(unmerged("anon:1", ("anon:1",), ("anon:1",)))

    assert apart == [(0, 10), (10, 0)]
    assert together == [(10, 10), (10, 10)]
    assert {item["document"] for item in history["items"]} == {"o1", "o2"}
    assert [await purse(ask, one) for one in both] == [(0, 10), (0, 10)]
    await balanced(ask)


async def test_the_erased_have_no_account_and_the_books_still_balance(door, ask):
    await door.give(*Order("o1").life(), *Order("o2", "bob").life())

    await door.give(erasure("ada"))
    await door.again(*door.log.messages)

    await ask("/v1/accounts/ada", status=404)
    assert (await ask("/v1/orders/o1"))["customer_id"] is None
    books = await balanced(ask)
    assert (books["liability"], books["kept"]["members"], books["kept"]["accounts"]) == (20, 1, 2)
    receipts = [e.data.erased for e in await door.published() if e.type == "erasure.completed"]
    kept = {"tally": 1, "order_decision": 1, "order_state": 1, "qualifying": 1}
    assert receipts == [{"member": 1, "outbox": 2} | kept]


async def test_nothing_in_the_database_names_the_erased(door):
    await door.give(*Order("o1", "ada").life())
    await door.give(erasure("ada"))

    tables = await door.query("""
        SELECT table_name FROM information_schema.tables
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
    """)
    for (table,) in tables:
        rows = await door.query(f"SELECT t::text FROM {table} AS t")
        # As a word: a random id may hold the letters.
        named = [r for (r,) in rows if re.search(r"\bada\b", r) and "erasure.completed" not in r]
        assert not named, table


async def test_who_comes_back_after_an_erasure_begins_anew(door, ask):
    await door.give(*Order("o1").life(), erasure("ada", NOON + timedelta(hours=1)))
    later = replace(Order("o3").event("order.paid", 1), time=NOON + timedelta(hours=2))
    late_return = Order("o1").every(delivered="all", returned="all").event("order.returned", 9)

    await door.give(later, replace(late_return, time=NOON + timedelta(hours=2)))

    assert await purse(ask) == (10, 0)
    await balanced(ask)


async def test_the_services_own_role_cannot_rewrite_the_ledger(door):
    for change in (
        "UPDATE journal SET kind = 'x'",
        "UPDATE posting SET points = 1",
        "UPDATE award_snapshot SET points = 1",
        *(f"{verb} {table}" for verb in ("DELETE FROM", "TRUNCATE") for table in APPEND_ONLY),
    ):
        async with door.engine.connect() as conn:
            with pytest.raises(DBAPIError, match="permission denied"):
                await conn.execute(text(change))


async def test_a_journal_that_is_booked_twice_is_refused_and_seen(door, ask):
    """As after a restore of a part of the database: a loud letter, not a second effect."""
    await door.give(*Order().life())
    async with door.engine.begin() as conn:
        await conn.execute(text("DELETE FROM order_state"))

    await door.give(replace(Order().life()[1], id="once-more"))

    [letter] = await door.query("SELECT reason FROM dead_letter")
    assert "23505" in letter.reason
    assert await purse(ask) == (0, 10)


async def test_an_order_id_used_again_is_a_dead_letter_with_its_reason(door, ask):
    await door.give(*Order().life())

    again = replace(Order(customer="bob").event("order.paid", 1), id="bob-1")

    await door.give(again, *Order("o2", "cy").life())

    [letter] = await door.query("SELECT reason, key FROM dead_letter")
    assert letter.reason.startswith("Reject: order_id: another customer has an order of this id")
    assert (await purse(ask), await purse(ask, "cy")) == ((0, 10), (0, 10))
    await ask("/v1/accounts/bob", status=404)


async def test_behind_a_rejected_event_the_customers_later_events_wait_their_turn(door, ask):
    """An order goes on under an id whose merge has not arrived: it waits, and ends right."""
    order, carried = Order("o1", "anon:1"), Order("o1", "ada")
    await door.give(*order.life()[:2])

    await door.give(*carried.life()[2:], *Order("o2", "ada").life()[:2])
    await door.give(*Order("o2", "ada").life()[2:])
    await ask("/v1/accounts/ada", status=404)
    states = [row.state for row in await door.query("SELECT state FROM dead_letter ORDER BY id")]
    await door.give(merged("anon:1", "ada", ("ada", "anon:1")))
    replayed = await replay(door.batches, [b"ada"])

    assert states == ["open", *["waiting"] * 5]
    assert replayed == (6, 0)
    assert await purse(ask, "anon:1") == (0, 20)
    assert await purse(ask, "ada") == (0, 10)
    await balanced(ask)


async def test_behind_poison_events_wait_until_it_is_dropped(door, ask):
    key = b"ada"
    place = partition_of(key, PARTITIONS)
    poison = door.log.add(Message("shop.orders.v1", place, 0, 0, key, b"{", ()))
    await door.handle([poison, *[door.log.append(event) for event in Order().life()]])
    await ask("/v1/accounts/ada", status=404)
    failed = await replay(door.batches, [key])

    async with door.engine.begin() as conn:
        [letter, *_] = await dead_letters.list_open(conn, "loyalty", 0, 10)
        await dead_letters.settle(conn, letter.id, "dropped")
    replayed = await replay(door.batches, [key])

    assert (failed, replayed) == ((0, 1), (4, 0))
    assert await purse(ask) == (0, 10)
    await balanced(ask)


@pytest.mark.parametrize(("refunded_minor", "left"), [(0, 60), (3_000, 30), (6_000, 0)])
async def test_a_refund_of_all_the_money_takes_all_points_of_an_order_paid_partly_in_points(
    door, ask, refunded_minor, left
):
    tenders = (
        Tender(kind="points", amount_minor=4_000),
        Tender(kind="money", amount_minor=6_000),
    )
    order = Order("o1", lines=(line("1", 10_000),), more={"tenders": tenders})
    await door.give(*order.life())
    await door.give(order.change("1", refunded_minor=refunded_minor).event("order.refunded", 5))

    assert await purse(ask) == (0, left)
    await balanced(ask)
