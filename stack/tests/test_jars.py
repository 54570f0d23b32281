"""Where Kafka's jars and its Java come from, with scripts in the place of `mvn` and `java`."""

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
