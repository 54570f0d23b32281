"""Closing a month: what is closed ties to the ledger, and never changes."""

import asyncio
import csv
import io
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.loyalty import chain, sealing
from services.loyalty.accounting import next_month, parse_month
from services.loyalty.closed_month import Statement
from services.loyalty.tests.closer import LATER, approve, close, lay_down, look, on, prepare, send
from services.loyalty.tests.shop import NOON, Order, histories, line
from services.loyalty.tests.test_chain import export, tamper
from services.loyalty.tests.test_worker import RUNS
from shared.clock import Clock
from shared.stores import Store, Stores

# Of each store, what the postings of all months up to one say that members hold.
HELD = """
    SELECT journal.store, sum(CASE WHEN credit < 10 THEN points ELSE 0 END
        - CASE WHEN debit < 10 THEN points ELSE 0 END)::bigint
    FROM journal JOIN posting ON posting.journal_id = journal.id
    WHERE accounting_date < :until GROUP BY journal.store
"""
IN_LOTS = """
    SELECT store, to_char(earned_at, 'YYYY-MM'), sum(remaining + reserved)::bigint
    FROM lot GROUP BY 1, 2 HAVING sum(remaining + reserved) > 0
"""


def totals(statement, by, what="points"):
    """The closings of the lines with any points, summed by these names."""
    found = defaultdict(int)
    for each in statement["lines"]:
        found[tuple(each[name] for name in by)] += each[what]["closing"]
    return {key: points for key, points in found.items() if points}


async def balanced(door):
    books = await look(door, "/v1/ledger/reconciliation")
    assert books["balanced"], books


def told(statement):
    points = statement["total"]["points"]
    return {name: count for name, count in points.items() if count}


async def ties(door, month):
    """The closed month holds what the postings come to, store by store."""
    found = (await look(door, f"/v1/closings/{month}"))["statement"]
    rows = await door.query(HELD, until=next_month(parse_month(month)))
    assert totals(found, ["store"]) == {(store,): points for store, points in rows if points}
    return found


async def test_a_month_is_closed_by_two_and_ties_to_the_ledger(door):
    order = Order(lines=(line("1", 1000), line("2", 500)))
    await door.give(*on("2026-10-05", *order.life()))
    await door.give(*on("2026-10-20", Order("o2", "bob", more={"store": "us"}).life()[1]))
    back = order.every(delivered="all").change("2", returned=1).event("order.returned", 5)
    await door.give(*on("2026-10-25", back))

    closed = await close(door, "2026-10")

    assert told(closed["statement"]) == {"earned": 25, "reversed": 5, "closing": 20}
    assert totals(closed["statement"], ["store", "group", "cohort"]) == {
        ("web", "lots", "2026-10"): 10,
        ("us", "pending", None): 10,
    }
    assert (closed["journals"], closed["statement"]["late_journals"]) == (4, 0)
    assert closed["prepared_by"] != closed["approved_by"]
    [seal] = (await look(door, "/v1/ledger/seals"))["items"]
    assert (closed["block"], closed["head"]) == (seal["block"], seal["head"])
    statement = Statement.model_validate(closed["statement"])
    assert closed["digest"] == statement.digest().hex()
    await ties(door, "2026-10")


async def test_what_is_heard_of_late_counts_for_the_open_month_and_refers_back(door):
    early, late = Order("o1"), Order("o2", "bob")
    await door.give(*on("2026-10-05", *early.life()))
    closed = await close(door, "2026-10")

    await door.give(*on("2026-10-06", *late.life()))
    november = await close(door, "2026-11")

    rows = await door.query(
        "SELECT document, accounting_date, refers_to FROM journal ORDER BY document, id"
    )
    assert [tuple(row) for row in rows] == [
        ("o1", date(2026, 10, 5), None),
        ("o1", date(2026, 10, 5), None),
        ("o2", date(2026, 11, 1), date(2026, 10, 1)),
        ("o2", date(2026, 11, 1), date(2026, 10, 1)),
    ]
    assert told(november["statement"]) == {"opening": 10, "earned": 10, "closing": 20}
    assert november["statement"]["late_journals"] == 2
    assert await look(door, "/v1/closings/2026-10") == closed, "what is closed stays as it was"
    listed = (await look(door, "/v1/closings", limit=1))["items"]
    assert [each["month"] for each in listed] == ["2026-11"]
    await ties(door, "2026-11")
    await balanced(door)


