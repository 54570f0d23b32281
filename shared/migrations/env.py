"""Alembic's entry: the connection and the tables come from shared/migrate.py."""

from typing import Any

from alembic import context


def include(_object: Any, name: str | None, kind: str, reflected: bool, _compare: Any) -> bool:  # noqa: FBT001
    """Leave out the inbox's days: a job makes and drops them."""
    return not (kind == "table" and reflected and (name or "").startswith("inbox_"))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["metadata"],
    include_object=include,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
