"""Failures as problems, limits, headers, pages and preconditions."""

import asyncio
import json
from datetime import datetime

import pytest
from fastapi import APIRouter
from prometheus_client import REGISTRY

from shared.errors import BadRequest, TooManyRequests
from shared.http import paging
from shared.http.auth import PUBLIC, needs
from shared.http.rate import Limiter
from shared.http.shell import BODY_MAX_BYTES
from shared.keys import dev_token


async def test_unknown_addresses_and_methods_are_problems(api):
    async with api.client as client:
        nowhere = await client.get("/v1/nowhere")
        method = await client.delete("/v1/visits/public")

    assert (nowhere.status_code, method.status_code) == (404, 405)
    assert nowhere.json()["type"] == "urn:regulars:problem:not-found"
    assert method.json()["type"] == "urn:regulars:problem:method-not-allowed"
    assert "allow" in method.headers


async def test_wrong_fields_are_named_with_what_to_do(api):
    headers = api.key("profile:write") | {"Idempotency-Key": "k"}

    async with api.client as client:
        bodies = [{"visits": 0, "vists": 1}, {}]
        wrong, empty = [
            await client.post("/v1/visits/ada", json=b, headers=headers) for b in bodies
        ]
        text = await client.post(
            "/v1/visits/ada",
            content=b'{"visits',
            headers={**headers, "Content-Type": "application/json"},
        )
        id_ = await client.post("/v1/visits/a@b", json={"visits": 1}, headers=headers)

    assert {answer.status_code for answer in (wrong, empty, text, id_)} == {422}
    fields = {error["field"]: error["problem"] for error in wrong.json()["errors"]}
    assert fields["body.vists"] == "is not a field of this request; remove it"
    assert "greater than or equal to 1" in fields["body.visits"]
    assert empty.json()["errors"][0]["field"] == "body.visits"
    assert text.json()["errors"][0]["problem"].startswith("is not JSON at character")
    assert id_.json()["errors"][0]["field"] == "path.customer_id"
    assert wrong.json()["type"] == "urn:regulars:problem:unprocessable"


async def test_our_faults_tell_nothing_of_our_insides(api):
    async with api.client as client:
        answer = await client.get("/v1/visits/broken", headers={"X-Request-Id": "find-me-1"})

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "KeyError" not in answer.text
    assert answer.headers["x-request-id"] == "find-me-1"


async def test_what_will_pass_is_503_with_retry_after(make_api):
    async with make_api(database_pool_max=1, hot_pool_max=1) as api, api.client as client:
        headers = api.key("profile:write", "profile:read", "ops:read")

        async with api.context.engine.connect():  # the whole pool
            full = await client.get("/v1/visits/all", headers=headers)
        await api.context.hot.expire_connections()
        async with api.context.hot.acquire() as conn:
            conn.terminate()
        lost = await client.get("/v1/visits/ada", headers=headers)
        again = await client.get("/v1/visits/ada", headers=headers)

    assert (full.status_code, full.headers["retry-after"]) == (503, "1")
    assert lost.status_code in {404, 503}
    assert again.status_code == 404


async def test_a_request_that_takes_too_long_is_cut(make_api):
    async with make_api(request_max_s=0.2) as api, api.client as client:
        answer = await client.get("/v1/visits/slow")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_a_route_may_ask_for_more_time_and_is_cut_after_that(make_api):
    patient = APIRouter()
    for path, seconds in (("/v1/short", 0.3), ("/v1/long", 5)):
        extra = needs(PUBLIC, seconds_max=seconds)
        patient.get(path, openapi_extra=extra)(get_after_half_a_second)
    async with make_api(request_max_s=0.1, routers=(patient,)) as api, api.client as client:
        short, long = await client.get("/v1/short"), await client.get("/v1/long")

    assert (short.status_code, long.status_code) == (503, 200)


async def get_after_half_a_second() -> None:
    await asyncio.sleep(0.5)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(api, chunked):
    big = b'{"visits": 1, "then": "' + b"x" * BODY_MAX_BYTES + b'"}'

    async def chunks():
        for start in range(0, len(big), 65_536):
            yield big[start : start + 65_536]

    headers = api.key("profile:write") | {
        "Idempotency-Key": "k",
        "Content-Type": "application/json",
    }
    async with api.client as client:
        answer = await client.post(
            "/v1/visits/ada", content=chunks() if chunked else big, headers=headers
        )

    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:regulars:problem:too-large"
    assert str(BODY_MAX_BYTES) in answer.json()["detail"]