async def test_the_business_day_is_the_base_zones(door):
    stores = Stores("EUR", {"web": Store(id="web", zone="Asia/Shanghai")})
    paid = replace(Order().life()[1], time=datetime(2026, 10, 31, 17, tzinfo=UTC))
    async with door.engine.begin() as conn:
        await door.service.handler.handle(conn, [paid], replace(door.world, stores=stores))

    [[day]] = await door.query("SELECT accounting_date FROM journal")

    assert day == date(2026, 11, 1)


async def test_nobody_closes_alone(door):
    await sealing.seal(door.engine, door.world)
    async with door.client("loyalty:admin", clock=LATER) as http:
        draft = (await send(http, "/v1/closings", {"month": "2026-10"})).json()["draft"]
        path = "/v1/closings/2026-10/approval"
        alone = await send(http, path, {"draft": draft})
    async with door.client("audit:read", "loyalty:write") as http:
        weak = [await send(http, "/v1/closings", {}), await send(http, path, {"draft": draft})]
        seen = await http.get("/v1/closings/2026-10", params={"draft": draft})

    assert (alone.status_code, alone.json()["type"]) == (409, "urn:regulars:problem:same-person")
    assert {answer.status_code for answer in weak} == {403}
    assert seen.json()["statement"]["total"]["points"]["closing"] == 0
    await approve(door, "2026-10", draft)
    logged = await door.query("SELECT action, detail->>'month' FROM audit ORDER BY id")
    assert [tuple(row) for row in logged] == [
        ("POST /v1/closings", "2026-10"),
        ("POST /v1/closings/{month}/approval", "2026-10"),
    ]


async def test_a_draft_that_misses_a_journal_is_not_approved(door):
    await door.give(*on("2026-10-05", *Order().life()))
    draft = await prepare(door, "2026-10")
    await door.give(*on("2026-10-06", *Order("o2", "bob").life()))
    await sealing.seal(door.engine, door.world)

    refused = await approve(door, "2026-10", draft["draft"], status=409)

    assert refused["type"] == "urn:regulars:problem:statement-outdated"
    assert "sums 2 journals and there are 4" in refused["detail"]


async def test_a_month_is_closed_only_when_its_journals_are_in_the_chain(door):
    await door.give(*on("2026-10-05", *Order().life()))
    draft = await prepare(door, "2026-10")

    refused = await approve(door, "2026-10", draft["draft"], status=409)
    await sealing.seal(door.engine, door.world)

    assert refused["type"] == "urn:regulars:problem:not-sealed-yet"
    await approve(door, "2026-10", draft["draft"])


async def test_months_are_closed_when_they_are_over_and_one_after_the_other(door):
    midnight = Clock(frozen_at=datetime(2026, 11, 1, tzinfo=UTC) - timedelta(seconds=1))

    assert "over on 2026-11-01" in (await prepare(door, "2026-10", 409, midnight))["detail"]
    await close(door, "2026-10")
    assert "last closed" in (await prepare(door, "2026-10", 409))["detail"]
    assert "last closed" in (await prepare(door, "2026-09", 409))["detail"]
    assert "close 2026-11 first" in (await prepare(door, "2026-12", 409))["detail"]
    await prepare(door, "October", 422)
    await approve(door, "2026-11", 1, status=404)
    for path in ("/v1/closings/2026-11", "/v1/closings/2026-11/vouchers.csv"):
        await look(door, path, status=404)


async def test_the_services_own_role_cannot_rewrite_a_closing(door):
    await close(door, "2026-10")
    for sql in (
        "UPDATE closing SET approved_by = 'me'",
        "DELETE FROM closing",
        "UPDATE closing_draft SET journals = 0",
        "TRUNCATE closing_draft",
    ):
        async with door.engine.begin() as conn:
            with pytest.raises(Exception, match="permission denied"):
                await conn.execute(text(sql))


