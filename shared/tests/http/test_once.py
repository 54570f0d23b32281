"""One effect and one answer for one Idempotency-Key."""

import asyncio
from contextlib import suppress

import pytest
import uvicorn
from sqlalchemy import text


def keyed(headers, key="k1"):
    return {**headers, "Idempotency-Key": key}


async def visits(api, customer="ada"):
    rows = await api.query("SELECT events FROM tally WHERE customer_id = :id", id=customer)
    return rows[0].events if rows else 0


async def test_a_repeat_gets_the_same_answer_and_has_no_second_effect(api):
    headers = keyed(api.key("profile:write"))

    async with api.client as client:
        first = await client.post("/v1/visits/ada", json={"visits": 2}, headers=headers)
        again = await client.post("/v1/visits/ada", json={"visits": 2}, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content == b'{"customer_id":"ada","visits":2}'
    assert again.headers["location"] == first.headers["location"] == "/v1/visits/ada"
    assert again.headers["content-type"] == "application/json"
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await visits(api) == 2


async def test_two_at_once_have_one_effect(api):
    headers = keyed(api.key("profile:write"))
    body = {"visits": 1, "wait_ms": 150}

    async with api.client as client:
        sent = [client.post("/v1/visits/ada", json=body, headers=headers) for _ in range(3)]
        answers = await asyncio.gather(*sent)

    busy = [answer for answer in answers if answer.status_code == 409]
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert all(answer.headers["retry-after"] == "1" for answer in busy)
    assert busy[0].json()["type"] == "urn:regulars:problem:in-progress"
    assert await visits(api) == 1


async def test_keys_of_two_callers_do_not_meet(api):
    one, other = keyed(api.key("profile:write")), keyed(api.key("profile:write"))

    async with api.client as client:
        for headers in (one, other):
            answer = await client.post("/v1/visits/ada", json={"visits": 1}, headers=headers)
            assert answer.status_code == 201

    assert await visits(api) == 2


@pytest.mark.parametrize(("fate", "status"), [("conflict", 409), ("forbidden", 403)])
async def test_a_refusal_stays_a_refusal_and_leaves_nothing(api, fate, status):
    headers = keyed(api.key("profile:write"))
    body = {"visits": 5, "then": fate}

    async with api.client as client:
        first = await client.post("/v1/visits/ada", json=body, headers=headers)
        again = await client.post("/v1/visits/ada", json=body, headers=headers)

    assert (first.status_code, again.status_code) == (status, status)
    assert first.json() == again.json()
    assert again.headers["content-type"] == "application/problem+json"
    assert again.headers["idempotent-replayed"] == "true"
    assert await visits(api) == 0
    assert await api.query("SELECT * FROM audit") == []


@pytest.mark.parametrize(("fate", "status"), [("unavailable", 503), ("bug", 500)])
async def test_what_says_nothing_of_the_request_is_not_stored(api, fate, status):
    headers = keyed(api.key("profile:write"))

    async with api.client as client:
        failed = await client.post(
            "/v1/visits/ada", json={"visits": 5, "then": fate}, headers=headers
        )
        done = await client.post("/v1/visits/ada", json={"visits": 1}, headers=headers)

    assert (failed.status_code, done.status_code) == (status, 201)
    assert await visits(api) == 1


async def test_a_key_belongs_to_one_body_and_query(api):
    headers = keyed(api.key("profile:write"))

    async with api.client as client:
        await client.post("/v1/visits/ada", json={"visits": 1}, headers=headers)
        body = await client.post("/v1/visits/ada", json={"visits": 2}, headers=headers)
        query = await client.post("/v1/visits/ada?x=1", json={"visits": 1}, headers=headers)

    assert (body.status_code, query.status_code) == (422, 422)
    assert body.json()["type"] == "urn:regulars:problem:key-reused"
    assert await visits(api) == 1


async def test_a_write_without_a_proper_key_says_what_to_send(api):
    headers = api.key("profile:write")

    async with api.client as client:
        for key in ({}, keyed({}, ""), keyed({}, "x" * 256), keyed({}, "with space")):
            answer = await client.post("/v1/visits/ada", json={"visits": 1}, headers=headers | key)

            assert answer.status_code == 400
            assert "Idempotency-Key" in answer.json()["detail"]
    assert await visits(api) == 0


async def test_an_effect_and_its_audit_row_commit_together(api):
    headers = keyed(api.key("profile:write")) | {"X-Request-Id": "request-42"}

    async with api.client as client:
        await client.post("/v1/visits/ada", json={"visits": 2}, headers=headers)

    [row] = await api.query("SELECT caller, action, subject, request_id, detail FROM audit")
    assert row.caller == f"key:{api.lines[0].id}"
    assert row.action == "POST /v1/visits/{customer_id}"
    assert (row.subject, row.request_id) == ("ada", "request-42")
    assert row.detail in ({"visits": 2}, '{"visits": 2}')


async def test_time_up_rolls_back_whole_and_the_key_is_free_again(make_api):
    async with make_api(request_max_s=2) as api, api.client as client:
        headers = keyed(api.key("profile:write"))

        late = await client.post(
            "/v1/visits/ada", json={"visits": 1, "wait_ms": 4_000}, headers=headers
        )
        done = await client.post("/v1/visits/ada", json={"visits": 1}, headers=headers)

        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert done.status_code == 201
        assert await visits(api) == 1


async def test_cancelled_anywhere_it_has_happened_once_or_not_at_all(api):
    headers = api.key("profile:write")

    async with api.client as client:
        for number in range(30):
            sent = client.post(
                f"/v1/visits/c{number}", json={"visits": 1}, headers=keyed(headers, f"k{number}")
            )
            task = asyncio.create_task(sent)
            await asyncio.sleep(number * 0.0005)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

            before = await visits(api, f"c{number}")
            answer = await client.post(
                f"/v1/visits/c{number}", json={"visits": 1}, headers=keyed(headers, f"k{number}")
            )

            assert answer.status_code == 201
            assert ("idempotent-replayed" in answer.headers) == (before == 1)
            assert await visits(api, f"c{number}") == 1


async def test_a_client_that_is_gone_finds_its_answer_when_it_returns(api, unused_tcp_port):
    headers = keyed(api.key("profile:write"))
    config = uvicorn.Config(api.app, port=unused_tcp_port, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110  uvicorn tells no other way
        await asyncio.sleep(0.01)
    body = b'{"visits":1,"wait_ms":300}'
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = (
        f"POST /v1/visits/ada HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"{head}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    _, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
    writer.write(request)
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await asyncio.sleep(0.6)
    async with api.client as client:
        again = await client.post(
            "/v1/visits/ada", json={"visits": 1, "wait_ms": 300}, headers=headers
        )
    server.should_exit = True
    await serving

    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert await visits(api) == 1


async def test_an_answer_that_came_between_look_and_lock_leaves_nothing_of_the_second(api):
    headers = keyed(api.key("profile:write"))
    body = {"visits": 1, "wait_ms": 500}
    path = "/v1/visits/ada"

    async with api.client as client:
        sent = asyncio.create_task(client.post(path, json=body, headers=headers))
        await asyncio.sleep(0.2)
        async with api.context.engine.begin() as conn:
            await conn.execute(
                text("""
                    INSERT INTO stored_answer
                        (caller, method, path, key, fingerprint, status, headers, body)
                    VALUES (:caller, 'POST', :path, 'k1', '', 201, '{}', '')
                """),
                {"caller": f"key:{api.lines[0].id}", "path": path},
            )
        answer = await sent

    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:regulars:problem:in-progress"
    assert await visits(api) == 0
