"""Loyalty over HTTP: who may see what, and how it is told."""

import re

from services.loyalty.__main__ import SERVICE
from services.loyalty.tests.shop import Order, line, merged
from shared.http.auth import ROUTE_CHECKS
from shared.keys import dev_token


async def test_the_history_tells_every_posting_and_its_cause(door, ask):
    await door.give(*Order(lines=(line("1", 1000), line("2", 500))).life())

    newest, oldest = (await ask("/v1/accounts/ada/history"))["items"]

    assert (newest["kind"], oldest["kind"]) == ("activate", "earn")
    assert oldest["points"] == 15
    assert oldest["postings"] == [
        {"line": "1", "debit": "issued", "credit": "pending", "points": 10},
        {"line": "2", "debit": "issued", "credit": "pending", "points": 5},
    ]
    assert (oldest["document"], oldest["revision"]) == ("o1", 2)
    assert oldest["cause"] | {"partition": 0} == {
        "source": "shop",
        "id": "o1-2",
        "topic": "shop.orders.v1",
        "partition": 0,
        "offset": 1,
    }


async def test_the_history_has_pages(door, ask):
    await door.give(*[Order(f"o{n}").event("order.paid", n) for n in range(1, 8)])

    pages, cursor = [], ""
    while cursor is not None:
        page = await ask("/v1/accounts/ada/history", limit=3, cursor=cursor)
        pages.append([item["document"] for item in page["items"]])
        cursor = page["next"]

    assert pages == [["o7", "o6", "o5"], ["o4", "o3", "o2"], ["o1"]]


async def test_a_balance_as_of_a_time_is_of_what_had_happened_or_was_booked(door, ask):
    order = Order()
    placed, paid, *later = order.life()
    delivered = later[-1]
    await door.give(paid)
    booked_at = (await ask("/v1/accounts/ada/history"))["items"][0]["recorded_at"]
    await door.give(delivered)

    async def held(as_of, by="event", status=200):
        told = await ask("/v1/accounts/ada/balance", status=status, as_of=as_of, by=by)
        return (told["pending"], told["active"]) if status == 200 else told

    assert await held(placed.time.isoformat()) == (0, 0)
    assert await held(paid.time.isoformat()) == (10, 0)
    assert await held(delivered.time.isoformat()) == (0, 10)
    assert await held(paid.time.isoformat(), "recorded") == (0, 0), "nothing was booked yet"
    assert await held(booked_at, "recorded") == (10, 0), "the delivery was heard of later"
    assert "as_of" in str(await held("yesterday", status=422))
    assert "as_of" in str(await held("9999-12-31T23:59:59-14:00", status=400))
    await ask("/v1/accounts/bob/balance", status=404, as_of=booked_at)


async def test_an_order_tells_what_each_line_earned_and_by_which_rule(door, ask):
    order = Order(lines=(line("1", 1000, 2), line("2", 500), line("3", 400, kind="shipping")))
    await door.give(*order.life())
    gone = order.every(delivered="all").change("1", returned=1)
    await door.give(gone.event("order.returned", 5))

    told = await ask("/v1/orders/o1")

    first, second = told["lines"]
    assert (first["awarded"], first["active"], first["taken_back"]) == (10, 5, 5)
    assert (second["awarded"], second["active"], second["taken_back"]) == (5, 5, 0)
    [rule] = first["rules"]
    assert (rule["rule_id"], rule["rule_version"], rule["basis"]) == ("base", 1, 1000)
    assert rule["inputs"]["order_basis_minor"] == 1500
    assert [journal["kind"] for journal in told["journals"]] == ["earn", "activate", "reverse"]
    assert (told["verdict"], told["last_type"]) == ("earns", "order.returned")


async def test_an_event_tells_what_it_caused(door, ask):
    await door.give(*Order().life())

    told = await ask("/v1/events/shop/o1-2")

    [journal] = told["caused"]
    assert (journal["kind"], journal["order_id"], journal["points"]) == ("earn", "o1", 10)


async def test_what_is_not_there_is_not_found(ask):
    for path in ("/v1/accounts/ada", "/v1/orders/o1"):
        assert (await ask(path, status=404))["status"] == 404
    assert (await ask("/v1/accounts/ada/history"))["items"] == []


async def test_books_that_were_tampered_with_do_not_balance(door, ask):
    await door.give(*Order().life(), *Order("o2", "bob").life())
    async with door.engine.begin() as conn:
        await conn.exec_driver_sql("UPDATE balance SET active = active + 1")

    books = await ask("/v1/ledger/reconciliation")

    assert not books["balanced"]
    assert books["accounts_differing"] == len(books["accounts_differing_sample"]) == 2


async def test_the_books_tell_each_account_and_what_is_owed(door, ask):
    await door.give(*Order().life(), *Order("o2", "bob").life()[:2])

    books = await ask("/v1/ledger/reconciliation")

    held = {name: points for name, points in books["accounts"].items() if points}
    assert held == {"pending": 10, "active": 10, "issued": -20}
    assert (books["sum"], books["liability"], books["balanced"]) == (0, 20, True)
    assert (books["journals"], books["postings"]) == (3, 3)


