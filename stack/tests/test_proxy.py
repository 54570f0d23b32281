"""The proxy of the fault tests does what they rely on."""

import asyncio
from typing import Any

import asyncpg
import pytest

from stack.infra import Infra
from tests.proxy import Proxy

LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)


async def test_a_commit_whose_reply_is_dropped_has_happened(
    infra: Infra, make_database: Any
) -> None:
    database = await make_database("loyalty")
    async with Proxy(infra.postgres.port) as proxy:
        url = infra.postgres.url("loyalty_owner", database=database.name, port=proxy.port)
        conn = await asyncpg.connect(url)
        await conn.execute("BEGIN; CREATE TABLE note (text text)")
        proxy.drop_reply_to(b"COMMIT")

        with pytest.raises(LOST):
            await conn.execute("COMMIT")

        again = await asyncpg.connect(url)
        assert await again.fetchval("SELECT count(*) FROM note") == 0
        await again.close()
        assert proxy.replies_dropped == 1


async def test_a_cut_server_is_unreachable_until_healed(infra: Infra) -> None:
    async with Proxy(infra.postgres.port) as proxy:
        url = infra.postgres.url("postgres", database="postgres", port=proxy.port)
        conn = await asyncpg.connect(url)
        proxy.cut()
        with pytest.raises(LOST):
            await conn.fetchval("SELECT 1")
        with pytest.raises(LOST):
            await asyncpg.connect(url, ssl=False)

        proxy.heal()
        again = await asyncpg.connect(url)
        assert await again.fetchval("SELECT 1") == 1

        proxy.pause()
        with pytest.raises(TimeoutError):
            await again.fetchval("SELECT 2", timeout=0.2)
        proxy.resume()
        again.terminate()
        await asyncio.sleep(0)
