"""What auditors and finance are told of the books: all of them, and of nobody."""

import pytest

from services.loyalty.books.ledger import AccountKind
from services.loyalty.store import trail
from services.loyalty.tests.closer import TODAY, close, lay_down, look, on, send
from services.loyalty.tests.shop import Order, line, merged

MEMBERSHIP = {"period": "yearly", "price_minor": 100, "currency": "EUR", "tier": "basic"}
PERIOD = {"from": "2026-10-01", "until": "2026-11-01"}
KINDS = (
    "programmes",
    "finance-policies",
    "tier-plans",
    "membership-terms",
    "membership-plans",
    "referral-programmes",
    "adjustment-policies",
    "earning-limits",
)
ROUTES = (
    "/v1/ledger/journals?from=2026-10-01&until=2026-12-01",
    "/v1/ledger/liability",
    "/v1/ledger/forecast",
    "/v1/ledger/costs?from=2000-01-01&until=2100-01-01",
    "/v1/ledger/promotions?from=2000-01-01&until=2100-01-01",
    "/v1/ledger/reconciliation",
    "/v1/ledger/seals",
    "/v1/closings",
    "/v1/closings/2026-10",
    "/v1/closings/2026-10/vouchers.csv",
    "/v1/imports",
    "/v1/adjustments?state=all",
    "/v1/held",
    "/v1/rules",
    "/v1/rules/audited",
    "/v1/offers",
    "/v1/offers/audited",
    "/v1/offers/audited/budget",
    "/v1/rewards",
    "/v1/rewards/audited",
    *(f"/v1/{kind}{one}" for kind in KINDS for one in ("", "/default")),
)


async def spend(door, points, customer="ada"):
    """Points at the checkout, today."""
    async with door.client("loyalty:write", clock=TODAY) as http:
        path = f"/v1/accounts/{customer}/reservations"
        made = await send(http, path, {"points": points})
        assert made.status_code == 201, made.text
        path = f"/v1/reservations/{made.json()['id']}/confirm"
        done = await send(http, path, {})
        assert done.status_code == 200, done.text


async def test_a_figure_leads_to_its_journals_and_each_to_its_event(door):
    order = Order(lines=(line("1", 1000), line("2", 500)))
    await door.give(*on("2026-10-05", *order.life()))
    back = order.every(delivered="all").change("2", returned=1).event("order.returned", 5)
    await door.give(*on("2026-10-25", back))
    closed = await close(door, "2026-10")

    page = await look(door, "/v1/ledger/journals", account_kind="clawed_back", **PERIOD)

    [journal] = page["items"]
    points = sum(p["points"] for p in journal["postings"])
    assert points == closed["statement"]["total"]["points"]["reversed"] == 5
    assert (journal["accounting_date"], journal["refers_to"]) == ("2026-10-25", None)
    assert (journal["document"], journal["revision"], journal["store"]) == ("o1", 5, "web")
    assert journal["postings"][0]["line"] == "2"
    assert journal["postings"][0]["lot_id"]
    cause = journal["cause"]
    assert (cause["source"], cause["id"], cause["topic"]) == ("shop", "o1-5", "shop.orders.v1")
    assert cause["offset"] == 4
    assert page["next"] is None
    issued = await look(door, "/v1/ledger/journals", account_kind="issued", **PERIOD)
    assert [each["kind"] for each in issued["items"]] == ["earn"]
    assert (await look(door, "/v1/ledger/journals", account_kind="donated", **PERIOD))[
        "items"
    ] == []


async def test_pages_hold_every_journal_once_however_few_match(door, monkeypatch):
    monkeypatch.setattr(trail, "WINDOW_MAX", 3)
    await door.give(*[e for n in range(9) for e in on("2026-10-05", *Order(f"o{n}").life())])

    for kind, count in ((None, 18), ("issued", 9)):
        found, cursor, more = [], "", {"account_kind": kind} if kind else {}
        while cursor is not None:
            page = await look(door, "/v1/ledger/journals", limit=2, cursor=cursor, **more, **PERIOD)
            found += [each["journal_id"] for each in page["items"]]
            cursor = page["next"]
        assert len(found) == len(set(found)) == count


async def test_every_kind_of_account_can_be_asked_for(door):
    for kind in AccountKind:
        await look(door, "/v1/ledger/journals", account_kind=kind.name.lower(), **PERIOD)
    await look(door, "/v1/ledger/journals", status=422, account_kind="nobody", **PERIOD)
    for path in ("/v1/ledger/journals", "/v1/ledger/costs"):
        for since, until in (("2026-11-01", "2026-11-01"), ("0001-01-01", "9999-12-31")):
            await look(door, path, status=422, **{"from": since, "until": until})