async def test_one_reconciliation_at_a_time(door, ask):
    async with door.engine.begin() as conn:
        await conn.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtext('loyalty reconciliation'))"
        )
        refused = await ask("/v1/ledger/reconciliation", status=409)

    assert refused["type"] == "urn:regulars:problem:reconciliation-running"


async def test_a_key_without_the_scope_sees_nothing(door):
    await door.give(*Order().life())

    async with door.client("notify:read") as http:
        for path in ("/v1/accounts/ada", "/v1/orders/o1", "/v1/ledger/reconciliation"):
            assert (await http.get(path)).status_code == 403


async def seen(door, folder, sub, path):
    """Status and answer of a path, for a storefront's token of this customer."""
    async with door.client() as http:
        http.headers["Authorization"] = f"Bearer {dev_token(sub, folder)}"
        answer = await http.get(path)
        return answer.status_code, answer.json()


OWN = {
    "customer_id": "ada",
    "pending": 0,
    "active": 10,
    "reserved": 0,
    "owed": 0,
    "next_expiry_at": None,
}


async def test_a_storefront_sees_its_own_customer_and_nobody_else(door, tmp_path):
    await door.give(*Order().life(), *Order("o2", "bob").life())

    status, own = await seen(door, tmp_path, "ada", "/v1/accounts/ada")
    others = [
        await seen(door, tmp_path, "ada", path)
        for path in ("/v1/accounts/bob", "/v1/accounts/bob/history", "/v1/accounts/nobody")
    ]

    assert (status, own) == (200, OWN)
    assert {status for status, _ in others} == {404}
    assert len({answer["detail"] for _, answer in others}) == 1


def routes_for_storefronts():
    """Those whose path names the customer, and the others."""
    rules = [
        (method, route.path, route.openapi_extra)
        for router in SERVICE.routers
        for route in router.routes
        for method in route.methods
    ]
    mine = [(m, path) for m, path, rule in rules if rule["x-subject"] == "customer_id"]
    other = {(m, path) for m, path, rule in rules if rule["x-subject"] == ROUTE_CHECKS}
    by_token = {(m, path) for m, path, rule in rules if rule["x-storefront"]}
    return [each for each in mine if each in by_token], other & by_token


# What is asked for by another name: each has a test of its own with another member's token.
ELSEWHERE = {
    ("POST", "/v1/quotes"),
    ("GET", "/v1/tiers"),  # nobody's: what there is
    ("GET", "/v1/reservations/{reservation_id}"),
    ("POST", "/v1/reservations/{reservation_id}/cancel"),
}


async def test_no_route_tells_a_storefront_of_another_member(door, tmp_path):
    await door.give(*Order().life(), *Order("o2", "bob").life())
    mine, other = routes_for_storefronts()

    async with door.client() as http:
        http.headers["Authorization"] = f"Bearer {dev_token('ada', tmp_path)}"
        answers = [
            await http.request(
                method,
                re.sub(r"{\w+}", "x", path.replace("{customer_id}", "bob")),
                headers={"Idempotency-Key": "other"},
                json=None if method in {"GET", "DELETE"} else {},
            )
            for method, path in mine
        ]

    assert len(mine) > 15
    assert other == ELSEWHERE
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json()["detail"] for answer in answers}) == 1


async def test_a_storefront_cannot_ask_for_orders_or_the_books(door, tmp_path):
    await door.give(*Order().life())

    for path in ("/v1/orders/o1", "/v1/ledger/reconciliation"):
        assert (await seen(door, tmp_path, "ada", path))[0] == 403


async def test_the_next_one_at_the_browser_does_not_see_the_customers_points(door, tmp_path):
    both = ("ada", "anon:1")
    await door.give(*Order("o1", "ada").life(), *Order("o2", "anon:1").life())
    await door.give(*[merged(one, "ada", both) for one in both])

    _, customer = await seen(door, tmp_path, "ada", "/v1/accounts/ada")
    _, browser = await seen(door, tmp_path, "anon:1", "/v1/accounts/anon:1")
    _, history = await seen(door, tmp_path, "anon:1", "/v1/accounts/anon:1/history")

    assert (customer["active"], browser["active"]) == (20, 10)
    assert {item["document"] for item in history["items"]} == {"o2"}


async def test_every_read_by_a_key_is_in_the_audit_log(door):
    await door.give(*Order().life())
    async with door.client() as http:
        for path in ("/v1/accounts/ada", "/v1/accounts/ada/history", "/v1/orders/o1"):
            await http.get(path)

    logged = await door.query("SELECT action, subject FROM audit ORDER BY id")

    assert [tuple(row) for row in logged] == [
        ("GET /v1/accounts/{customer_id}", "ada"),
        ("GET /v1/accounts/{customer_id}/history", "ada"),
        ("GET /v1/orders/{order_id}", "ada"),
    ]
