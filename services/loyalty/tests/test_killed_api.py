"""kill -9 of the API in the middle of a confirmation, and after it, before its answer is read."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy import text

from services.loyalty.tests.shop import Order, line
from services.loyalty.tests.test_worker import balanced
from shared.keys import new_key
from shared.testing import SECRET
from shared.tests.harness import eventually
from stack.ports import scratch


@pytest.fixture
def token(tmp_path):
    """The checkout's, whichever process answers it."""
    token, key = new_key(scopes=["loyalty:read", "loyalty:write"])
    (tmp_path / "checkout.json").write_text(json.dumps({"keys": [key.model_dump(mode="json")]}))
    return token


@asynccontextmanager
async def api(door, folder, token):
    """The API as a process; kill it, or it ends with the block."""
    keys, [port] = folder / "checkout.json", scratch("api").values()
    secret = folder / "secret"
    secret.write_bytes(SECRET)
    more = {"keys_file": keys, "http_port": port, "erasure_secret_file": secret}
    settings = door.world.settings.model_copy(update=more)
    told = settings.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    env = {f"REGULARS_{name.upper()}": str(value) for name, value in told.items()}
    command = [sys.executable, "-m", "services.loyalty", "api"]
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | env | {"REGULARS_OPS_PORT": "0"}
    )
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60
        ) as http:

            async def answers():
                try:
                    return (await http.get("/v1/accounts/ada")).is_success
                except httpx.TransportError:
                    return False

            await eventually(answers)
            yield process, http
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def post(http, path, key, **body):
    return await http.post(path, json=body, headers={"Idempotency-Key": key})


class Till:
    """Two reservations of ada's, and what the database says of them."""

    def __init__(self, door, ask):
        self.door, self.ask = door, ask
        self.made = []

    async def reserve(self, http):
        for n in (1, 2):
            answer = await post(http, "/v1/accounts/ada/reservations", f"r{n}", points=30)
            self.made.append(f"/v1/reservations/{answer.json()['id']}")

    async def confirm(self, http, which):
        return await post(http, f"{self.made[which]}/confirm", f"c{which}")

    async def state(self, which):
        return (await self.ask(self.made[which]))["state"]

    @asynccontextmanager
    async def begun(self, http, which):
        """A confirmation that waits for the member's row."""
        async with self.door.engine.begin() as conn:
            await conn.execute(text("SELECT FROM balance FOR UPDATE"))
            request = asyncio.create_task(self.confirm(http, which))

            async def waits():
                return bool(await self.door.query("SELECT 1 FROM pg_locks WHERE NOT granted"))

            await eventually(waits)
            yield request


async def test_a_killed_apis_confirmation_has_one_effect_under_its_key(door, ask, tmp_path, token):
    await door.give(*Order("o1", lines=(line("1", 10_000),)).life())
    till = Till(door, ask)

    async with api(door, tmp_path, token) as (process, http):
        await till.reserve(http)
        async with till.begun(http, 0) as request:
            process.kill()
            await process.wait()
            [lost] = await asyncio.gather(request, return_exceptions=True)
        assert isinstance(lost, httpx.TransportError)
    assert await till.state(0) == "reserved", "it died before its COMMIT"

    async with api(door, tmp_path, token) as (process, http):
        confirmed = await till.confirm(http, 0)
        async with till.begun(http, 1) as request:
            request.cancel()  # the client is gone, and reads no answer

        async def took_effect():
            return await till.state(1) == "confirmed"

        await eventually(took_effect)
        process.kill()
        await process.wait()

    async with api(door, tmp_path, token) as (_, http):
        again = [await till.confirm(http, which) for which in (1, 1, 0)]
    assert [answer.status_code for answer in (confirmed, *again)] == [200] * 4
    assert {answer.headers.get("Idempotent-Replayed") for answer in again} == {"true"}
    account = await ask("/v1/accounts/ada")
    assert (account["active"], account["reserved"]) == (40, 0)
    assert len(await door.query("SELECT 1 FROM journal WHERE kind = 'redeem'")) == 2
    await balanced(ask)
