"""The house rules that no linter knows, as tests.

Where a rule would make the code worse, the exception stands here, in a table with its
reason, and not beside the code: so all exceptions can be read in one place.
"""

import ast
import io
import re
import shutil
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("shared", "services", "stack", "bench", "tests")
SERVICES = ("profile", "loyalty", "recommend", "notify")

MODULE_LINES_MAX = 300
TEST_MODULE_LINES_MAX = 450  # cases are easier to compare side by side than to find
FUNCTION_LINES_MAX = 40
ARGUMENTS_MAX = 5  # by position; keyword-only ones are named at every call

# docs/adr/0012-how-large-shared-may-be.md says why there are four budgets and not one.
SHARED_CODE_LINES_MAX = {"backbone": 3_360, "http": 1_200, "events": 1_900, "testing": 300}

# Besides the services' stores and migrations: the modules that own a table.
SQL_MODULES = {
    *(f"shared/{name}.py" for name in ("aliases", "batch", "breaker", "dead_letters", "erasure")),
    *(f"shared/{name}.py" for name in ("inbox", "jobs", "letters_cli", "migrate", "outbox")),
    *(f"shared/{name}.py" for name in ("positions", "relay", "service")),
    *(f"shared/http/{name}.py" for name in ("audit", "once", "seen")),
    "shared/testing.py",
    "shared/testing_sql.py",
}
SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|COPY|TRUNCATE|CREATE|ALTER|DROP|GRANT|REVOKE"
    r"|LISTEN|NOTIFY)\s"
)
ALIVE = "SELECT 1"  # reads no table: whoever wants to know whether PostgreSQL answers may ask

ENVIRONMENT_MODULES = {"stack/settings.py"}  # pydantic-settings reads it for all others
NAMELESS = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py", "base.py", "lib.py"}
CONTRACT = {"Consumes", "Produces", "Owns", "Serves"}

# Package registries' hosts, and folders of somebody's machine.
FOREIGN = re.compile(
    r"pypi[.](org|python)|pythonhosted[.]|index-url\s+http|repo1?[.]maven|registry[.](npmjs|yarn)"
    r"|proxy[.]golang|(?<![\w.\-/])/(root|work)/\w|(?<![\w.\-/])/home/\w"
)
FILE_BYTES_MAX = 2_000_000  # data has its own home

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    """Every Python file of ours that is not empty."""
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in (*found, ROOT / "conftest.py") if path.read_text().strip()]


def sources() -> list[Path]:
    """The modules that are not tests."""
    return [path for path in modules() if not is_test(path)]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_test(path: Path) -> bool:
    return "tests" in path.relative_to(ROOT).parts or path.name == "conftest.py"


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[FunctionNode]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, FunctionNode))


def test_a_module_begins_with_what_it_holds() -> None:
    assert not [name_of(path) for path in modules() if not ast.get_docstring(parsed(path))]


def test_a_module_has_one_subject() -> None:
    counts = {path: path.read_text().count("\n") for path in modules()}
    assert not [
        f"{name_of(path)} has {lines} lines: name its two subjects and part them"
        for path, lines in counts.items()
        if lines > (TEST_MODULE_LINES_MAX if is_test(path) else MODULE_LINES_MAX)
    ]


def test_a_function_is_short() -> None:
    assert not [
        f"{name_of(path)}:{node.lineno} {node.name} has {lines} lines"
        for path in modules()
        for node in functions(path)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def test_a_function_takes_few_arguments() -> None:
    assert not [
        f"{name_of(path)}:{node.lineno} {node.name} takes {count} by position: name some with *"
        for path in sources()
        for node in functions(path)
        if (count := len(positional(node))) > ARGUMENTS_MAX
    ]


def positional(node: FunctionNode) -> list[str]:
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return [name for name in names if name not in {"self", "cls"}]


def test_sql_is_in_stores_and_with_the_owners_of_tables() -> None:
    assert not [
        f"{name_of(path)}:{node.lineno}"
        for path in sources()
        if not may_hold_sql(name_of(path))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value != ALIVE and SQL.match(node.value)
    ]


def may_hold_sql(name: str) -> bool:
    if name in SQL_MODULES or name.startswith(("bench/", "stack/")):
        return True  # the last two own no table, and look at databases from outside
    return re.search("/(store|migrations)[./]", name) is not None


def test_the_environment_is_read_into_settings_only() -> None:
    assert not [
        f"{name_of(path)}:{node.lineno}"
        for path in sources()
        if name_of(path) not in ENVIRONMENT_MODULES and not name_of(path).startswith("bench/")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    ]


def test_a_module_has_a_name_of_the_domain() -> None:
    assert not [name_of(path) for path in modules() if path.name in NAMELESS]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_says_what_it_owns(service: str) -> None:
    contract = ast.get_docstring(parsed(ROOT / "services" / service / "__init__.py")) or ""

    assert set(re.findall(r"^([A-Z]\w+)", contract, re.MULTILINE)) >= CONTRACT


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_rooms_that_all_have(service: str) -> None:
    home = ROOT / "services" / service
    files = ("__init__.py", "__main__.py", "handlers.py", "README.md")
    rooms = ("api", "store", "tables")

    assert not [name for name in files if not (home / name).is_file()]
    assert not [r for r in rooms if not ((home / r).is_dir() or (home / f"{r}.py").is_file())]
    assert list((home / "migrations" / "versions").glob(f"{service}_*.py"))
    assert list((home / "tests").glob("test_*.py"))


@pytest.mark.parametrize("part", SHARED_CODE_LINES_MAX)
def test_shared_stays_small(part: str) -> None:
    paths = [path for path in sources() if name_of(path).startswith("shared/")]
    paths = [path for path in paths if "migrations" not in path.parts]  # history only grows

    lines = sum(code_lines(path) for path in paths if part_of_shared(path) == part)

    assert lines <= SHARED_CODE_LINES_MAX[part]


def part_of_shared(path: Path) -> str:
    first = path.relative_to(ROOT / "shared").parts[0]
    if first.startswith("testing"):
        return "testing"
    return first if first in {"http", "events"} else "backbone"


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank ones, no comments, no docstrings."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type not in silent | {tokenize.ENDMARKER}:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - docstring_lines(parsed(path)))


def docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | FunctionNode) and ast.get_docstring(node):
            lines.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return lines


def test_no_file_names_a_registry_or_a_place_on_somebodys_machine() -> None:
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:100]}"
        for path in kept()
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1)
        if FOREIGN.search(line)
    ]

    assert not found, "\n".join(found)


def test_no_file_is_data() -> None:
    assert not [name_of(path) for path in kept() if path.stat().st_size > FILE_BYTES_MAX]


@cache
def kept() -> tuple[Path, ...]:
    """What git keeps, or would: tracked files, and new ones that it does not ignore."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("only git knows which files are kept")
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return tuple(path for path in paths if path.is_file())
