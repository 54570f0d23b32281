"""How the stack's long commands talk: progress bars, money, known failures as one message."""

import contextlib
from collections.abc import Iterator, Sequence
from decimal import Decimal

import typer
from babel.numbers import format_currency, get_currency_precision
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from stack.caught_up import Standing
from stack.errors import StackError

console = Console(highlight=False)


class _Rate(ProgressColumn):
    """Steps per second, over the last ones or over all."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="cyan")


def bars() -> Progress:
    """Progress bars with counts and rates."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        console=console,
    )


def say(step: str) -> None:
    """What is being done now."""
    console.print(f"[dim]{step} ...[/dim]")


def money(minor: int, currency: str) -> str:
    """Such as £8,911,407.90."""
    amount = Decimal(minor).scaleb(-get_currency_precision(currency))
    return str(format_currency(amount, currency, locale="en"))


class LagBar:
    """What is left, told as how much of the most that was left is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("handling", total=1)
        self._most = 1

    def __call__(self, standings: Sequence[Standing]) -> None:
        left = sum(standing.behind + standing.outbox for standing in standings)
        self._most = max(self._most, left)
        late = " ".join(standing.service for standing in standings if not standing.idle)
        self._progress.update(
            self._task,
            total=self._most,
            completed=self._most - left,
            description=f"handling: {late or 'done'}",
        )


@contextlib.contextmanager
def lag_bar() -> Iterator[LagBar]:
    with bars() as progress:
        yield LagBar(progress)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """A failure that we know is one message, not a traceback."""
    try:
        yield
    except StackError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except PermissionError as error:
        advice = "another user's? Use that account, or set REGULARS_STACK_DIR to a folder of yours."
        console.print(
            f"{error.filename}: no permission; {advice}", style="red", markup=False, soft_wrap=True
        )
        raise typer.Exit(1) from None
