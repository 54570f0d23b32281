"""Apache Kafka, one node that is broker and controller (KRaft), on this machine.

It acknowledges from the page cache: `kill()` and `start()` on the same folder lose
nothing that was acknowledged, a power failure may; the setting
`log.flush.interval.messages=1` closes that gap where a test asks for it. Every topic
keeps the append time as its timestamp: with the producer's time, replayed history would
be deleted at the next retention check.
"""

import base64
import contextlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from stack.errors import StackError
from stack.jars import alone, java, java_major, java_version, kafka_home
from stack.ports import HOST, scratch
from stack.processes import Daemon
from stack.settings import inherited_environment

START_TIMEOUT_S = 60
STOP_GRACE_S = 15
FORMAT_TIMEOUT_S = 60

# How the whole node fits in 200 MB and starts in 1.3 s.
JVM_FLAGS = (
    "-Xms128m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss",
)

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    # The groups' offsets are only a hint here (the position is in PostgreSQL), but a hint
    # should survive a long holiday.
    "offsets.retention.minutes": str(60 * 24 * 30),
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # After a kill -9 the new broker is refused until the old one's session has run out, 9 s as
    # shipped. Shorter still, a starved machine would fence its own broker.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "auto.create.topics.enable": "false",
    "log.message.timestamp.type": "LogAppendTime",
    "log.retention.check.interval.ms": "300000",
}


class Kafka:
    """A node with its data in `<home>/kafka`, found again by any process that names `home`."""

    def __init__(
        self,
        home: Path,
        *,
        port: int,
        controller_port: int,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`settings` replace those of the node, e.g. {"log.retention.check.interval.ms": "500"}."""
        self.folder = home.absolute() / "kafka"
        self.port = port
        self.controller_port = controller_port
        self.settings = dict(settings or {})
        self.daemon = Daemon("kafka", self.folder.parent)
        self._classes = ""  # the JVM flag for the class archive

    @property
    def servers(self) -> str:
        """For `bootstrap_servers`."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start it, on the data of the last time if there are any, and wait until it answers."""
        if self.daemon.process() is None:
            self._launch()
        self.wait_ready()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        self.daemon.wait(self.answers, timeout_s)

    def stop(self) -> None:
        """End it in good order."""
        self.daemon.stop(grace_s=STOP_GRACE_S)

    def kill(self) -> None:
        """kill -9."""
        self.daemon.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, until `resume`."""
        self._process_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process_signal(signal.SIGCONT)

    def erase(self) -> None:
        """End it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self) -> bool:
        """Whether the broker lists itself in its metadata, and so is ready for clients."""
        with contextlib.suppress(OSError, struct.error):
            return _brokers(self.port) > 0
        return False

    def _process_signal(self, signum: int) -> None:
        process = self.daemon.process()
        if process is None:
            raise StackError("Kafka is not running.")
        process.send_signal(signum)

    def _launch(self) -> None:
        self._classes = self._classes or f"-XX:SharedArchiveFile={_class_archive()}"
        properties = self._write_properties()
        data = self.folder / "data"
        if not data.exists():
            self._format(properties, data)
        self.daemon.start([*self._java(), self._classes, "kafka.Kafka", str(properties)])

    def start_archiving(self, archive: Path) -> None:
        """Start it so that it writes `archive` when it is stopped."""
        self._classes = f"-XX:ArchiveClassesAtExit={archive}"
        self.start()

    def _java(self) -> list[str]:
        command = java()
        flags = list(JVM_FLAGS)
        if java_major(command) >= 24:  # from here on Java warns about native code, lz4's and zstd's
            flags.append("--enable-native-access=ALL-UNNAMED")
        return [str(command), *flags, "-cp", f"{kafka_home()}/libs/*"]

    def _write_properties(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        listeners = f"PLAINTEXT://{self.servers},CONTROLLER://{HOST}:{self.controller_port}"
        values = SETTINGS | {
            "listeners": listeners,
            "controller.quorum.bootstrap.servers": f"{HOST}:{self.controller_port}",
            "log.dirs": str(self.folder / "data"),
            **self.settings,
        }
        properties.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        return properties

    def _format(self, properties: Path, data: Path) -> None:
        """Make the data folder: aside and renamed when whole, so that a kill leaves no half one."""
        draft = data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        aside = properties.with_name("format.properties")
        aside.write_text(
            properties.read_text().replace(f"log.dirs={data}\n", f"log.dirs={draft}\n")
        )
        tool = ["kafka.tools.StorageTool", "format", "--standalone"]
        done = subprocess.run(
            [*self._java(), *tool, "-t", _cluster_id(), "-c", str(aside)],
            env=inherited_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=FORMAT_TIMEOUT_S,
        )
        if done.returncode != 0:
            raise StackError(f"Kafka could not make its data folder:\n{done.stdout.strip()}")
        draft.rename(data)


def _class_archive() -> Path:
    """Kafka's classes as this Java keeps them ready (class data sharing), made once.

    It halves the work of a start, 4.7 to 2.8 s of processor time. Java ignores an archive
    that does not fit it.
    """
    home = kafka_home()
    archive = home / f"classes-{java_version(java())}.jsa"
    if not archive.exists():
        with alone(home):
            if not archive.exists():  # another process may just have done it
                draft = home / "classes.new"
                with tempfile.TemporaryDirectory() as folder:
                    ports = scratch("kafka", "controller")
                    node = Kafka(
                        Path(folder), port=ports["kafka"], controller_port=ports["controller"]
                    )
                    try:
                        node.start_archiving(draft)
                        node.stop()
                    finally:
                        node.kill()
                draft.touch()  # an empty one, if Java could not make it: not tried again
                draft.replace(archive)
    return archive


def _cluster_id() -> str:
    """22 characters of URL-safe base64 that do not begin with a dash, as options do."""
    while True:
        drawn = base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode()
        if not drawn.startswith("-"):
            return drawn


def _brokers(port: int) -> int:
    """How many brokers a Metadata request (key 3, version 1, no topics) lists.

    Spoken by hand because a client would need an event loop, and logs what it cannot reach.
    """
    request = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
    with socket.create_connection((HOST, port), timeout=2) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        reply = connection.recv(12, socket.MSG_WAITALL)
    _size, _correlation, brokers = struct.unpack(">iii", reply)
    return int(brokers)
