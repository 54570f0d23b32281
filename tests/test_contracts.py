"""The import contracts in pyproject.toml, held to what there is.

`lint-imports` checks the code against the contracts. It passes silently over an external
module whose name is misspelt, and sees imports only: a core that asks for the time breaks
no contract. These tests close both gaps.
"""

import ast
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NOT_CORE = {"metrics", "settings", "tables"}  # beside the core at the bottom, and not pure
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "getrandbits", "token_hex"}


def contracts(kind: str) -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = project["tool"]["importlinter"]["contracts"]
    return [contract for contract in found if contract["type"] == kind]


def core() -> set[str]:
    """The modules under the contract of the pure core."""
    (contract,) = contracts("forbidden")
    return set(contract["source_modules"])


def test_every_forbidden_module_exists() -> None:
    (contract,) = contracts("forbidden")

    assert not [name for name in contract["forbidden_modules"] if find_spec(name) is None]


def test_every_service_has_its_way_down() -> None:
    held = {
        container
        for contract in contracts("layers")
        for container in contract.get("containers", [])
    }

    services = {f"services.{path.parent.name}" for path in ROOT.glob("services/*/__main__.py")}

    assert held == services
    assert all(
        contract["exhaustive"] for contract in contracts("layers") if "containers" in contract
    )


def test_what_lies_at_the_bottom_of_a_service_is_pure() -> None:
    bottom = {
        f"{contract['containers'][0]}.{name}"
        for contract in contracts("layers")
        if "containers" in contract
        for name in contract["layers"][-1].split(" : ")
        if name not in NOT_CORE
    }

    assert core() == bottom


def test_the_core_takes_time_and_ids_as_arguments() -> None:
    paths = {name: ROOT / f"{name.replace('.', '/')}.py" for name in core()}

    assert not [
        f"{name}:{node.lineno} {called}"
        for name, path in paths.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and (called := name_of(node.func)) in IMPURE_CALLS
    ]


def name_of(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
