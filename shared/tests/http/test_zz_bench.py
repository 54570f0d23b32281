import time, cProfile, pstats
from fastapi import FastAPI
from fastapi.responses import Response
from shared.http.context import context_of

def scope(app, headers):
    return {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/v1/visits/ada", "raw_path": b"/v1/visits/ada", "query_string": b"", "root_path": "", "scheme": "http", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}

async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}
async def send(message):
    if message["type"] == "http.response.start":
        assert message["status"] == 200, message

async def run(app, headers, n):
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(n):
        await app(scope(app, headers), receive, send)
    return (time.process_time() - cpu) / n * 1e6

async def test_bench(api):
    from shared import tracing
    tracing.start(api.context.settings)
    h = api.key("profile:read", "profile:write", rate=1_000_000)
    async with api.client as client:
        await client.post("/v1/visits/ada", json={"visits": 1}, headers=h | {"Idempotency-Key": "k"})
    headers = [(b"host", b"x"), (b"accept", b"*/*"), (b"user-agent", b"wrk"), (b"authorization", h["Authorization"].encode())]
    bare = FastAPI()
    pool = api.context.hot
    from shared.tests.http.conftest import GET, VisitsView
    @bare.get("/v1/visits/{customer_id}")
    async def get(customer_id: str) -> Response:
        row = await pool.fetchrow(GET, customer_id)
        return Response(VisitsView(customer_id=customer_id, visits=row["events"]).model_dump_json())
    for _ in range(3):
        b = await run(bare, headers, 3000)
        o = await run(api.app, headers, 3000)
        print(f"bare {b:.0f} us, ours {o:.0f} us, ratio {b/o:.2f}")
    p = cProfile.Profile(); p.enable()
    await run(api.app, headers, 3000)
    p.disable()
    pstats.Stats(p).sort_stats("tottime").print_stats(30)
