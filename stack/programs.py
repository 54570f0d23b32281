"""Our own Python programs as processes: the sinks, and the services' `api` and `worker`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from stack.ports import HOST
from stack.processes import Daemon

START_TIMEOUT_S = 60
STOP_GRACE_S = 30  # a service drains for up to 25 s
ROOT = Path(__file__).resolve().parent.parent  # where `python -m` finds the packages


class Program:
    """`python -m <arguments>`, ready when `ready_url` answers with success."""

    def __init__(
        self,
        name: str,
        home: Path,
        arguments: Sequence[str],
        *,
        ready_url: str,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`env` is the whole environment; without, our own."""
        self.ready_url = ready_url
        self.daemon = Daemon(name, home.absolute())
        self._command = [sys.executable, "-m", *arguments]
        self._env = env

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it; one that runs with other arguments or settings is ended first."""
        if self.daemon.process() is not None and not self.daemon.runs(self._command, self._env):
            self.stop()
        if self.daemon.process() is None:
            self.daemon.start(self._command, env=self._env, cwd=ROOT)

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        self.daemon.wait(self.answers, timeout_s)

    def answers(self) -> bool:
        try:
            return httpx.get(self.ready_url, timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        self.daemon.stop(grace_s=STOP_GRACE_S)

    def kill(self) -> None:
        """kill -9."""
        self.daemon.kill()


class Sink(Program):
    """A program that keeps what it gets, with an HTTP view at `url`; `smtp_port` is for mails."""

    def __init__(self, name: str, home: Path, *, http_port: int, smtp_port: int = 0) -> None:
        self.url = f"http://{HOST}:{http_port}"
        self.smtp_port = smtp_port
        arguments = [f"--folder={home.absolute() / name}", f"--http-port={http_port}"]
        if smtp_port:
            arguments.append(f"--smtp-port={smtp_port}")
        super().__init__(name, home, [f"stack.{name}", *arguments], ready_url=f"{self.url}/livez")


def mail_sink(home: Path, *, smtp_port: int, http_port: int) -> Sink:
    return Sink("mail", home, http_port=http_port, smtp_port=smtp_port)


def sms_stub(home: Path, *, http_port: int) -> Sink:
    return Sink("sms", home, http_port=http_port)
