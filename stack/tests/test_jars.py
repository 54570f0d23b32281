"""Where Kafka's jars and its Java come from, with scripts in the place of `mvn`, `java` and
`apt-get`."""

import os
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.jars import java_major, kafka_home

MAVEN = """#!/bin/sh
echo called >> {folder}/calls
mkdir -p libs
if [ -e {folder}/offline ]; then touch libs/half.jar; echo cannot reach the repository; exit 1; fi
touch libs/kafka.jar
"""

APT_GET = """#!/bin/sh
echo "$DEBIAN_FRONTEND $*" >> {folder}/calls
if [ $1 = install ] && [ -e {folder}/package ]; then /bin/cp -p {folder}/package {folder}/mvn; fi
echo E: Unable to locate package maven
"""
ROOT, SOMEBODY = 0, 1000


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_an_interrupted_download_is_done_again_and_a_whole_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "mvn", MAVEN.format(folder=tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "offline").touch()

    with pytest.raises(StackError, match="cannot reach the repository"):
        kafka_home()
    (tmp_path / "offline").unlink()
    home = kafka_home()
    kafka_home()

    assert [jar.name for jar in (home / "libs").iterdir()] == ["kafka.jar"]
    assert (tmp_path / "calls").read_text().split() == ["called", "called"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH, on a machine without Maven."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_root_on_debian_gets_maven_installed(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: ROOT)
    script(machine / "apt-get", APT_GET.format(folder=machine))
    script(machine / "package", "#!/bin/sh\n/bin/mkdir libs; : > libs/kafka.jar\n")
    script(machine / "java", "#!/bin/sh\n")

    home = kafka_home()

    assert [jar.name for jar in (home / "libs").iterdir()] == ["kafka.jar"]
    assert (machine / "calls").read_text().splitlines() == [
        "noninteractive update -q",
        "noninteractive install -q -y --no-install-recommends maven",
    ]


def test_root_is_told_what_apt_says_when_it_cannot(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: ROOT)
    script(machine / "apt-get", APT_GET.format(folder=machine))

    with pytest.raises(StackError, match="could not install maven:\nE: Unable to locate"):
        kafka_home()


@pytest.mark.parametrize(("user", "debian"), [(SOMEBODY, True), (SOMEBODY, False), (ROOT, False)])
def test_others_are_told_in_one_line_what_to_install(
    machine: Path, monkeypatch: pytest.MonkeyPatch, user: int, *, debian: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if debian:
        script(machine / "apt-get", APT_GET.format(folder=machine))

    with pytest.raises(StackError, match=r"^Maven \(mvn\) is missing: install it.*$") as told:
        kafka_home()

    assert "\n" not in str(told.value)
    assert not (machine / "calls").exists()


@pytest.mark.parametrize(
    ("printed", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_412"', 8),
        ("no version here", 0),
    ],
)
def test_javas_version_is_read_from_what_it_prints(
    tmp_path: Path, printed: str, major: int
) -> None:
    fake = script(tmp_path / "java", f"#!/bin/sh\necho '{printed}' >&2\n")

    assert java_major(fake) == major


def test_a_java_that_is_not_there_has_no_version(tmp_path: Path) -> None:
    assert java_major(tmp_path / "java") == 0
