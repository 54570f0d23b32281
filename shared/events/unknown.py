"""Fields that a model does not know, with the name that was probably meant.

Over Kafka they are ignored, for the producer may be ahead. Over HTTP, and in the check
command, the sender can be told, and a misspelt optional field does not vanish in silence.
"""

from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from shared.events.registry import nearest

FOUND_MAX = 50
"""Findings in one event: enough to mend the producer."""


def unknown_fields(model: type[BaseModel], data: Any) -> list[tuple[str, str]]:
    """`(path, nearest)` for each unknown field: `("lines.0.total", "total_minor")`; nearest may be
    empty. What is not an object, where the model wants one, is the model's own business."""
    found: list[tuple[str, str]] = []
    _search(model, data, "", found)
    return found[:FOUND_MAX]


def _search(model: type[BaseModel], data: Any, path: str, found: list[tuple[str, str]]) -> None:
    if not isinstance(data, dict) or len(found) >= FOUND_MAX:
        return
    parts = _parts(model)
    for name, value in data.items():
        if name not in parts:
            found.append((f"{path}{name}", nearest(name, parts)))
            continue
        part = parts[name]
        if part is None:
            continue
        items = enumerate(value) if isinstance(value, list) else [("", value)]
        for index, item in items:
            _search(part, item, f"{path}{name}.{index}.".replace("..", "."), found)


@cache
def _parts(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Each field, and the model of its parts if it has one."""
    return {name: _model_in(field.annotation) for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        arguments = arguments[:1]
    return next((model for model in map(_model_in, arguments) if model), None)