async def test_a_journal_booked_while_the_month_closes_is_on_one_side_of_it(door):
    """Orders of October arrive in two partitions at the moment in which October is closed."""
    first = [Order(f"a{n}").life()[1] for n in range(8)]
    await door.handle([door.log.append(e, partition=0) for e in on("2026-10-05", *first)])
    goes_on, ends = asyncio.Event(), asyncio.Event()

    async def stream(partition):
        number = 0
        while not ends.is_set() or number < 15:
            order = Order(f"p{partition}-{number}", f"c{partition}-{number % 3}")
            await goes_on.wait()
            [paid] = on("2026-10-06", order.life()[1])
            await door.handle([door.log.append(paid, partition=partition)])
            number += 1
        return number

    async def finance():
        answer = None
        while answer is None or answer.status_code == 409:
            goes_on.clear()
            await asyncio.sleep(0.05)
            await sealing.seal(door.engine, door.world)
            draft = await prepare(door, "2026-10")
            async with door.client("loyalty:admin") as http:
                goes_on.set()
                path = "/v1/closings/2026-10/approval"
                answer = await send(http, path, {"draft": draft["draft"]})
        assert answer.status_code == 200
        ends.set()

    *counts, _ = await asyncio.gather(stream(2), stream(3), finance())

    october = await ties(door, "2026-10")
    rows = await door.query("""
        SELECT count(*) FILTER (WHERE accounting_date < '2026-11-01'),
            count(*) FILTER (WHERE accounting_date = '2026-11-01' AND refers_to = '2026-10-01'),
            count(*)
        FROM journal
    """)
    inside, after, whole = rows[0]
    assert (inside + after, whole) == (whole, 8 + sum(counts))
    assert after, "orders went on arriving"
    assert october["total"]["points"]["earned"] == inside * 10
    november = await close(door, "2026-11")
    assert november["statement"]["total"]["points"]["earned"] == after * 10
    await balanced(door)


async def somebody_waits(door):
    while not await door.query("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # PostgreSQL has no event for it


async def test_a_closing_waits_for_what_is_being_booked_and_then_counts_it(door):
    draft = await prepare(door, "2026-10")
    async with door.engine.begin() as conn:
        paid = on("2026-10-06", Order().life()[1])
        await door.service.handler.handle(conn, paid, door.world)
        approval = asyncio.create_task(approve(door, "2026-10", draft["draft"], status=409))
        await somebody_waits(door)

    assert (await approval)["type"] == "urn:regulars:problem:statement-outdated"


async def test_booking_waits_for_a_closing_that_is_under_way(door):
    async with door.engine.begin() as conn:
        await conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('loyalty closing'))"))
        waiting = asyncio.create_task(door.give(*on("2026-10-06", *Order().life())))
        await somebody_waits(door)
        await conn.execute(
            text("""
                INSERT INTO closing (month, draft, block, head, digest, approved_by)
                VALUES ('2026-10-01', 1, 1, '', '', 'x')
            """)
        )
    await waiting

    rows = await door.query("SELECT DISTINCT accounting_date FROM journal")

    assert [tuple(row) for row in rows] == [(date(2026, 11, 1),)]


async def test_the_policy_in_force_at_the_months_end_values_it(door):
    await lay_down(door, value={"minor": 3, "per_points": 7})
    await door.give(*on("2026-10-05", *Order().life()))
    october = (await close(door, "2026-10"))["statement"]
    async with door.client("loyalty:admin", "loyalty:read", clock=LATER) as http:
        etag = (await http.get("/v1/finance-policies/default")).headers["etag"]
        headers = {"Idempotency-Key": "dearer", "If-Match": etag}
        body = {"value": {"minor": 1, "per_points": 1}}
        done = await http.put("/v1/finance-policies/default", json=body, headers=headers)
        assert done.status_code == 200
    november = (await close(door, "2026-11"))["statement"]

    assert (october["policy_version"], november["policy_version"]) == (1, 1)
    assert october["value"] == {"minor": 3, "per_points": 7}
    minor = october["total"]["minor"]
    assert (minor["earned"], minor["closing"]) == (4, 4), "10 points are 4.28 minor units"
    assert november["total"]["minor"]["revalued"] == 0


async def test_vouchers_are_those_of_the_statement(door):
    await lay_down(door, accounts={"liability": "2205", "earned": "6001-P"})
    await door.give(*on("2026-10-05", *Order(lines=(line("1", 123_400),)).life()))
    await close(door, "2026-10")

    async with door.client("audit:read") as http:
        answer = await http.get("/v1/closings/2026-10/vouchers.csv")

    assert answer.headers["content-type"].startswith("text/csv")
    assert list(csv.DictReader(io.StringIO(answer.text))) == [
        {
            "date": "2026-10-31",
            "account": account,
            "debit": debit,
            "credit": credit,
            "text": "Points earned, web, 2026-10",
        }
        for account, debit, credit in (("6001-P", "12.34", ""), ("2205", "", "12.34"))
    ]


