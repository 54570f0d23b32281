"""Orders that are paid in points: what their own events take, and what they give back."""

import asyncio
from dataclasses import replace

import pytest

from services.loyalty.tests.checkout import at, events, opened, paid_with, short
from services.loyalty.tests.test_worker import balanced


@pytest.fixture
async def shop(door):
    async with opened(door) as checkout:
        yield checkout


async def set_rate(shop, points_per_unit):
    """From now on so many points are worth 1.00."""
    path, body = "/v1/programmes/default", {"redemption": {"points_per_unit": points_per_unit}}
    etag = (await shop.http.get(path)).headers["ETag"]
    headers = {"Idempotency-Key": f"rate-{points_per_unit}", "If-Match": etag}
    answer = await shop.http.put(path, json=body, headers=headers)
    assert answer.status_code < 300, answer.text


@pytest.mark.parametrize("points_per_unit", [50, 200])
async def test_points_are_taken_and_given_back_as_agreed_whatever_the_rate_is_by_then(
    shop, door, ask, points_per_unit
):
    whole, part, late = await shop.reserve(40), await shop.reserve(40), await shop.reserve(20)
    await shop.cancel(late)
    await set_rate(shop, points_per_unit)

    for one, order_id, amount_minor in ((whole, "o2", 40), (part, "o3", 30), (late, "o4", 20)):
        await door.give(at(paid_with(one, order_id, amount_minor).event("order.paid", 1), hours=1))
    taken = [(await shop.look(one))["confirmed"] for one in (whole, part, late)]
    half = paid_with(part, "o3", 30).every(delivered=4, returned=2)
    await door.give(at(half.event("order.returned", 2), hours=2))

    assert taken == [40, 30, 20]
    assert (await shop.look(part))["given_back"] == 15
    told = await door.published()
    assert short(told) == []
    amounts = [e.data.amount_minor for e in told if e.type == "points.redeemed"]
    assert amounts == [40, 30, 20]
    await balanced(ask)


async def test_what_a_tender_takes_beyond_its_reservation_is_told_at_the_agreed_rate(shop, door):
    one = await shop.reserve(40)
    await set_rate(shop, 200)

    await door.give(at(paid_with(one, "o2", 70).event("order.paid", 1), hours=1))
    made_up = paid_with({"id": "made-up"}, "o3", 70)
    await door.give(at(made_up.event("order.paid", 1), hours=1))

    assert short(await door.published()) == [
        ("o2", 30, "too_few"),
        ("o3", 140, "unknown_reservation"),
    ]


async def test_a_part_of_what_was_set_aside_is_priced_by_the_rate_and_not_by_its_rounded_sum(
    shop, door
):
    await set_rate(shop, 150)
    event, http = await shop.reserve(50), await shop.reserve(50)  # each worth a third of 1.00
    await set_rate(shop, 100)

    await shop.confirm(http, points=45, order_id="o3")
    await door.give(at(paid_with(event, "o2", 30).event("order.paid", 1), hours=1))
    await door.give(at(paid_with(http, "o3", 30).event("order.paid", 1), hours=1))

    assert [(await shop.look(one))["confirmed"] for one in (event, http)] == [45, 45]
    assert short(await door.published()) == []


async def test_a_test_order_frees_its_points_when_it_is_paid_and_spends_none(shop, door, ask):
    one = await shop.reserve(60)
    order = paid_with(one)
    await door.give(at(order.event("order.placed", 1, test=True)))
    before = (await shop.look(one))["state"]

    paid = at(order.event("order.paid", 2, test=True))
    await door.give(paid)
    await door.give(replace(paid, id="again"), at(order.event("order.shipped", 3, test=True)))

    assert (before, (await shop.look(one))["state"]) == ("reserved", "test_order")
    assert await shop.held() == (100, 0)
    refused = [await shop.confirm(one, 409, order_id="o2"), await shop.cancel(one, 409)]
    assert [answer["type"].rsplit(":", 1)[-1] for answer in refused] == ["of-test-order"] * 2
    later = order.every(cancelled="all", refunded_minor=400)
    await door.give(at(later.event("order.cancelled", 4, test=True)))
    await door.give(at(later.event("order.refunded", 5, test=True)))
    assert await door.published() == []
    assert await shop.held() == (100, 0)
    assert (await balanced(ask))["accounts"].get("redeemed", 0) == 0


async def test_a_test_order_that_was_confirmed_over_http_gives_all_back(shop, door, ask):
    bound, unbound = await shop.reserve(60), await shop.reserve(40)
    await shop.confirm(bound, order_id="o2")
    await shop.confirm(unbound)
    await door.published()

    for one, id_ in ((bound, "o2"), (unbound, "o3")):
        order = paid_with(one, id_, one["points"])
        await door.give(at(order.event("order.paid", 1, test=True)))
        await door.give(at(order.event("order.shipped", 2, test=True)))

    given_back = [(await shop.look(one))["given_back"] for one in (bound, unbound)]
    assert given_back == [60, 40]
    assert events(await door.published()) == [("points.reversed", 60), ("points.reversed", 40)]
    assert await shop.held() == (100, 0)
    await balanced(ask)


