"""The services of a running stack, as a caller with the admin key meets them."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from stack.errors import StackError

TIMEOUT_S = 60.0  # a reconciliation sums every posting


def read_env(home: Path) -> dict[str, str]:
    """The stack's `env` file."""
    try:
        lines = (home / "env").read_text().splitlines()
    except FileNotFoundError:
        raise StackError(f"No stack runs in {home}; start it: python -m stack up") from None
    pairs = (line.partition("=") for line in lines)
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


class Door:
    """`get("profile", "/v1/profiles/{}", "c-1")` answers its JSON."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def get(self, service: str, path: str, *parts: str, **query: str | int) -> Any:
        """The answer, or None for 404; `parts` fill the path's {} and are quoted."""
        route = path.format(*(quote(part, safe="") for part in parts))
        url = f"{self.env[f'{service.upper()}_URL']}{route}"
        key = {"Authorization": f"Bearer {self.env['ADMIN_KEY']}"}
        try:
            answer = self._http.get(url, params=query, headers=key)
        except httpx.HTTPError as error:
            reason = type(error).__name__
            raise StackError(f"{service} does not answer ({reason}): python -m stack up") from None
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise StackError(f"{service} answered {answer.status_code} to {route}: {answer.text}")
        return answer.json()

    def send(
        self,
        method: str,
        service: str,
        path: str,
        body: dict[str, Any],
        *,
        key: str,
        token: str = "",
    ) -> Any:
        """The answer to a write under an Idempotency-Key; `token`: another than the admin's."""
        headers = {
            "Authorization": f"Bearer {token or self.env['ADMIN_KEY']}",
            "Idempotency-Key": key,
        }
        url = f"{self.env[f'{service.upper()}_URL']}{path}"
        try:
            answer = self._http.request(method, url, json=body, headers=headers)
        except httpx.HTTPError as error:
            reason = type(error).__name__
            raise StackError(f"{service} does not answer ({reason}): python -m stack up") from None
        if not answer.is_success:
            raise StackError(f"{service} answered {answer.status_code} to {path}: {answer.text}")
        return answer.json()

    def sent(self, sink: str) -> list[dict[str, Any]]:
        """What arrived at the `mail` or `sms` sink."""
        messages: list[dict[str, Any]] = self._http.get(
            f"{self.env[f'{sink.upper()}_URL']}/messages"
        ).json()
        return messages

    def metrics(self, service: str) -> str:
        """The worker's metrics as Prometheus would scrape them."""
        return self._http.get(f"{self.env[f'{service.upper()}_WORKER_OPS_URL']}/metrics").text

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()
