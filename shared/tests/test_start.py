"""How a process begins while something is away, and how it ends when it cannot go on."""

import asyncio
import json

import httpx
import pytest

from shared.tests.harness import KafkaLog, Worker, eventually
from stack.ports import scratch
from tests.proxy import Proxy

ROLES = pytest.mark.parametrize("role", ["worker", "api"])


@pytest.fixture
async def away(infra):
    """PostgreSQL by way of a proxy that lets nobody through until it is healed."""
    async with Proxy(infra.postgres.port) as proxy:
        proxy.cut()
        yield proxy


@pytest.fixture
async def start(counting_settings, infra, tmp_path):
    """Start a process of this role against another port or database."""
    await KafkaLog(infra.kafka_servers).clear()
    processes = []

    def begin(role, *, port=infra.postgres.port, database="", **env):
        url = str(counting_settings.database_url).replace(f":{infra.postgres.port}/", f":{port}/")
        if database:
            url = f"{url.rsplit('/', 1)[0]}/{database}"
        (tmp_path / "secret").write_bytes(bytes(32))
        changed = {
            "database_url": url,
            "kafka_servers": infra.kafka_servers,
            "erasure_secret_file": tmp_path / "secret",
        }
        settings = counting_settings.model_copy(update=changed)
        processes.append(Worker(settings, tmp_path, role, role, **env))
        return processes[-1]

    yield begin
    for each in processes:
        if each.process.poll() is None:
            each.kill()


def lines(process):
    """All that it said; every line is JSON."""
    return [json.loads(line) for line in process.said().splitlines()]


async def waits(process):
    async def said():
        return any(line.get("part") == "postgresql" for line in lines(process))

    await eventually(said, why="it says that PostgreSQL is away")


@ROLES
async def test_it_waits_for_postgresql_live_and_not_ready(start, away, role):
    port = scratch("ops")["ops"]
    process = start(role, port=away.port, REGULARS_OPS_PORT=str(port))

    await waits(process)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as ops:
        live, ready = await ops.get("/livez"), await ops.get("/readyz")
        away.heal()

        async def becomes_ready():
            return (await ops.get("/readyz")).status_code == 200

        await eventually(becomes_ready)

    assert (live.status_code, ready.status_code) == (200, 503)
    assert ready.json()["parts"]["postgres"] != "ok"
    if role == "worker":
        await process.joined()
    assert await asyncio.to_thread(process.end) == 0  # the proxy lives in our loop


@ROLES
async def test_it_stops_while_it_waits(start, away, role):
    process = start(role, port=away.port)

    await waits(process)

    assert await asyncio.to_thread(process.end) == 0  # the proxy lives in our loop
    assert lines(process)


@ROLES
async def test_what_nobody_expected_ends_it_with_one_line_without_values(start, role):
    process = start(role, database="ada_lovelace")

    assert await process.exit_code() == 1

    last = lines(process)[-1]
    assert (last["event"], last["level"], last["sqlstate"]) == ("failed", "critical", "3D000")
    assert any("service.py" in frame for frame in last["frames"])
    assert "ada_lovelace" not in process.said()


def test_a_setting_that_is_not_json_is_named(counting_settings, tmp_path):
    process = Worker(counting_settings, tmp_path, REGULARS_CORS_ORIGINS="shop.example")

    assert process.process.wait(60) == 2
    assert "cors_origins" in process.said()
    assert "Traceback" not in process.said()
