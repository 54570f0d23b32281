"""`python -m shared.events check | schemas`: for a platform's developers, and for our own."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from shared.errors import Fatal
from shared.events import check as checks
from shared.events import schemas as documents
from shared.events.check import LAST_MAX, Place, Report
from shared.topics import KafkaSettings

SHOWN_MAX = 1_000

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="NDJSON or a JSON array")] = None,
    topic: Annotated[str, typer.Option(help="look at this topic instead of a file")] = "",
    last: Annotated[int, typer.Option(min=1, max=LAST_MAX, help="newest records")] = 1_000,
    kafka: Annotated[str, typer.Option(help="default: REGULARS_KAFKA_SERVERS")] = "",
) -> None:
    """Look at a producer's events; exit code 1 if there are errors, 2 if nothing was read."""
    if (file is None) == (not topic):
        typer.echo("name a FILE, or a topic with --topic", err=True)
        raise typer.Exit(2)
    report = Report()
    try:
        if file:
            for place in checks.check_file(file, report, now=datetime.now(UTC)):
                _show(str(file), place, report)
        else:
            asyncio.run(_check_topic(topic, last, kafka, report))
    except (Fatal, KafkaError) as error:
        typer.echo(str(error) or type(error).__name__, err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{report.events} events, {report.errors} errors, {report.warnings} warnings")
    raise typer.Exit(1 if report.errors else 0 if report.events else 2)


async def _check_topic(topic: str, last: int, servers: str, report: Report) -> None:
    settings = KafkaSettings()
    if servers:
        settings = settings.model_copy(update={"kafka_servers": servers})
    async for place in checks.check_topic(settings, topic, last, report):
        _show(topic, place, report)


def _show(name: str, place: Place, report: Report) -> None:
    """One finding a line, as compilers write them; after SHOWN_MAX only the sums."""
    shown = report.errors + report.warnings
    if shown <= SHOWN_MAX:
        typer.echo(f"{name}:{place.where}: {place.finding.severity}: {place.finding.text}")
    elif shown == SHOWN_MAX + 1:
        typer.echo("... further findings are counted only")


@app.command()
def schemas(
    *, write: Annotated[bool, typer.Option("--write", help="bring the files up to date")] = False
) -> None:
    """Compare schemas/ and docs/asyncapi.yaml with the models; exit code 1 if they differ."""
    if broken := documents.broken():
        typer.echo("\n".join((*broken, "refused: make a new version of these types")), err=True)
        raise typer.Exit(1)
    if write:
        typer.echo(f"{documents.write()} files changed")
        return
    stale = documents.stale()
    for path in stale:
        typer.echo(f"{path.relative_to(documents.ROOT)}: not as the models are; run with --write")
    raise typer.Exit(bool(stale))


if __name__ == "__main__":
    app()
