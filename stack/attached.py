"""`python -m stack.attached`: the demo in a stack that runs already, such as docker compose's.

It lives once: the report counts what is there, so it wants a store that is empty. Started
again, as by the next `docker compose up`, it says so and does nothing.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stack import demo_report
from stack.demo import live
from stack.door import Door, read_env
from stack.settings import StackSettings
from stack.show import console, explained
from stack.story import Size, write


def main(
    customers: Annotated[int, typer.Option(min=10)] = 300,
    days: Annotated[int, typer.Option(min=3)] = 30,
    seed: int = 1,
) -> None:
    """Live a store's life through the stack that `env` names, and show what happened."""
    with explained():
        good = run(Size(customers, days, seed), StackSettings().stack_dir)
    raise typer.Exit(0 if good else 1)


def run(size: Size, home: Path) -> bool:
    """Whether all is as it should be."""
    with Door(read_env(home)) as door:
        if door.get("profile", "/v1/reports/totals")["customers"]["customers"]:
            console.print("This stack has lived already; delete its data to see it again.")
            return True
        story = write(size, datetime.now(UTC))
        lived = asyncio.run(live(story, home))
        return demo_report.show(story, lived, door)


if __name__ == "__main__":
    typer.run(main)
