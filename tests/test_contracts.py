"""The import contracts in pyproject.toml, held to what there is.

`lint-imports` checks the code against the contracts. It passes silently over an external
module whose name is misspelt, and sees imports only: a core that asks for the time breaks
no contract. These tests close both gaps.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
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


def test_what_lies_below_a_services_store_is_pure() -> None:
    below = {
        f"{contract['containers'][0]}.{name}"
        for contract in contracts("layers")
        if "containers" in contract
        for name in _below_store([re.split(" [:|] ", layer) for layer in contract["layers"]])
        if name not in NOT_CORE
    }

    assert core() == below


def _below_store(layers: list[list[str]]) -> Iterator[str]:
    (store,) = (depth for depth, names in enumerate(layers) if "store" in names)
    for names in layers[store + 1 :]:
        yield from names


def test_the_core_takes_time_and_ids_as_arguments() -> None:
    places = [ROOT / name.replace(".", "/") for name in core()]
    paths = [path for place in places for path in _modules(place)]

    assert len(paths) >= len(places)
    assert not [
        f"{path.relative_to(ROOT)}:{node.lineno} {called}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and (called := name_of(node.func)) in IMPURE_CALLS
    ]


def _modules(place: Path) -> list[Path]:
    """Those of a package, or the one module."""
    return sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


def name_of(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
