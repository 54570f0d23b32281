"""Kafka and PostgreSQL without the services, for tests and measurements.

    with for_this_run(Path(".stack/bench")) as infra:
        infra.kafka_servers, infra.postgres.admin_url
        infra.kafka.kill(); infra.kafka.start()

`start`, `stop`, `kill` and the rest wait for what they do, and so block: inside an event
loop use `await asyncio.to_thread(infra.kafka.start)`.
"""

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from stack.kafka import Kafka
from stack.ports import scratch
from stack.postgres import Postgres
from stack.processes import START_TOLERANCE_S

PARTS = ("kafka", "kafka_controller", "postgres")


class Infra:
    """One Kafka and one PostgreSQL with their data under `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        ports: Mapping[str, int] | None = None,
        kafka_settings: Mapping[str, str] | None = None,
        postgres_settings: Mapping[str, str] | None = None,
    ) -> None:
        """`ports`: for kafka, kafka_controller and postgres; without, free ones out of the way."""
        self.folder = folder.absolute()
        chosen = dict(ports or scratch(*PARTS))
        self.kafka = Kafka(
            self.folder,
            port=chosen["kafka"],
            controller_port=chosen["kafka_controller"],
            settings=kafka_settings,
        )
        self.postgres = Postgres(self.folder, port=chosen["postgres"], settings=postgres_settings)

    @property
    def kafka_servers(self) -> str:
        return self.kafka.servers

    def start(self) -> Self:
        """Start both at once, and wait for both."""
        with ThreadPoolExecutor(2) as pool:
            starts = [pool.submit(part.start) for part in (self.kafka, self.postgres)]
            for start in starts:
                start.result()
        return self

    def stop(self) -> None:
        """End both in good order and keep their data."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda part: part.stop(), (self.kafka, self.postgres)))

    def erase(self) -> None:
        """End both at once and delete their data."""
        try:
            self.kafka.erase()
        finally:
            self.postgres.erase()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:  # a Ctrl-C too: nobody will call __exit__
            self.erase()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.erase()


@contextmanager
def for_this_run(runs: Path, **options: Any) -> Iterator[Infra]:
    """An Infra in a folder under `runs` that is this process's own, erased at the end.

    Runs side by side do not meet. What a killed run left behind is erased first.
    """
    erase_leftovers(runs)
    with Infra(runs / _name(psutil.Process()), **options) as infra:
        yield infra


def erase_leftovers(runs: Path) -> None:
    """End and delete what runs that have died left under `runs`; the living are left alone."""
    for folder in runs.glob("*-*"):
        pid, _, started = folder.name.partition("-")
        with suppress(psutil.NoSuchProcess, ValueError):
            owner = psutil.Process(int(pid))
            if abs(owner.create_time() - int(started)) < START_TOLERANCE_S:
                continue
        Infra(folder).erase()


def _name(process: psutil.Process) -> str:
    return f"{process.pid}-{int(process.create_time())}"
