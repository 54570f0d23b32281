"""The commands' options: what stands above what, and what is told of a wrong one."""

import asyncio
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from services.loyalty import import_cli
from services.loyalty.import_cli import read_mapping
from services.loyalty.work.import_desk import Desk


@pytest.fixture
def run(monkeypatch):
    """Runs a command line; what the desk was asked for."""
    asked = []

    async def noted(name, *given, **named):
        asked.append((name, given, named))

    for name in ("bring", "compare", "list", "close", "reverse"):
        method = lambda self, *given, name=name, **named: noted(name, *given, **named)  # noqa: E731
        monkeypatch.setattr(Desk, name, method)
    app = typer.Typer()
    import_cli.register(app, lambda do: asyncio.run(do("settings")))

    def command(*line):
        done = CliRunner().invoke(app, line)
        return done.exit_code, done.output, asked

    return command


def test_options_stand_above_the_file_and_the_file_above_the_preset(tmp_path):
    path = tmp_path / "mapping.toml"
    path.write_text('zone = "Europe/Paris"\n[columns]\npoints = "Pts"\nnote = "Remark"\n')

    mapping = read_mapping(path, "youzan", ["points=Balance"], ["store=web"])

    assert mapping.zone == "Europe/Paris"
    assert mapping.columns == {"customer_id": "客户手机号", "points": "Balance", "note": "Remark"}
    assert mapping.constants == {"store": "web"}


def test_a_wrong_mapping_says_where(tmp_path):
    path = tmp_path / "mapping.toml"
    path.write_text("zone = [")

    with pytest.raises(typer.BadParameter, match=r"mapping\.toml"):
        read_mapping(path, "", (), ())
    with pytest.raises(typer.BadParameter, match="there are smile"):
        read_mapping(None, "simle", (), ())
    with pytest.raises(typer.BadParameter, match="did you mean points"):
        read_mapping(None, "", ["point=Balance"], ())


def test_each_command_asks_the_desk(run):
    line = (
        "import",
        "old.csv",
        "--kind",
        "awards",
        "--dry-run",
        "--from",
        "smile",
        "--ids",
        "i.csv",
    )
    code, _, asked = run(*line)
    run("import", "--list")
    run("import", "--close", "3")
    run("import", "--reverse", "4")
    run("compare", "t.csv", "--as-of", "2026-12-31T00:00:00+08:00", "--by", "event", "--pending")

    assert code == 0
    name, (_, source), named = asked[0]
    assert (name, source.path, source.kind, source.ids) == (
        "bring",
        Path("old.csv"),
        "awards",
        Path("i.csv"),
    )
    assert named == {"dry": True, "skip_wrong": False}
    assert [(name, *given[1:]) for name, given, _ in asked[1:4]] == [
        ("list",),
        ("close", 3),
        ("reverse", 4),
    ]
    assert asked[4][2]["since"] == "event"
    assert asked[4][2]["pending"] is True
    assert asked[4][2]["at"].isoformat() == "2026-12-31T00:00:00+08:00"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("import",), "give a FILE"),
        (("import", "x.csv", "--kind", "wishes"), "wishes"),
        (("compare", "x.csv", "--as-of", "2026-12-31"), "give a time as"),
        (("compare", "x.csv", "--as-of", "yesterday"), "give a time as"),
    ],
)
def test_a_wrong_option_is_told(run, line, told):
    code, output, asked = run(*line)

    assert code == 2
    assert told in " ".join(output.replace("│", " ").split())
    assert not asked
