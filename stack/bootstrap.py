"""`python -m stack.bootstrap FOLDER`: what docker-compose.yml needs before its services.

Keys, the secrets of erasure and of member codes, a signing key for storefront tokens and the
stores, as `up` makes them for the embedded stack; and `env` with the containers' addresses, so
that `where` and its like find their way. What is there stays, so it may run before every start.
"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from stack.layout import State, make_files, write_private
from stack.ports import SERVICES


def addresses(admin_key: str, password: str) -> dict[str, str]:
    """The file `env` of this stack, by the containers' names."""
    env = {
        "REGULARS_KAFKA_SERVERS": "kafka:9092",
        "ADMIN_KEY": admin_key,
        "MAIL_URL": "http://mail:10080",
        "SMS_URL": "http://sms:10081",
    }
    for service in SERVICES:
        name = service.upper()
        env |= {
            f"{name}_URL": f"http://{service}-api:8000",
            f"{name}_API_OPS_URL": f"http://{service}-api:9000",
            f"{name}_WORKER_OPS_URL": f"http://{service}-worker:9000",
            f"{name}_DATABASE_URL": f"postgresql://{service}:{password}@postgres:5432/{service}",
        }
    return env


def main(
    folder: Path,
    database_password: Annotated[str, typer.Option(envvar="DATABASE_PASSWORD")] = "regulars",  # noqa: S107  of a stack on one machine
) -> None:
    """Make what is missing in FOLDER, and print the admin key."""
    state = State.read(folder)
    make_files(folder, state)
    state.write(folder)
    env = addresses(state.admin_key, database_password)
    write_private(folder / "env", "".join(f"{k}={shlex.quote(v)}\n" for k, v in env.items()))
    typer.echo(f"{folder} is ready. The admin key:\n\n  {state.admin_key}\n")


if __name__ == "__main__":
    typer.run(main)
