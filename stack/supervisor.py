"""Everything up, and everything down again.

`up` compares what should run with what does, and starts what is missing or was started
with other settings; so it may be called twice, and after a kill -9 of any part. Its order
is that of need: Kafka, PostgreSQL and the sinks; databases; schemas and topics; the
services. `down` ends whatever has a pid file, services first, so that they can drain.
"""

import asyncio
import contextlib
import fcntl
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import psutil

from shared.clock import Clock
from stack import layout
from stack.databases import create_service_database
from stack.errors import StackError
from stack.kafka import Kafka
from stack.ports import DEFAULTS, HOST, SERVICES, choose, is_free
from stack.postgres import Postgres
from stack.processes import Daemon, undisturbed
from stack.programs import ROOT, Program, mail_sink, sms_stub
from stack.settings import inherited_environment

PREPARE_TIMEOUT_S = 180
COMMANDS = ("api", "worker")  # of each service
GROUND = ("kafka", "postgres", "mail", "sms")  # what the services stand on, in this order
GRACE_S = {"postgres": 20.0, "kafka": 15.0}
SERVICE_GRACE_S = 30.0

Say = Callable[[str], None]


class Part(Protocol):
    """What the supervisor asks of each of its parts."""

    daemon: Daemon

    def start(self) -> None: ...
    def answers(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A row of `status`; `state` is running, not ready or stopped."""

    name: str
    state: str
    pid: int | None
    address: str
    memory_mb: float | None


class Supervisor:
    """The stack in the folder `home`; any process may make one for the same folder."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.state = layout.State.read(self.home)

    # -- up ---------------------------------------------------------------------------------

    def up(
        self,
        say: Say,
        *,
        services: Sequence[str] = SERVICES,
        clock: str | None = None,
        workers: bool = True,
    ) -> None:
        """Start what does not run; `clock` as REGULARS_CLOCK, None: as it was."""
        with self._alone():
            self.state = layout.State.read(self.home)
            if clock is not None:
                self.state.clock = _valid_clock(clock)
            self.state.services = [s for s in SERVICES if s in services or self._runs(s)]
            self.state.ports = self._choose_ports()
            layout.make_files(self.home, self.state)
            self.state.write(self.home)
            say("Kafka, PostgreSQL, mail sink, SMS stub")
            _all_at_once([part.start for part in self.ground()])
            layout.write_private(self.home / "env", self._env_file())
            if self.state.services:
                say("databases, schemas, topics")
                self._prepare()
                say(f"services: {', '.join(self.state.services)}")
                self._start_services(COMMANDS if workers else ("api",))

    def _runs(self, service: str) -> bool:
        names = (f"{service}-{command}" for command in COMMANDS)
        return any(Daemon(name, self.home).process() is not None for name in names)

    def _choose_ports(self) -> dict[str, int]:
        """Those of the last time where they are held by us or free, else the next free."""
        before = self.state.ports
        held = {
            name: port
            for name, port in before.items()
            if name in DEFAULTS and Daemon(_holder(name), self.home).process() is not None
        }
        preferred = DEFAULTS | {
            name: port for name, port in before.items() if name in DEFAULTS and is_free(port)
        }
        return choose(preferred, held)

    def ground(self) -> list[Part]:
        ports = self.state.ports
        return [
            Kafka(self.home, port=ports["kafka"], controller_port=ports["kafka_controller"]),
            self.postgres(),
            mail_sink(self.home, smtp_port=ports["smtp"], http_port=ports["mail"]),
            sms_stub(self.home, http_port=ports["sms"]),
        ]

    def postgres(self) -> Postgres:
        return Postgres(self.home, port=self.state.ports["postgres"])

    def programs(self, commands: Collection[str] = COMMANDS) -> list[Program]:
        """`api` and `worker` of each service, or one of the two."""
        return [
            Program(
                f"{service}-{command}",
                self.home,
                [f"services.{service}", command],
                ready_url=f"http://{HOST}:{self.state.ports[f'{service}_{command}_ops']}/readyz",
                env=self._env(service, command),
            )
            for service in self.state.services
            for command in commands
        ]

    def _env(self, service: str, command: str) -> dict[str, str]:
        told = layout.common_env(self.home, self.state)
        told |= layout.service_env(self.state, self.postgres(), service, command)
        return inherited_environment() | told

    def _env_file(self) -> str:
        return layout.env_file(self.home, self.state, self.postgres())

    def _prepare(self) -> None:
        asyncio.run(self._make_databases())
        topics_env = inherited_environment() | layout.common_env(self.home, self.state)
        topics = partial(_run, ["shared.topics", "apply"], topics_env)
        migrations = [self._migration(service) for service in self.state.services]
        _all_at_once([topics, *migrations])

    async def _make_databases(self) -> None:
        for service in self.state.services:  # one by one: two GRANTs on one database collide
            await create_service_database(self.postgres(), service)

    def _migration(self, service: str) -> Callable[[], None]:
        return partial(_run, [f"services.{service}", "migrate"], self._env(service, "migrate"))

    def _start_services(self, commands: Collection[str]) -> None:
        programs = self.programs(commands)
        _all_at_once([program.launch for program in programs])
        for program in programs:
            program.wait_ready()

    # -- down -------------------------------------------------------------------------------

    def down(self) -> list[str]:
        """End all parts; returns the names of those that ran. Their data stay."""
        with self._alone():
            running = [d.name for d in self._daemons() if d.process() is not None]
            self._end(name for name in running if name not in GROUND)
            self._end(name for name in running if name in GROUND)
            for daemon in self._daemons():
                daemon.reap()
            (self.home / "env").unlink(missing_ok=True)
            self.state = layout.State(admin_key=self.state.admin_key)
            if self.home.exists():
                self.state.write(self.home)
            return running

    def erase(self) -> None:
        """`down`, and delete the data of Kafka, PostgreSQL and the sinks; the keys stay."""
        self.down()
        Kafka(self.home, port=0, controller_port=0).erase()
        Postgres(self.home, port=0).erase()
        for name in ("mail", "sms"):
            (self.home / name / "messages.jsonl").unlink(missing_ok=True)

    def _daemons(self) -> list[Daemon]:
        pids = self.home / "pids"
        names = sorted(file.name for file in pids.glob("[!.]*")) if pids.is_dir() else []
        return [Daemon(name, self.home) for name in names]

    def _end(self, names: Iterable[str]) -> None:
        _all_at_once([partial(self._end_one, name) for name in names])

    def _end_one(self, name: str) -> None:
        how = signal.SIGINT if name == "postgres" else signal.SIGTERM
        Daemon(name, self.home).stop(how, grace_s=GRACE_S.get(name, SERVICE_GRACE_S))

    # -- status -----------------------------------------------------------------------------

    def status(self) -> list[PartStatus]:
        """How each part of the last `up` is."""
        self.state = layout.State.read(self.home)
        if not self.state.ports:
            return [PartStatus(name, "stopped", None, "", None) for name in GROUND]
        parts: list[Part] = [*self.ground(), *self.programs()]
        with ThreadPoolExecutor(len(parts)) as pool:
            return list(pool.map(self._status, parts))

    def _status(self, part: Part) -> PartStatus:
        name = part.daemon.name
        process = part.daemon.process()
        address = self._address(name)
        if process is None:
            return PartStatus(name, "stopped", None, address, None)
        state = "running" if part.answers() else "not ready"
        memory = None
        with contextlib.suppress(psutil.Error):
            memory = process.memory_info().rss / 1e6
        return PartStatus(name, state, process.pid, address, memory)

    def _address(self, name: str) -> str:
        service, _, command = name.partition("-")
        port = self.state.ports[f"{service}_worker_ops" if command == "worker" else service]
        scheme = "" if name in ("kafka", "postgres") else "http://"
        return f"{scheme}{HOST}:{port}"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two `up`s at once would start everything twice."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StackError("Another `up` or `down` is at work here; wait for it.") from None
            yield


def _holder(port_name: str) -> str:
    """The part that listens on the port of this name."""
    service, _, rest = port_name.partition("_")
    if service in SERVICES:
        return f"{service}-worker" if rest == "worker_ops" else f"{service}-api"
    return {"kafka_controller": "kafka", "smtp": "mail"}.get(port_name, port_name)


def _valid_clock(clock: str) -> str:
    try:
        Clock.parse(clock)
    except ValueError as error:
        raise StackError(f"--clock: {error}") from None
    return clock


def _all_at_once(actions: Sequence[Callable[[], None]]) -> None:
    """Run them side by side; the first failure is raised when all have ended, so that none
    starts a process after a `down`.
    """
    if actions:
        pool = ThreadPoolExecutor(len(actions))
        try:
            for done in [pool.submit(action) for action in actions]:
                done.result()
        finally:
            with undisturbed():
                pool.shutdown()


def _run(arguments: Sequence[str], env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PREPARE_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise StackError(f"`python -m {' '.join(arguments)}` failed:\n{done.stdout.strip()}")
