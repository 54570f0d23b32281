"""What every test may ask for: real Kafka and PostgreSQL, and databases of its own.

Both start when the first test asks, out of the way of a running stack and of other test
runs, and end with the session, on Ctrl-C and SIGTERM too. What a killed run left behind
is ended by the next one, which knows it by pid and start time.
"""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from stack import programs
from stack.databases import ServiceDatabase, create_service_database, drop_database
from stack.infra import Infra, for_this_run
from stack.ports import scratch
from stack.programs import Sink

# No time limits: machines are shared and noisy, and a slow example is no wrong one.
settings.register_profile(
    "regulars", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("regulars")

RUNS = Path(__file__).parent / ".stack" / "test"

MakeDatabase = Callable[..., Awaitable[ServiceDatabase]]


@pytest.fixture(scope="session")
def infra() -> Iterator[Infra]:
    """Running Kafka and PostgreSQL; a test that kills one starts it again before it ends."""
    with _sigterm_as_ctrl_c(), for_this_run(RUNS) as running:
        yield running


@pytest.fixture
async def make_database(infra: Infra) -> AsyncIterator[MakeDatabase]:
    """`await make_database("profile")`: a fresh database with its two roles, dropped at the end.

    `template="name"` copies a database instead, such as one that is migrated already.
    """
    made: list[str] = []

    async def make(service: str, *, template: str = "template0") -> ServiceDatabase:
        name = f"test_{service}_{secrets.token_hex(4)}"
        made.append(name)
        return await create_service_database(infra.postgres, service, name=name, template=template)

    yield make
    for name in made:
        await drop_database(infra.postgres, name)


@pytest.fixture(scope="session")
def make_template(infra: Infra) -> Callable[..., ServiceDatabase]:
    """`make_template("profile", migrate)`: a database made once in the session, to copy from, or
    to be emptied for each test. `which` sets several of one service apart.

    `migrate(database)` is called once for each, and must leave no connection open.
    """
    made: dict[tuple[str, int], ServiceDatabase] = {}

    def make(
        service: str, migrate: Callable[[ServiceDatabase], Any], which: int = 0
    ) -> ServiceDatabase:
        if (service, which) not in made:
            name = f"template_{service}_{secrets.token_hex(4)}"
            database = asyncio.run(create_service_database(infra.postgres, service, name=name))
            migrate(database)
            made[service, which] = database
        return made[service, which]

    return make


@pytest.fixture(scope="session")
def mail_sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    """A running mail sink: `.smtp_port`, and `.url` for its HTTP side (see `stack.mail`)."""
    ports = scratch("smtp", "mail")
    home = tmp_path_factory.mktemp("mail")
    sink = programs.mail_sink(home, smtp_port=ports["smtp"], http_port=ports["mail"])
    sink.start()
    yield sink
    sink.stop()


@pytest.fixture(scope="session")
def sms_stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    """A running SMS provider: its `.url` (see `stack.sms`)."""
    stub = programs.sms_stub(tmp_path_factory.mktemp("sms"), http_port=scratch("sms")["sms"])
    stub.start()
    yield stub
    stub.stop()


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """A CI that gives up sends SIGTERM, which would end us without our fixtures' ends."""
    main = os.getpid()

    def interrupt(*_: Any) -> None:
        if os.getpid() == main:  # not in a forked child
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
