"""A process that outlives its parent, and how it is found again.

Its pid and start time are written down when it starts. A pid alone proves nothing: after
a crash or a reboot it may be somebody else's, and killing that would be a disaster. So a
pid counts only while the process's start time is the recorded one.
"""

import contextlib
import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.errors import StackError

# psutil derives start times from the boot time, which moves a little when the clock is set.
# A recycled pid whose process began within this of ours does not happen.
START_TOLERANCE_S = 2.0
POLL_S = 0.02
KILL_TIMEOUT_S = 10
LOG_TAIL_LINES = 15

# Those that this process started: only their parent can clear them away when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that a process runs as, when not ours."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Daemon:
    """One named process under `home`: `<home>/pids/<name>`, `<home>/logs/<name>.log`."""

    name: str
    home: Path

    @property
    def pid_file(self) -> Path:
        return self.home / "pids" / self.name

    @property
    def log_file(self) -> Path:
        return self.home / "logs" / f"{self.name}.log"

    def process(self) -> psutil.Process | None:
        """The running process, or None; a stale record is never trusted."""
        try:
            record = json.loads(self.pid_file.read_text())
            process = psutil.Process(record["pid"])
            same = abs(process.create_time() - record["started"]) < START_TOLERANCE_S
            return process if same and _lives(process) else None
        except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
            return None

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start it in a session of its own, so that a Ctrl-C at the terminal does not reach it."""
        self.reap()
        for folder in (self.pid_file.parent, self.log_file.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=env,
                cwd=cwd,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        _children[child.pid] = child
        started = psutil.Process(child.pid).create_time()
        record = {"pid": child.pid, "started": started, "as": _digest(command, env)}
        draft = self.pid_file.with_name(f".{self.name}.new")
        draft.write_text(json.dumps(record))
        draft.replace(self.pid_file)

    def runs(self, command: Sequence[str], env: Mapping[str, str] | None) -> bool:
        """Whether the running process was started with these arguments and settings."""
        try:
            return bool(json.loads(self.pid_file.read_text())["as"] == _digest(command, env))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return when `ready()`; say why not, with the end of its log, if it ends or takes long."""
        until = time.monotonic() + timeout_s
        while not ready():
            if self.process() is None:
                raise StackError(f"{self.name} ended while starting:\n{self.tail()}")
            if time.monotonic() > until:
                raise StackError(f"{self.name} not ready in {timeout_s:.0f} s:\n{self.tail()}")
            time.sleep(POLL_S)

    def stop(self, signum: int = signal.SIGTERM, *, grace_s: float = 20) -> None:
        """Ask it to end; if it has not after `grace_s`, kill it. Its children go with it."""
        process = self.process()
        if process is not None:
            end(process, signum, grace_s=grace_s)
        self.reap()

    def kill(self) -> None:
        """SIGKILL it with its children, as a crash of the machine would."""
        process = self.process()
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()  # so that it starts no more children meanwhile
                _kill([process, *process.children(recursive=True)])
        self.reap()

    def reap(self) -> None:
        """Forget the process if it has ended."""
        if self.process() is None:
            self.pid_file.unlink(missing_ok=True)
        for pid, child in list(_children.items()):
            if child.poll() is not None:
                _children.pop(pid, None)

    def tail(self, lines: int = LOG_TAIL_LINES) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])
        return "(no log)"


def _digest(command: Sequence[str], env: Mapping[str, str] | None) -> str:
    settings = {name: value for name, value in (env or {}).items() if name.startswith("REGULARS_")}
    return hashlib.sha256(json.dumps([*command, settings], sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C is not heard: for what stops processes, which a second one, of somebody in a hurry,
    would cut off. In the main thread only, as Python wants it.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end(process: psutil.Process, signum: int, *, grace_s: float) -> None:
    """Signal it, wait for it, and kill what is left of it and its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        process.send_signal(signal.SIGCONT)  # a paused process cannot hear
        process.send_signal(signum)
        _await_end([process], grace_s)
        _kill(family)


def _kill(family: list[psutil.Process]) -> None:
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _await_end(family, KILL_TIMEOUT_S)


def _await_end(family: list[psutil.Process], timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while any(map(_lives, family)) and time.monotonic() < until:
        time.sleep(POLL_S)


def _lives(process: psutil.Process) -> bool:
    """A zombie has ended and waits to be noticed, an orphan by init, which may take seconds.

    While other threads of it are ending it still holds its ports and files, though.
    """
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return process.num_threads() > 1
        return process.is_running()
    except psutil.NoSuchProcess:
        return False