async def test_text_that_the_database_cannot_hold_is_the_callers_fault(api):
    async with api.client as client:
        for path in ("/v1/visits/a%00b", "/v1/visits/of?customer_id=a%00b"):
            answer = await client.get(path, headers=api.key("profile:read"))

            assert answer.status_code == 400


async def test_a_nul_that_reaches_the_database_is_the_callers_fault(api):
    nul = paging.Cursor(tuple[str]).encode(("\0",))

    async with api.client as client:
        answer = await client.get(f"/v1/visits/all?cursor={nul}", headers=api.key("ops:read"))

    assert answer.status_code == 422
    assert "NUL" in answer.json()["detail"]


@pytest.mark.parametrize("place", [10**30, -(2**63) - 1, "0001-01-01T00:00:00+14:00"])
def test_a_cursor_out_of_the_databases_range_is_the_callers_fault(place):
    kind = datetime if isinstance(place, str) else int
    forged = paging.Cursor(tuple[type(place)]).encode((place,))

    with pytest.raises(BadRequest, match="as it is"):
        paging.Cursor(tuple[kind]).decode(forged)


async def test_every_answer_has_the_safe_headers(api):
    async with api.client as client:
        answers = [
            await client.get("/v1/visits/public"),
            await client.get("/v1/visits/all"),
            await client.get("/v1/nowhere"),
            await client.get("/v1/visits/broken"),
        ]

    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert len(answer.headers["x-request-id"]) == 32
        assert "server" not in answer.headers


async def test_a_request_id_that_could_forge_a_log_is_replaced(api):
    async with api.client as client:
        for forged in ("a b c d e f", "x", "a" * 65, 'abcdefgh"},{"level":"info'):
            answer = await client.get("/v1/visits/public", headers={"X-Request-Id": forged})

            assert answer.headers["x-request-id"] != forged


async def test_browsers_of_other_sites_are_kept_out_unless_listed(make_api):
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}

    async with make_api() as api, api.client as client:
        closed = await client.options("/v1/visits/public", headers=preflight)
    async with make_api(cors_origins=("https://shop.example",)) as api, api.client as client:
        opened = await client.options("/v1/visits/public", headers=preflight)
        strange = await client.options(
            "/v1/visits/public", headers=preflight | {"Origin": "https://evil.example"}
        )
        refused = await client.get("/v1/visits/all", headers={"Origin": "https://shop.example"})

    assert "access-control-allow-origin" not in closed.headers
    assert opened.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in strange.headers
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"


async def test_requests_are_timed_by_route_and_not_by_address(api):
    def count(route, status):
        labels = {"route": route, "method": "GET", "status": str(status)}
        return REGISTRY.get_sample_value("http_server_request_duration_seconds_count", labels) or 0

    before = count("/v1/visits/{customer_id}", 404), count("unmatched", 404)
    async with api.client as client:
        await client.get("/v1/visits/ada", headers=api.key("profile:read"))
        await client.get("/v1/nowhere/ada")

    assert count("/v1/visits/{customer_id}", 404) == before[0] + 1
    assert count("unmatched", 404) == before[1] + 1


async def test_pages_follow_each_other_to_the_end(api):
    headers = api.key("profile:write", "ops:read")
    async with api.client as client:
        for number in range(5):
            sent = headers | {"Idempotency-Key": f"k{number}"}
            await client.post(f"/v1/visits/c{number}", json={"visits": 1}, headers=sent)

        seen, cursor = [], ""
        while cursor is not None:
            page = (await client.get(f"/v1/visits/all?cursor={cursor}", headers=headers)).json()
            seen += [item["customer_id"] for item in page["items"]]
            cursor = page["next"]

    assert seen == ["c0", "c1", "c2", "c3", "c4"]


async def test_a_wrong_cursor_is_named(api):
    headers = api.key("ops:read")

    async with api.client as client:
        for cursor in ("x", "!!!!", "bm90IGpzb24", "WzEsMl0", "é"):
            answer = await client.get("/v1/visits/all", params={"cursor": cursor}, headers=headers)

            assert answer.status_code == 400
            assert answer.json()["detail"].startswith("cursor")


