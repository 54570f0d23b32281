"""`import` and `compare`: what an operator runs when a store comes from another system.

    import FILE [--kind KIND] [--dry-run] [--skip-wrong] [--report FILE]
    import --list | --close BATCH | --reverse BATCH
    compare FILE [--as-of TIME]

KIND is balances (the default), awards, tiers, coupons or memberships.

Exit codes: 0 done, or equal; 1 what must be looked at first; the reason is on stderr.
"""

import tomllib
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from services.loyalty.arrivals.import_columns import PRESETS, Mapping
from services.loyalty.work.import_desk import Desk
from services.loyalty.work.import_files import Source
from shared.errors import Fatal
from shared.settings import Settings

Run = Callable[[Settings], Coroutine[Any, Any, None]]

File = Annotated[Path | None, typer.Argument(help=".csv, .ndjson or .jsonl; also .gz and .xz")]
MappingFile = Annotated[
    Path | None, typer.Option("--mapping", help="a TOML file: docs/migrating.md")
]
Preset = Annotated[str, typer.Option("--from", help=f"a known system: {', '.join(PRESETS)}")]
Columns = Annotated[list[str] | None, typer.Option("--column", help="field=the file's name for it")]
Constants = Annotated[list[str] | None, typer.Option("--constant", help="field=value of every row")]
Ids = Annotated[Path | None, typer.Option("--ids", help="a file that says who is who")]
ReportFile = Annotated[Path | None, typer.Option("--report", help="write what is listed, whole")]


Brings = Literal["balances", "awards", "tiers", "coupons", "memberships"]
Execute = Callable[[Run], None]
"""Gives a function its settings, and runs it."""


def register(app: typer.Typer, execute: Execute) -> None:
    """Add the commands."""
    _register_import(app, execute)
    _register_compare(app, execute)


def _register_import(app: typer.Typer, execute: Execute) -> None:
    @app.command("import")
    def import_(
        file: File = None,
        *,
        kind: Annotated[Brings, typer.Option(help="what is in it")] = "balances",
        dry_run: Annotated[bool, typer.Option(help="look at the file, write nothing")] = False,
        skip_wrong: Annotated[bool, typer.Option(help="leave out what is wrong")] = False,
        mapping: MappingFile = None,
        preset: Preset = "",
        column: Columns = None,
        constant: Constants = None,
        ids: Ids = None,
        report: ReportFile = None,
        list_: Annotated[bool, typer.Option("--list", help="the newest batches")] = False,
        close: Annotated[int, typer.Option(help="a batch that shall stay")] = 0,
        reverse: Annotated[int, typer.Option(help="a batch to take back")] = 0,
    ) -> None:
        """Bring what another system knows; or list, close, take back a batch."""
        desk = Desk(report)
        if list_:
            execute(desk.list)
        elif close:
            execute(lambda settings: desk.close(settings, close))
        elif reverse:
            execute(lambda settings: desk.reverse(settings, reverse))
        elif file is None:
            raise typer.BadParameter("give a FILE, or --list, --close or --reverse")
        else:
            taken = read_mapping(mapping, preset, column or (), constant or ())
            source = Source(file, kind, taken, ids)
            execute(
                lambda settings: desk.bring(settings, source, dry=dry_run, skip_wrong=skip_wrong)
            )


def _register_compare(app: typer.Typer, execute: Execute) -> None:
    @app.command()
    def compare(
        file: Annotated[Path, typer.Argument(help="customer_id, points; as of import")],
        *,
        as_of: Annotated[str, typer.Option(help="our side at a time, else now")] = "",
        by: Annotated[Literal["event", "recorded"], typer.Option(help="which time")] = "recorded",
        pending: Annotated[bool, typer.Option(help="count pending points, too")] = False,
        mapping: MappingFile = None,
        preset: Preset = "",
        column: Columns = None,
        ids: Ids = None,
        report: ReportFile = None,
    ) -> None:
        """Hold another system's balances against ours. Exit code 1: they differ."""
        source = Source(file, "compare", read_mapping(mapping, preset, column or (), ()), ids)
        at, desk = _time(as_of) if as_of else None, Desk(report)
        since = by if as_of else None
        execute(
            lambda settings: desk.compare(settings, source, at=at, since=since, pending=pending)
        )


def read_mapping(
    path: Path | None, preset: str, columns: Sequence[str], constants: Sequence[str]
) -> Mapping:
    """The preset, with the file over it, with the options over both."""
    given: dict[str, Any] = {}
    if preset and preset not in PRESETS:
        raise typer.BadParameter(f"--from {preset}: there are {', '.join(PRESETS)}")
    for layer in (PRESETS.get(preset, {}), _toml(path) if path else {}):
        for name, value in layer.items():
            merges = isinstance(value, dict) and isinstance(given.get(name), dict)
            given[name] = {**given[name], **value} if merges else value
    try:
        return Mapping.of(given, columns, constants)
    except Fatal as error:
        raise typer.BadParameter(str(error)) from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path}: {error}") from None


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min  # noqa: DTZ901 -- has no zone, either
    if found.tzinfo is None:
        raise typer.BadParameter(f"--as-of {text}: give a time as 2026-12-31T00:00:00+08:00")
    return found
