"""The docs say what the code says: links lead somewhere, tables name every setting and metric."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest
from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

from shared.settings import Settings

ROOT = Path(__file__).parents[1]
RUNBOOK = ROOT / "docs" / "runbook.md"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SKIPPED = {".venv", ".stack", ".git", ".pytest_cache", ".hypothesis", "node_modules"}
ADRS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))


def ours(name: str) -> list[ModuleType]:
    """`shared/<name>.py`, and those of the services that have one of their own."""
    paths = [ROOT / "shared" / f"{name}.py", *sorted(ROOT.glob(f"services/*/{name}.py"))]
    return [import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in paths]


def documents() -> list[Path]:
    found = sorted(ROOT.rglob("*.md"))
    return [path for path in found if not SKIPPED & set(path.relative_to(ROOT).parts)]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text())


def anchors(path: Path) -> set[str]:
    """As the usual hosts make them from headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{name_of(path)}: {link}"
        for path in documents()
        for link in LINK.findall(prose(path))
        if "://" not in link and not leads_somewhere(path, unquote(link))
    ]

    assert not broken, "\n".join(broken)


def leads_somewhere(path: Path, link: str) -> bool:
    target, _, anchor = link.partition("#")
    file = (path.parent / target).resolve() if target else path
    if not file.exists() or not file.is_relative_to(ROOT):
        return False
    return not anchor or (file.suffix == ".md" and anchor in anchors(file))


def test_every_call_with_a_body_says_that_it_is_json() -> None:
    """`curl -d` alone sends a form, which no route reads."""
    calls = [
        (name_of(path), call)
        for path in documents()
        for call in re.findall(r"curl (?:[^\n]*\\\n)*[^\n]*", path.read_text())
    ]
    forms = [each for each in calls if re.search(r" (-d|--data) ", each[1])]

    assert len(calls) > 20
    assert [each for each in forms if "Content-Type" not in each[1]] == []


def rows(heading: str) -> dict[str, list[str]]:
    """The runbook's tables under a heading: cells by what the first names."""
    section = RUNBOOK.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = re.findall(r"^\| `(\w+)` \|(.*)\|$", section, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in table}


def test_the_runbook_has_every_setting_with_its_default() -> None:
    kinds: list[type[Settings]] = [module.Settings for module in ours("settings")]
    settings = {
        f"REGULARS_{name.upper()}": shown(field.default)
        for kind in kinds
        for name, field in kind.model_fields.items()
    }

    assert {name: cells[0].strip("`") for name, cells in rows("Settings").items()} == settings


def shown(default: object) -> str:
    match default:
        case _ if default is PydanticUndefined:
            return "required"
        case None | "":
            return ""
        case ():
            return "[]"
    value = getattr(default, "get_secret_value", lambda: default)()
    return str(value)


def test_the_runbook_has_every_metric() -> None:
    assert rows("Metrics").keys() == metrics()


def metrics() -> set[str]:
    """What our modules declare, by the names that Prometheus sees."""
    declared = [value for module in ours("metrics") for value in vars(module).values()]
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for metric in declared
        if isinstance(metric, MetricWrapperBase)
        for family in metric.describe()
    }


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem[:4])
def test_a_decision_ends_in_the_line_to_quote(path: Path) -> None:
    text = path.read_text()
    lines = text.strip().splitlines()

    assert lines[0].startswith(f"# {path.stem[:4]} ")
    assert lines[-1].startswith("> ")
    assert [line for line in lines if line.startswith("## ")][-1] == "## What it costs"
    assert path.name in (path.parent / "README.md").read_text()


def test_make_has_its_commands_and_the_docs_tell_of_them() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wanted = ["setup", "demo", "test", "test-long", "check", "fix", "up", "down", "replay", "bench"]
    told = prose_and_code("README.md", "CONTRIBUTING.md")

    assert targets == wanted
    assert not [name for name in wanted if name != "setup" and f"make {name}" not in told]


def prose_and_code(*names: str) -> str:
    return "".join((ROOT / name).read_text() for name in names)
