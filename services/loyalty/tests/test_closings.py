"""Closing a month: what is closed ties to the ledger, and never changes."""

import asyncio
import csv
import io
import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from services.loyalty import closing_cli
from services.loyalty.books import chain
from services.loyalty.jobs import sealing
from services.loyalty.reporting.closed_month import Statement
from services.loyalty.tests.closer import (
    LATER,
    approve,
    balanced,
    close,
    lay_down,
    look,
    on,
    prepare,
    send,
    ties,
    told,
    totals,
)
from services.loyalty.tests.shop import Order, line
from services.loyalty.tests.test_chain import export, tamper
from services.loyalty.tests.test_reservations import paid_with
from shared.clock import Clock
from shared.errors import Fatal
from shared.stores import Store, Stores


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


class Race:
    """Orders of October arrive in two partitions at the moment in which October is closed."""

    def __init__(self, door):
        self.door = door
        self.goes_on, self.is_closed = asyncio.Event(), asyncio.Event()

    async def orders(self, partition):
        """How many came: until the month was closed, and one more."""
        for number in itertools.count():
            order = Order(f"p{partition}-{number}", f"c{partition}-{number % 3}")
            await self.goes_on.wait()
            is_last = self.is_closed.is_set()
            [paid] = on("2026-10-06", order.life()[1])
            await self.door.handle([self.door.log.append(paid, partition=partition)])
            if is_last:
                return number + 1
        raise AssertionError

    async def finance(self):
        """How often it was refused, because something was booked in between."""
        for attempt in itertools.count():
            self.goes_on.clear()
            await asyncio.sleep(0.05)
            await sealing.seal(self.door.engine, self.door.world)
            draft = await prepare(self.door, "2026-10")
            async with self.door.client("loyalty:admin") as http:
                self.goes_on.set()
                path = "/v1/closings/2026-10/approval"
                answer = await send(http, path, {"draft": draft["draft"]})
            if answer.status_code == 200:
                self.is_closed.set()
                return attempt
            assert answer.status_code == 409
        raise AssertionError


async def test_a_journal_booked_while_the_month_closes_is_on_one_side_of_it(door):
    first = [Order(f"a{n}").life()[1] for n in range(8)]
    await door.handle([door.log.append(e, partition=0) for e in on("2026-10-05", *first)])
    race = Race(door)

    *counts, _ = await asyncio.gather(race.orders(2), race.orders(3), race.finance())

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


async def test_points_spent_in_one_month_and_given_back_in_the_next_are_told_in_both(door):
    await door.give(*on("2026-10-05", *Order("o1", lines=(line("1", 10_000),)).life()))
    async with door.client(clock=Clock(frozen_at=datetime(2026, 10, 20, 11, tzinfo=UTC))) as http:
        path = "/v1/accounts/ada/reservations"
        one = (await send(http, path, {"points": 60, "store": "us"})).json()
    order = paid_with(one)
    await door.give(*on("2026-10-20", order.event("order.paid", 2)))
    october = (await close(door, "2026-10"))["statement"]
    back = order.every(delivered=4, returned=4).event("order.returned", 3)
    await door.give(*on("2026-11-03", back))

    november = (await close(door, "2026-11"))["statement"]

    assert told(october) == {"earned": 103, "redeemed": 60, "closing": 43}
    assert told(november) == {"opening": 43, "restored": 60, "reversed": 3, "closing": 100}
    assert totals(november, ["store", "cohort"]) == {("web", "2026-10"): 100}, "of who earned them"
    await ties(door, "2026-10")
    await ties(door, "2026-11")


async def test_a_month_is_closed_from_the_command_line_by_two(door, capsys):
    await door.give(*on("2026-10-05", *Order().life()))
    await sealing.seal(door.engine, door.world)
    settings = door.world.settings.model_copy(update={"clock": "2026-11-05T00:00:00Z"})

    await closing_cli.run(settings, "2026-10", "ada", 0)
    said = capsys.readouterr().out
    draft = int(said.rsplit("--approve ", 1)[1])
    with pytest.raises(Fatal, match="may not approve it"):
        await closing_cli.run(settings, "2026-10", "ada", draft)
    for wrong, by in (("10/2026", "ada"), ("2026-10", " ")):
        with pytest.raises(Fatal):
            await closing_cli.run(settings, wrong, by, 0)
    await closing_cli.run(settings, "2026-10", "bob", draft)

    closed = await look(door, "/v1/closings/2026-10")
    assert (closed["prepared_by"], closed["approved_by"]) == ("cli:ada", "cli:bob")
    assert "10 points" in said
    assert f"head {closed['block']}:{closed['head']}" in capsys.readouterr().out
