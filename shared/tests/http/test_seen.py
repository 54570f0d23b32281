"""What became of one event, in any service."""

from dataclasses import replace
from urllib.parse import quote

import pytest

from shared.tests.test_batch import order


async def test_a_seen_event_tells_where_it_stood(door):
    await door.give(order(1))

    async with door.client("events:read") as client:
        answer = (await client.get("/v1/events/shop/e1")).json()

    assert (answer["source"], answer["id"]) == ("shop", "e1")
    [seen] = answer["seen"]
    placed = door.log.messages[0]
    assert (seen["topic"], seen["partition"]) == (placed.topic, placed.partition)
    assert (seen["consumer"], seen["offset"]) == ("profile", placed.offset)
    assert answer["dead_letters"] == []


@pytest.mark.parametrize("source", ["https://shop.example/eu", "urn:shop:1", "a/b//c", "é #?&%"])
async def test_any_source_can_be_asked_for(door, source):
    await door.give(replace(order(1), source=source, id="o/1?"))

    async with door.client("events:read") as client:
        by_query = await client.get("/v1/events", params={"source": source, "id": "o/1?"})
        unsaid = await client.get("/v1/events", params={"source": source})

    assert by_query.status_code == 200
    assert by_query.json()["source"] == source
    assert unsaid.status_code == 422


async def test_a_source_with_slashes_and_colons_goes_in_a_path(door):
    await door.give(replace(order(1), source="https://shop.example/eu"))

    async with door.client("events:read") as client:
        plain = await client.get("/v1/events/https://shop.example/eu/e1")
        quoted = await client.get(f"/v1/events/{quote('https://shop.example/eu', safe='')}/e1")

    assert plain.json() == quoted.json()
    assert plain.json()["seen"]


async def test_a_dead_letter_is_shown_with_its_reason(door):
    message = door.log.append(order(1))
    await door.handle([door.log.add(replace(message, value=b'{"total_minor": "x"}'))])

    async with door.client("events:read") as client:
        answer = (await client.get("/v1/events/shop/e1")).json()

    [letter] = answer["dead_letters"]
    assert letter["state"] == "open"
    assert "order_id: Field required" in letter["reason"]
    assert answer["seen"] == []


async def test_what_nobody_has_seen_is_404(door):
    async with door.client("events:read") as client:
        answer = await client.get("/v1/events/shop/nothing")

    assert answer.status_code == 404


async def test_it_takes_a_key_with_the_scope(door):
    async with door.client("profile:read") as client:
        assert (await client.get("/v1/events/shop/e1")).status_code == 403


async def test_what_an_event_caused_is_told(api):
    async with api.client as client:
        answer = await client.get("/v1/events/shop/e1", headers=api.key("events:read"))

    assert answer.json()["caused"] == [{"kind": "visit", "of": "e1"}]