async def test_an_account_that_a_spreadsheet_would_run_is_refused(door):
    async with door.client("loyalty:admin") as http:
        for account in ("=1+1", "-5", "@x", "+1", "", "a;b\n"):
            body = {"accounts": {"liability": account}}
            headers = {"Idempotency-Key": f"k{len(account)}{account!r}"}
            path = "/v1/finance-policies/default"
            assert (await http.put(path, json=body, headers=headers)).status_code == 422


async def test_the_chain_of_before_accounting_dates_still_holds(door, infra, tmp_path):
    """Journals of an older release: without a date, and their postings without a lot."""
    await door.give(*Order().life())
    await tamper(door, infra, "UPDATE journal SET accounting_date = NULL, refers_to = NULL")
    await tamper(door, infra, "UPDATE posting SET lot_id = NULL")
    await sealing.seal(door.engine, door.world)
    await door.give(*Order("o2", "bob").life())
    await sealing.seal(door.engine, door.world)

    lines = await export(door, tmp_path)

    assert chain.verify(lines).journals == 4
    old, new = lines[1], lines[4]
    assert not {"accounting_date", "store", "refers_to"} & chain.json.loads(old).keys()
    assert chain.json.loads(new)["accounting_date"] == "2026-11-01"
    for sql in (
        "UPDATE journal SET accounting_date = '2026-12-01' WHERE accounting_date IS NULL",
        "UPDATE journal SET accounting_date = NULL",
        "UPDATE journal SET store = 'us'",
        "UPDATE posting SET lot_id = gen_random_uuid() WHERE lot_id IS NOT NULL",
    ):
        await tamper(door, infra, sql)
        with pytest.raises(chain.Broken):
            chain.verify(await export(door, tmp_path))


async def test_journals_of_before_accounting_dates_are_the_first_opening_balance(door, infra):
    await door.give(*Order().life())
    await tamper(door, infra, "UPDATE journal SET accounting_date = NULL")
    await door.give(*on("2026-10-09", *Order("o2", "bob").life()))

    closed = await close(door, "2026-10")

    assert told(closed["statement"]) == {"opening": 10, "earned": 10, "closing": 20}


@given(
    lives=st.lists(histories(), min_size=1, max_size=3),
    closes=st.lists(st.integers(0, 20), min_size=1, max_size=4),
)
@settings(
    derandomize=True,
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_whatever_happens_every_closed_month_ties_to_the_ledger(
    template, make_database, tmp_path, lives, closes
):
    """Orders go through any life, in any order, over months that are closed meanwhile."""
    from services.loyalty.tests.conftest import open_one  # noqa: PLC0415

    run = next(RUNS)
    events = [
        replace(
            event,
            id=f"{run}-{number}-{event.id}",
            key=f"c{number}",
            data=event.data.model_copy(
                update={
                    "order_id": f"{run}-{number}",
                    "customer_id": f"c{number}",
                    "store": ("web", "us")[number % 2],
                }
            ),
            time=NOON + timedelta(days=11 * event.data.revision),
        )
        for number, life in enumerate(lives)
        for event in life
    ]
    async with open_one(template, make_database, tmp_path) as door:
        month, last = date(2026, 11, 1), None
        for place in range(21):
            await door.give(*events[place::21])
            for _ in range(closes.count(place)):
                name = f"{month:%Y-%m}"
                closed = (await close(door, name))["statement"]
                await ties(door, name)
                if last:
                    same = totals(last, ["store", "group", "cohort"], "minor")
                    opened = {
                        (each["store"], each["group"], each["cohort"]): each["minor"]["opening"]
                        for each in closed["lines"]
                        if each["minor"]["opening"]
                    }
                    assert opened == same
                last, month = closed, next_month(month)
        while month < date(2027, 4, 1):
            last = (await close(door, f"{month:%Y-%m}"))["statement"]
            month = next_month(month)
        rows = await door.query(IN_LOTS)
        assert {(s, c): p for s, g, c, p in _lines(last) if g == "lots"} == {
            (store, cohort): points for store, cohort, points in rows
        }
        sums = await door.query("SELECT sum(pending + active + reserved - owed) FROM balance")
        assert last["total"]["points"]["closing"] == (sums[0][0] or 0)


def _lines(statement):
    return [
        (*key, points) for key, points in totals(statement, ["store", "group", "cohort"]).items()
    ]
