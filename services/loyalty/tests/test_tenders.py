"""Orders that are paid in points: what their own events take, and what they give back."""

import pytest

from services.loyalty.tests.checkout import at, opened, paid_with, short
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
