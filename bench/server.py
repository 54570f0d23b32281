"""What the measurements over HTTP share: a key, waiting for a server, load from a process."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import httpx

from bench import measure
from shared.keys import new_key
from stack.infra import Infra

Figures = dict[str, Any]


def api_env(own: Infra, url: str, *scopes: str) -> tuple[dict[str, str], str]:
    """An API process's environment, and a key that nothing slows down."""
    token, line = new_key(scopes=list(scopes), rate=1_000_000)
    keys = measure.FOLDER / "keys.json"
    keys.write_text(json.dumps({"keys": [line.model_dump(mode="json")]}))
    return measure.worker_env(own, url, REGULARS_KEYS_FILE=str(keys)), token


async def answers(port: int, token: str, path: str) -> None:
    """Wait until the server does."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        for _ in range(600):
            try:
                if (await client.get(f"http://127.0.0.1:{port}{path}")).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise TimeoutError(f"port {port} does not answer; logs are in {measure.FOLDER}")


def gets(port: int, seconds: float, clients: int, token: str, paths: Sequence[str]) -> Figures:
    """GETs over all paths, as fast as they are answered (`bench/load.py`)."""
    found = _load("bench.load", str(port), str(seconds), str(clients), token, *paths)
    assert not found["failures"], "every answer is 200"
    return found


def pairs(
    port: int,
    seconds: float,
    clients: int,
    token: str,
    members: str,
    *,
    per_s: float = 0,
    points: int = 10,
) -> Figures:
    """Reserve and confirm for the members `PREFIX:COUNT` (`bench/pairs.py`).

    At a rate a crowded machine may fail to answer some: they are told as `failures`.
    """
    load = (str(port), str(seconds), str(clients), token)
    return _load("bench.pairs", *load, members, str(per_s), str(points))


def _load(*command: str) -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=measure.ROOT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: Figures = json.loads(done.stdout)
    return found


def machine_load() -> float:
    """The machine's load over the last minute: what others did meanwhile shows here."""
    return round(os.getloadavg()[0], 1)
