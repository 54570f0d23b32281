"""The API as a caller sees it, at a moment of the business clock."""

from itertools import count
from typing import Any

from services.loyalty.tests.shop import NOON
from shared.clock import Clock

KEYS = count()
"""A new Idempotency-Key for each request."""


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": f"k{next(KEYS)}"}


class Api:
    """`await api("POST", path, body, at=..., status=...)`: the answer, its status checked."""

    def __init__(self, door: Any) -> None:
        self.door = door

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        at: Any = NOON,
        status: int = 200,
        token: str = "",
        **params: Any,
    ) -> Any:
        async with self.door.client(clock=Clock(frozen_at=at)) as http:
            headers = new_key() if method != "GET" else {}
            if token:
                headers["Authorization"] = f"Bearer {token}"
            answer = await http.request(method, path, json=body, headers=headers, params=params)
            assert answer.status_code == status, answer.text
            return answer.json()

    async def purse(self, customer: str = "ada", at: Any = NOON) -> tuple[int, int, int]:
        told = await self("GET", f"/v1/accounts/{customer}", at=at)
        return told["pending"], told["active"], told["owed"]

    async def balanced(self) -> Any:
        books = await self("GET", "/v1/ledger/reconciliation")
        assert books["balanced"], books
        return books
