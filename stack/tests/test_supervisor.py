"""`up` makes it so, however it was before; `down` leaves nothing behind."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest

from shared.events import codec
from shared.events.customers import CustomerRegistered
from stack.caught_up import watch
from stack.door import Door, read_env
from stack.layout import State
from stack.ports import DEFAULTS, SERVICES, scratch
from stack.supervisor import GROUND, Supervisor


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A stack's folder, whose ports are out of the way of a running stack."""
    State(ports=scratch(*DEFAULTS)).write(tmp_path)
    yield tmp_path
    Supervisor(tmp_path).erase()


def pids(supervisor: Supervisor) -> dict[str, int | None]:
    return {row.name: row.pid for row in supervisor.status() if row.state == "running"}


def kill(pid: int | None) -> None:
    """And wait until it is dead: a signal takes its time on a busy machine."""
    assert pid
    process = psutil.Process(pid)
    process.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


def test_up_twice_up_after_a_kill_and_down(home: Path) -> None:
    supervisor = Supervisor(home)
    supervisor.up(print, services=())
    first = pids(supervisor)
    assert set(first) == set(GROUND)
    assert (home / "env").stat().st_mode & 0o077 == 0

    supervisor.up(print, services=())
    assert pids(supervisor) == first

    kill(first["kafka"])
    kill(first["postgres"])  # the postmaster alone, its children left
    kill(first["mail"])
    (home / "pids" / "sms").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    kill(first["sms"])
    Supervisor(home).up(print, services=())
    second = pids(supervisor)
    assert set(second) == set(GROUND)
    assert not [name for name in GROUND if second[name] == first[name]]

    assert sorted(Supervisor(home).down()) == sorted(GROUND)
    assert pids(supervisor) == {}
    assert not any(psutil.pid_exists(pid) and _lives(pid) for pid in second.values() if pid)
    assert Supervisor(home).down() == []


@pytest.mark.parametrize(
    "services", [("profile",), pytest.param(SERVICES, marks=pytest.mark.long)], ids=len
)
def test_up_brings_back_what_was_killed_and_it_works(home: Path, services: tuple[str, ...]) -> None:
    supervisor = Supervisor(home)
    supervisor.up(print, services=services)
    register("c-before", home)
    first = pids(supervisor)
    killed = ["kafka", *(f"{name}-{role}" for name in services for role in ("worker", "api"))]

    for name in killed:
        kill(first[name])
    Supervisor(home).up(print, services=services)

    second = pids(supervisor)
    assert set(second) == set(first)
    assert {name for name in first if second[name] != first[name]} == set(killed)
    register("c-after", home)
    asyncio.run(caught_up(home, services))
    with Door(read_env(home)) as door:
        for customer_id in ("c-before", "c-after"):
            assert door.get("profile", "/v1/profiles/{}", customer_id)


def register(customer_id: str, home: Path) -> None:
    """By the api into Kafka."""
    who = CustomerRegistered(customer_id=customer_id)
    event = codec.make(
        "customer.registered", who, id=customer_id, source="shop", time=datetime.now(UTC)
    )
    env = read_env(home)
    answer = httpx.post(
        f"{env['PROFILE_URL']}/v1/events",
        json=[codec.structured(event)],
        headers={"Authorization": f"Bearer {env['ADMIN_KEY']}"},
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code == 202, answer.text


async def caught_up(home: Path, services: tuple[str, ...]) -> None:
    async with watch(read_env(home), services) as observer:
        await observer.wait(lambda _: None)


def _lives(pid: int) -> bool:
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
