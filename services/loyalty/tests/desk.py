"""People who call loyalty's API, each with a key of his own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from shared.clock import Clock
from shared.testing import Door


class Caller:
    """Sends requests with his key, each with an Idempotency-Key of its own."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http, self.sent = http, 0

    async def post(self, path, body=None, status=200, key=None):
        self.sent += 1
        headers = {"Idempotency-Key": key or f"{self.sent}"}
        answer = await self.http.post(path, json=body or {}, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def put(self, path, body, status=200):
        self.sent += 1
        headers = {"Idempotency-Key": f"{self.sent}", "If-Match": "*"}
        answer = await self.http.put(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path, status=200, **params):
        answer = await self.http.get(path, params=params)
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def callers(
    door: Door, clock: Clock, **scopes: tuple[str, ...]
) -> AsyncIterator[dict[str, Caller]]:
    """A caller for each name, with a key of these scopes."""
    async with AsyncExitStack() as stack:
        yield {
            name: Caller(await stack.enter_async_context(door.client(*held, clock=clock)))
            for name, held in scopes.items()
        }
