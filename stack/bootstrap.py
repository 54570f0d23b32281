"""`python -m stack.bootstrap FOLDER`: the files that the services read, for containers.

Keys, the erasure secret, a signing key for storefront tokens and the stores, as `up` makes
them for the embedded stack. What is there stays, so it may run before every start.
"""

from pathlib import Path

import typer

from stack.layout import State, make_files


def main(folder: Path) -> None:
    """Make what is missing in FOLDER, and print the admin key."""
    state = State.read(folder)
    make_files(folder, state)
    state.write(folder)
    typer.echo(f"{folder} is ready. The admin key:\n\n  {state.admin_key}\n")


if __name__ == "__main__":
    typer.run(main)