async def test_a_test_order_with_points_that_are_not_its_own_is_told_nothing_of(shop, door, ask):
    late, others = await shop.reserve(30), await shop.reserve(30)
    await shop.cancel(late)
    await shop.confirm(others, order_id="o9")
    await door.published()

    for number, one in enumerate((late, others, {"id": "made-up"})):
        order = paid_with(one, f"t{number}", 30)
        await door.give(at(order.event("order.paid", 1, test=True)))

    assert await door.published() == []
    assert await shop.held() == (70, 0)
    await balanced(ask)


async def test_an_order_that_turns_out_to_be_no_test_or_one_is_spent_or_given_back(shop, door, ask):
    first, second = await shop.reserve(40), await shop.reserve(60)
    real, mere = paid_with(first, "o2", 40), paid_with(second, "o3", 60)

    await door.give(at(real.event("order.paid", 1, test=True)), at(mere.event("order.paid", 1)))
    await door.give(at(real.event("order.shipped", 2)))
    await door.give(at(mere.event("order.shipped", 2, test=True)))

    assert [(await shop.look(one))["given_back"] for one in (first, second)] == [0, 60]
    assert await shop.held() == (60, 0)
    await balanced(ask)


async def test_a_test_order_confirmed_and_paid_at_once_spends_nothing(shop, door, ask):
    for number in range(5):
        one = await shop.reserve(10)
        order_id = f"race-{number}"
        paid = at(paid_with(one, order_id, 10).event("order.paid", 1, test=True))
        path, body = f"/v1/reservations/{one['id']}/confirm", {"order_id": order_id}
        await asyncio.gather(shop.post(path, body, key=f"c{number}"), door.give(paid))

    assert await shop.held() == (100, 0)
    assert (await balanced(ask))["accounts"].get("redeemed", 0) == 0


def spendings(found):
    """What is told of points spent, missing and given back; not of those that orders earn."""
    told = {"points.redeemed", "points.shortfall"}
    kept = [e for e in found if e.type in told or getattr(e.data, "direction", "") == "given_back"]
    return events(kept)


def unpaid(order):
    """The order before its money is there: only its points are named."""
    return {"tenders": order.more["tenders"][:1]}


async def test_of_an_order_that_is_cancelled_in_part_only_what_remains_is_spent_and_told_once(
    shop, door, ask
):
    one = await shop.reserve(60)
    order = paid_with(one).every(cancelled=1)
    await door.give(at(order.event("order.cancelled", 2, **unpaid(order))))

    told = await shop.look(one)
    assert (told["state"], told["confirmed"], told["given_back"]) == ("confirmed", 60, 15)
    assert await shop.held() == (55, 0)
    again = await shop.confirm(one, order_id="o2")
    assert again == told
    await door.give(at(order.event("order.paid", 3)))
    assert spendings(await door.published()) == [("points.redeemed", 45)]

    await door.give(at(order.every(returned=1).event("order.returned", 4)))
    await door.give(at(order.every(returned=3).event("order.returned", 5)))
    given_back = [("points.reversed", 15), ("points.reversed", 30)]
    assert spendings(await door.published()) == given_back
    assert await shop.held() == (100, 0)
    assert (await balanced(ask))["accounts"]["redeemed"] == 0


async def test_an_order_cancelled_whole_with_counts_before_it_is_paid_tells_nothing(shop, door):
    one = await shop.reserve(60)
    order = paid_with(one).every(cancelled=4)

    await door.give(at(order.event("order.cancelled", 2, **unpaid(order))))
    await door.give(at(order.event("order.changed", 3, **unpaid(order))))
    await door.give(at(order.every(refunded_minor=400).event("order.refunded", 4)))

    assert (await shop.look(one))["state"] == "cancelled"
    assert await shop.held() == (100, 0)
    assert spendings(await door.published()) == []


async def test_of_an_order_that_pays_late_and_is_cancelled_in_part_no_more_is_spent_than_remains(
    shop, door, ask
):
    late = await shop.reserve(60)
    await shop.cancel(late)
    await shop.confirm(await shop.reserve(80), order_id="o9")
    await door.published()

    half = paid_with(late).every(cancelled=2)
    await door.give(at(half.event("order.paid", 2)))
    told = [("points.redeemed", 20), ("points.shortfall", 10)]
    assert spendings(await door.published()) == told

    await door.give(at(half.every(returned=2).event("order.returned", 3)))
    after = await shop.look(late)
    assert (after["confirmed"], after["given_back"]) == (50, 50)
    assert await shop.held() == (20, 0)
    await balanced(ask)
