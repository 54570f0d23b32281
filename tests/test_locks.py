"""The locks hold what pyproject.toml asks for, and production's holds no more.

`requirements.lock` has everything, for development and tests; `requirements-runtime.lock`
has what the four images need. CONTRIBUTING.md says how both are made.
"""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; [^\\]+)? \\$", re.MULTILINE)
RUNTIME = ("profile", "loyalty", "recommend", "notify")


def pins(name: str) -> dict[str, set[str]]:
    """Versions by name: several where they differ by Python version."""
    found: dict[str, set[str]] = {}
    for package, version in PIN.findall((ROOT / name).read_text()):
        found.setdefault(canonicalize_name(package), set()).add(version)
    return found


def asked(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    lines = [line for extra in extras or optional for line in optional[extra]]
    return [Requirement(line) for line in [*project["dependencies"], *lines]]


@pytest.mark.parametrize(
    ("lock", "extras"), [("requirements.lock", ()), ("requirements-runtime.lock", RUNTIME)]
)
def test_a_lock_pins_what_is_asked_for(lock: str, extras: tuple[str, ...]) -> None:
    pinned = pins(lock)

    assert not [
        str(requirement)
        for requirement in asked(*extras)
        if not (versions := pinned.get(canonicalize_name(requirement.name)))
        or not all(requirement.specifier.contains(version) for version in versions)
    ]


def test_production_runs_what_was_tested() -> None:
    tested = pins("requirements.lock")

    assert not {
        name: versions
        for name, versions in pins("requirements-runtime.lock").items()
        if not versions <= tested.get(name, set())
    }


def test_production_has_no_tools_for_tests_or_the_stack() -> None:
    runtime = pins("requirements-runtime.lock")
    names = {canonicalize_name(requirement.name) for requirement in asked("dev", "stack")}

    wanted = {canonicalize_name(requirement.name) for requirement in asked(*RUNTIME)}

    assert not (names - wanted) & runtime.keys()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-runtime.lock"])
def test_every_pin_has_its_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()

    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in text
    assert "--index" not in text
