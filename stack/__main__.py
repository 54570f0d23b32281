"""`python -m stack up | down | status | logs`, and the commands of `runs_cli`."""

import contextlib
import sys
import time
from collections import deque
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from stack import runs_cli
from stack.ports import DEFAULTS, SERVICES
from stack.processes import undisturbed
from stack.settings import StackSettings
from stack.show import console, explained, say
from stack.supervisor import Supervisor

POLL_S = 0.3
COLOURS = {"running": "green", "not ready": "yellow", "stopped": "red"}

cli = typer.Typer(
    help="The embedded stack: Kafka, PostgreSQL, mail sink, SMS stub and the services.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _home() -> Path:
    return StackSettings().stack_dir


@cli.command()
def up(
    only: Annotated[
        list[str] | None, typer.Option(help="A service to start; several times for several.")
    ] = None,
    infra: Annotated[bool, typer.Option("--infra", help="No services.")] = False,  # noqa: FBT002 -- typer's way to declare a flag
    clock: Annotated[
        str | None,
        typer.Option(
            envvar="REGULARS_CLOCK",
            help="Business clock: an instant (frozen) or a signed offset such as -PT36H.",
        ),
    ] = None,
) -> None:
    """Start what does not run yet, and say where it is."""
    if unknown := set(only or ()) - set(SERVICES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: one of {', '.join(SERVICES)}")
    services = () if infra else tuple(only or SERVICES)
    supervisor = Supervisor(_home())
    began = time.monotonic()
    with explained():
        try:
            supervisor.up(say, services=services, clock=clock)
        except KeyboardInterrupt:
            with undisturbed():
                console.print("Interrupted; stopping what was started.")
                supervisor.down()
            raise typer.Exit(130) from None
    _print_status(supervisor)
    for name, port in supervisor.state.ports.items():
        if port != DEFAULTS[name]:
            console.print(f"{name}: port {DEFAULTS[name]} was taken, so it is {port}")
    console.print(f"Up after {time.monotonic() - began:.1f} s; all addresses are in {_home()}/env")


@cli.command()
def down(
    erase: Annotated[bool, typer.Option("--erase", help="Delete the data as well.")] = False,  # noqa: FBT002 -- typer's way to declare a flag
) -> None:
    """Stop all of it; the data stay for the next `up`."""
    supervisor = Supervisor(_home())
    with explained():
        ran = supervisor.down()
        if erase:
            supervisor.erase()
    console.print(f"Stopped {len(ran)} parts." if ran else "Nothing was running.")


@cli.command()
def status() -> None:
    """Show each part; exit code 1 unless all are running."""
    supervisor = Supervisor(_home())
    with explained():
        whole = _print_status(supervisor)
    raise typer.Exit(0 if whole else 1)


@cli.command()
def logs(
    part: Annotated[str, typer.Argument(help="Such as kafka or profile-worker; none: all.")] = "",
    lines: Annotated[int, typer.Option("-n", min=1, max=100_000)] = 20,
    follow: Annotated[bool, typer.Option("-f", help="Go on as it grows.")] = False,  # noqa: FBT002 -- typer's way to declare a flag
) -> None:
    """Print the end of a part's log, or of everyone's."""
    files = sorted((_home() / "logs").glob("*.log"))
    known = [file.stem for file in files]
    chosen = [file for file in files if part in ("", file.stem)]
    if not chosen:
        console.print(f"No log of {part or 'anything'}; there are: {', '.join(known) or 'none'}")
        raise typer.Exit(1)
    for file in chosen:
        if not part:
            console.rule(file.stem)
        with file.open(errors="replace") as log:
            sys.stdout.writelines(deque(log, lines))
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(chosen)


def _follow(files: list[Path]) -> None:
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(file.open(errors="replace")) for file in files]
        for log in logs:
            log.seek(0, 2)
        while True:
            for file, log in zip(files, logs, strict=True):
                for line in log:
                    sys.stdout.write(line if len(files) == 1 else f"{file.stem}: {line}")
            sys.stdout.flush()
            time.sleep(POLL_S)


def _print_status(supervisor: Supervisor) -> bool:
    table = Table("part", "state", "pid", "address", "memory")
    rows = supervisor.status()
    for row in rows:
        table.add_row(
            row.name,
            f"[{COLOURS[row.state]}]{row.state}[/]",
            str(row.pid or ""),
            row.address,
            f"{row.memory_mb:.0f} MB" if row.memory_mb is not None else "",
        )
    console.print(table)
    return all(row.state == "running" for row in rows)


runs_cli.register(cli)

if __name__ == "__main__":
    cli()