async def lay_down_all(http):
    """One of each kind that has to do with points; earning above 20 points is held."""
    bodies = {
        "rules/audited": {"points": 1},
        "offers/audited": {
            "gives": {"kind": "steps", "steps": [{"spend_minor": 10_000, "save_minor": 1}]}
        },
        "rewards/audited": {"kind": "amount", "value_minor": 500, "points": 400},
        "tier-plans/default": {"tiers": [{"code": "basic", "threshold": 0}]},
        "membership-plans/default": MEMBERSHIP,
        "referral-programmes/default": {"referrer_points": 5},
        "adjustment-policies/default": {"alone_points_max": 10},
        "earning-limits/default": {"order_points_max": 20},
    }
    for path, more in ({f"{kind}/default": {} for kind in KINDS} | bodies).items():
        body = {"starts_at": "2000-01-01T00:00:00Z", **more}
        done = await http.put(f"/v1/{path}", json=body, headers={"Idempotency-Key": path})
        assert done.status_code == 200, (path, done.text)


async def adjust(door, customer, points):
    """What support asks for, with a note that says too much."""
    async with door.client("loyalty:admin", clock=TODAY) as http:
        body = {"points": points, "reason": "complaint", "note": f"{customer} called"}
        made = await send(http, f"/v1/accounts/{customer}/adjustments", body)
        assert made.status_code in {201, 202}, made.text
    return f"/v1/adjustments/{made.json()['id']}"


async def decline(door, path, comment):
    async with door.client("loyalty:admin", clock=TODAY) as http:
        done = await send(http, f"{path}/decline", {"comment": comment})
        assert done.status_code == 200, done.text


async def test_an_auditor_sees_all_changes_nothing_and_learns_of_nobody(door):
    people = ("customer-ada", "customer-bob")
    async with door.client("loyalty:admin") as http:
        await lay_down_all(http)
    for name in people:
        await door.give(*on("2026-10-05", *Order(f"o-{name[-3:]}", name).life()))
    await door.give(*[merged(one, people[0], people) for one in people])
    await spend(door, 5, people[0])
    await close(door, "2026-10")
    dear = Order("o-dear", people[1], (line("1", 5_000),))
    await door.give(*on("2026-11-05", *dear.life()))
    adjusted = [await adjust(door, people[0], points) for points in (5, 50)]
    await decline(door, adjusted[1], f"not for {people[0]}")
    accounts = await door.query("SELECT account_id::text FROM member")
    hidden = [*people, *(row[0] for row in accounts)]

    async with door.client("audit:read") as http:
        for path in (*ROUTES, *adjusted):
            answer = await http.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert not [name for name in hidden if name in answer.text], path
        assert [held["points"] for held in (await http.get("/v1/held")).json()["items"]] == [50]
        listed = (await http.get("/v1/adjustments?state=all")).json()["items"]
        assert {(one["points"], one["state"], one["reason"]) for one in listed} == {
            (50, "declined", "complaint"),
            (5, "booked", "complaint"),
        }
        for path in ("/v1/accounts/customer-ada", "/v1/orders/o-ada"):
            assert (await http.get(path)).status_code == 403
        for path in ("/v1/closings", "/v1/closings/2026-10/approval"):
            assert (await send(http, path, {})).status_code == 403
        for path in ("/v1/held/o-dear/release", f"{adjusted[0]}/approve"):
            assert (await send(http, path, {})).status_code == 403
        for path in ("finance-policies/default", "rules/audited"):
            assert (await http.put(f"/v1/{path}", json={})).status_code == 403


async def test_who_may_read_of_members_is_told_whom_a_thing_is_about_and_it_is_recorded(door):
    await door.give(*on("2026-11-05", *Order("o1", "customer-ada").life()))
    await adjust(door, "customer-ada", 50)
    async with door.client("loyalty:read") as http:
        [one] = (await http.get("/v1/adjustments?state=all")).json()["items"]
        await http.get(f"/v1/adjustments/{one['id']}")

    assert (one["customer_id"], one["note"]) == ("customer-ada", "customer-ada called")
    read = "SELECT subject FROM audit WHERE action LIKE 'GET%' ORDER BY subject NULLS LAST"
    assert [row[0] for row in await door.query(read)] == ["customer-ada", None]


