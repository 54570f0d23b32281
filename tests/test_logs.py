"""A service's logs name no customer, also when everything about one goes wrong."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import pytest

from shared.events import codec
from shared.events.customers import CustomerRegistered, CustomerUpdated
from shared.events.envelope import Fact
from stack.door import read_env
from stack.layout import State
from stack.ports import DEFAULTS, scratch
from stack.supervisor import Supervisor

CUSTOMER, EMAIL, PHONE, NAME = "c-ada-4711", "ada@mail.example", "+447700900123", "Lovelace"
PERSONAL = (CUSTOMER, EMAIL, EMAIL.replace("@", "%40"), PHONE, PHONE[1:], NAME)
TIMEOUT_S = 60

# What the server says of them quotes the row, and the customer's id.
REFUSE_ROWS = "ALTER TABLE profile ADD CHECK (false) NOT VALID"
FAIL_READS = """
    ALTER TABLE profile RENAME TO hidden;
    CREATE VIEW profile AS SELECT * FROM hidden WHERE CAST(customer_id AS integer) > 0;
    GRANT SELECT ON profile TO PUBLIC
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The folder of a running stack with the service profile."""
    State(ports=scratch(*DEFAULTS)).write(tmp_path)
    supervisor = Supervisor(tmp_path)
    try:
        supervisor.up(lambda _: None, services=("profile",))
        yield tmp_path
    finally:
        supervisor.erase()


def test_nothing_personal_is_logged_when_all_goes_wrong(home: Path) -> None:
    env, person = read_env(home), {"email": EMAIL, "phone": PHONE, "name": NAME}
    key = {"Authorization": f"Bearer {env['ADMIN_KEY']}"}
    with httpx.Client(
        base_url=env["PROFILE_URL"], headers=key, timeout=30, trust_env=False
    ) as client:
        tell(client, "customer.registered", CustomerRegistered(customer_id=CUSTOMER, **person))
        wait(lambda: client.get(f"/v1/profiles/{CUSTOMER}").status_code == 200)
        alter(env, REFUSE_ROWS)
        tell(client, "customer.updated", CustomerUpdated(customer_id=CUSTOMER, name=f"A {NAME}"))
        wait(lambda: any(line["event"] == "event buried" for line in lines(home, "worker")))
        alter(env, FAIL_READS)
        found = client.get(f"/v1/profiles/{CUSTOMER}", params=person)
        refused = client.post("/v1/events", json=[person])
    Supervisor(home).down()

    assert (found.status_code, refused.status_code) == (500, 422)
    failed = [line for line in lines(home, "api") if line["event"] == "request failed"]
    assert [line["sqlstate"] for line in failed] == ["22P02"]
    for log in (home / "logs").glob("profile-*.log"):
        text = log.read_text()
        assert not [word for word in PERSONAL if word in text], text


def tell(client: httpx.Client, type_: str, data: Fact) -> None:
    event = codec.make(type_, data, id=type_, source="shop", time=datetime.now(UTC))
    assert client.post("/v1/events", json=[codec.structured(event)]).status_code == 202


def alter(env: dict[str, str], statement: str) -> None:
    async def run() -> None:
        owner = await asyncpg.connect(env["PROFILE_OWNER_DATABASE_URL"])
        await owner.execute(statement)
        await owner.close()

    asyncio.run(run())


def lines(home: Path, command: str) -> list[dict[str, str]]:
    """Every line that a process has logged, and printed, is JSON."""
    whole = (home / "logs" / f"profile-{command}.log").read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not until():
        assert time.monotonic() < deadline, f"not within {TIMEOUT_S} s"
        time.sleep(0.05)