async def test_two_editors_do_not_undo_each_other_unseen(api):
    headers = api.key("profile:write", "profile:read")
    async with api.client as client:
        await client.post(
            "/v1/visits/ada", json={"visits": 1}, headers=headers | {"Idempotency-Key": "k"}
        )
        etag = (await client.get("/v1/visits/ada", headers=headers)).headers["etag"]

        blind = await client.put("/v1/visits/ada", json={"visits": 5}, headers=headers)
        first = await client.put(
            "/v1/visits/ada", json={"visits": 5}, headers=headers | {"If-Match": etag}
        )
        second = await client.put(
            "/v1/visits/ada", json={"visits": 9}, headers=headers | {"If-Match": etag}
        )

    assert [blind.status_code, first.status_code, second.status_code] == [428, 204, 412]


async def test_the_openapi_document_tells_of_scopes_and_problems(api):
    async with api.client as client:
        document = (await client.get("/openapi.json")).json()

    operation = document["paths"]["/v1/visits/{customer_id}"]["get"]
    assert operation["security"] == [{"apiKey": ["profile:read"]}, {"storefront": []}]
    assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert "422" not in operation["responses"]
    assert json.dumps(document).count("HTTPValidationError") == 0


def test_a_caller_may_burst_a_second_and_then_keeps_its_rate():
    now = 0.0
    limiter = Limiter(lambda: now)
    for _ in range(10):
        limiter.take("a", 10)
    with pytest.raises(TooManyRequests):
        limiter.take("a", 10)
    limiter.take("b", 10)

    passed = 0
    for step in range(1, 1001):
        now = step / 100
        try:
            limiter.take("a", 10)
        except TooManyRequests:
            continue
        passed += 1

    assert passed == 100


async def test_reads_by_keys_are_recorded_and_a_customers_own_are_not(api, tmp_path):
    async with api.client as client:
        own = {"Authorization": f"Bearer {dev_token('ada', tmp_path)}"}
        await client.get("/v1/visits/ada", headers=own)
        await client.get("/v1/visits/ada", headers=api.key("profile:read"))
        await client.get("/v1/visits/of?customer_id=bob", headers=api.key("profile:read"))
        await api.app.state.reads.flush()

    rows = await api.query("SELECT caller, action, subject FROM audit ORDER BY id")
    assert [(row.action, row.subject) for row in rows] == [
        ("GET /v1/visits/{customer_id}", "ada"),
        ("GET /v1/visits/of", "bob"),
    ]
    assert {row.caller for row in rows} == {f"key:{line.id}" for line in api.lines}


async def test_reads_are_written_every_second(api):
    async with api.client as client:
        await client.get("/v1/visits/ada", headers=api.key("profile:read"))
        await asyncio.sleep(1.3)

    assert len(await api.query("SELECT * FROM audit")) == 1


async def test_reads_wait_while_the_database_is_away(api, infra):
    reads, headers = api.app.state.reads, api.key("profile:read")
    async with api.client as client:
        await asyncio.to_thread(infra.postgres.kill)
        try:
            away = await client.get("/v1/visits/ada", headers=headers)
            await reads.flush()
        finally:
            await asyncio.to_thread(infra.postgres.start)
        await reads.flush()
        back = await client.get("/v1/visits/ada", headers=headers)

    assert (away.status_code, back.status_code) == (503, 404)
    assert len(await api.query("SELECT * FROM audit")) >= 1


async def test_reads_that_could_not_be_recorded_are_refused(api, monkeypatch):
    monkeypatch.setattr("shared.http.audit.READS_MAX", 0)

    async with api.client as client:
        answer = await client.get("/v1/visits/ada", headers=api.key("profile:read"))

    assert answer.status_code == 503


async def test_no_asked_id_can_spoil_the_audit(api):
    async with api.client as client:
        for asked in ("x" * 300, "a\nb", "\ud7ff"):
            params = {"customer_id": asked}
            await client.get("/v1/visits/of", params=params, headers=api.key("profile:read"))
        await api.app.state.reads.flush()

    rows = await api.query("SELECT subject FROM audit ORDER BY id")
    assert [row.subject for row in rows] == ["x" * 200, "a\nb", "\ud7ff"]