@pytest.mark.parametrize("path", ROUTES)
async def test_the_books_take_a_scope_of_finance(door, path):
    async with door.client("profile:read", "loyalty:write") as http:
        assert (await http.get(path)).status_code == 403


async def test_the_liability_is_what_members_hold_in_points_and_money(door):
    await lay_down(door, value={"minor": 1, "per_points": 3})
    await door.give(*on("2026-10-05", *Order("o1", lines=(line("1", 10_000),)).life()))
    await door.give(*on("2026-11-05", Order("o2", "bob").life()[1]))
    await spend(door, 40)

    found = await look(door, "/v1/ledger/liability")

    rows = {(row["store"], row["group"], row["cohort"]): row for row in found["rows"]}
    assert rows.keys() == {("web", "lots", "2026-10"), ("", "pending", None)}
    lots = rows["web", "lots", "2026-10"]
    assert (lots["points"], lots["minor"]) == (60, 20)
    assert (found["points"], found["minor"]) == (70, 23)
    assert found["basis"]["policy_version"] == 1
    assert (found["breakage_points"], found["basis"]["breakage_from"]) == (0, None)
    books = await look(door, "/v1/ledger/reconciliation")
    assert books["liability"] == found["points"]


async def test_breakage_is_counted_on_by_the_curve_of_the_closed_months(door):
    await lay_down(door, breakage={"method": "chain_ladder", "months_min": 2})
    await door.give(*on("2026-10-05", *Order("o1", lines=(line("1", 10_000),)).life()))
    first = await close(door, "2026-10")
    await spend(door, 40)
    await door.give(*on("2026-11-20", *Order("o2", "bob").life()))
    second = await close(door, "2026-11")

    found = await look(door, "/v1/ledger/liability")

    assert first["statement"]["curve"] is None, "one month is no experience"
    # Nobody redeems in the first month; of the older cohort 40 of 100 in the second.
    assert second["statement"]["curve"] == {"shares": ["0", "2/5"], "ultimate": "2/5"}
    by_cohort = {each["cohort"]: each for each in second["statement"]["lines"]}
    assert by_cohort["2026-10"]["breakage_points"] == 60
    assert by_cohort["2026-11"]["breakage_points"] == 6
    assert found["basis"]["breakage_from"] == "2026-11"
    assert found["breakage_points"] == 66
    vouchers = await door_text(door, "/v1/closings/2026-11/vouchers.csv")
    assert "points-breakage-allowance,0.66,," in vouchers


async def door_text(door, path):
    async with door.client("audit:read") as http:
        return (await http.get(path)).text


async def test_the_forecast_tells_what_expires_month_by_month(door):
    async with door.client("loyalty:admin") as http:
        body = {
            "starts_at": "2000-01-01T00:00:00Z",
            "expiry": {"after_months": 12, "round_to": "month"},
        }
        headers = {"Idempotency-Key": "p"}
        await http.put("/v1/programmes/default", json=body, headers=headers)
    await door.give(*on("2026-10-05", *Order("o1").life()))
    await door.give(*on("2026-11-05", *Order("o2", "bob").life()))

    found = await look(door, "/v1/ledger/forecast")

    months = [(m["month"], m["points_max"], m["points_expected"]) for m in found["months"]]
    assert months == [("2027-11", 10, 10), ("2027-12", 10, 10)]
    assert [m["minor_expected"] for m in found["months"]] == [10, 10]


async def test_what_each_rule_and_tier_was_given_is_told_with_its_expected_cost(door):
    await lay_down(door, value={"minor": 50, "per_points": 100})
    plan = {"starts_at": "2000-01-01T00:00:00Z", "tiers": [{"code": "basic", "threshold": 0}]}
    async with door.client("loyalty:admin") as http:
        headers = {"Idempotency-Key": "plan"}
        done = await http.put("/v1/tier-plans/default", json=plan, headers=headers)
        assert done.status_code == 200, done.text
    order = Order("o1", lines=(line("1", 1000), line("2", 500)))
    await door.give(*order.life())
    dearer = order.every(total_minor=2000, shipped=1, delivered=1)
    await door.give(dearer.event("order.changed", 5))

    found = await look(door, "/v1/ledger/costs", **{"from": "2000-01-01", "until": "2100-01-01"})

    cost = {"points": 40, "reversed": 0, "minor_expected": 20}
    assert found["rules"] == [{"source": "order", "name": "base", **cost}]
    assert found["tiers"] == [{"name": "basic", **cost}]
